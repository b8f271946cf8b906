//! The guard that counts each try exactly once, however it ends.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{base::outcome::Outcome, metrics::TargetMetrics, openai::usage::Usage};

/// Counts a try when it ends; one that is dropped before counts as [`Outcome::ClientLeft`].
#[derive(Debug)]
pub struct Watch {
    metrics: Arc<TargetMetrics>,
    begun: Instant,
    open: bool,
}

impl Watch {
    /// A try that begins now.
    pub fn begin(metrics: &Arc<TargetMetrics>) -> Self {
        Self { metrics: Arc::clone(metrics), begun: Instant::now(), open: true }
    }

    /// When the try began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The first content came.
    pub fn first_token(&self) {
        self.metrics.first_token(self.begun.elapsed());
    }

    /// The try ended with an answer.
    pub fn answered(mut self, usage: Option<&Usage>) {
        self.metrics.usage(usage);
        self.close(Outcome::Ok);
    }

    /// The try ended without an answer.
    pub fn failed(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.open) {
            self.metrics.attempt(outcome, self.begun.elapsed());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close(Outcome::ClientLeft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_try_counts_once() {
        let metrics = Metrics::new().unwrap();
        let target = Arc::new(metrics.target("m", "p"));
        Watch::begin(&target).failed(Outcome::Timeout);
        Watch::begin(&target).answered(None);
        drop(Watch::begin(&target));
        let page = String::from_utf8(metrics.page()).unwrap();
        for outcome in ["timeout", "ok", "client_left"] {
            let line =
                format!("weir_upstream_attempts_total{{model=\"m\",outcome=\"{outcome}\",provider=\"p\"}} 1");
            assert!(page.contains(&line), "{line}");
        }
        assert!(page.contains("weir_upstream_duration_seconds_count{model=\"m\",provider=\"p\"} 3"));
    }
}
