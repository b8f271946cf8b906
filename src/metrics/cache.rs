//! What is counted of kept answers.

use prometheus::{IntCounter, IntGauge};

use super::Maker;

/// The metrics of the cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    hits: IntCounter,
    misses: IntCounter,
    shared: IntCounter,
    bytes: IntGauge,
    entries: IntGauge,
}

impl CacheMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let lookups = maker.counters(
            "cache_lookups_total",
            "Looks for a kept answer: found, not found, or under way for another request.",
            &["result"],
        )?;
        Ok(Self {
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            shared: lookups.with_label_values(&["shared"]),
            bytes: maker.gauge("cache_bytes", "What kept answers take.")?,
            entries: maker.gauge("cache_entries", "Kept answers.")?,
        })
    }

    /// An answer was there.
    pub fn hit(&self) {
        self.hits.inc();
    }

    /// No answer was there.
    pub fn missed(&self) {
        self.misses.inc();
    }

    /// The answer was under way for another request.
    pub fn shared(&self) {
        self.shared.inc();
    }

    /// So many answers are kept now.
    pub fn kept(&self, entries: usize, bytes: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
