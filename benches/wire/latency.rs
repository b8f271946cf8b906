//! Times that were measured, as the few figures that are told of them.

use serde_json::{Value, json};

/// Times in microseconds.
#[derive(Debug, Default)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    pub fn add(&mut self, microseconds: u64) {
        self.0.push(microseconds);
    }

    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Their count, quantiles and extremes.
    pub fn told(mut self) -> Value {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |share: f64| self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default();
        json!({ "count": self.0.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) })
    }
}
