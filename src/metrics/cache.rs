//! What is counted of kept answers.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Maker;

/// The metrics of the cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    hits: IntCounter,
    misses: IntCounter,
    shared: IntCounter,
    bytes: IntGauge,
    entries: IntGauge,
    stand_ins: IntCounterVec,
    degraded: IntGaugeVec,
}

impl CacheMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let lookups = maker.counters(
            "cache_lookups_total",
            "Looks for a kept answer: found, not found, or under way for another request.",
            &["result"],
        )?;
        let stand_ins = maker.counters(
            "degraded_answers_total",
            "Answers that stood in where no target could answer: past ones, fixed texts.",
            &["kind"],
        )?;
        // There from the start: an alert counts how much they rise.
        for kind in ["stale", "static"] {
            stand_ins.with_label_values(&[kind]);
        }
        Ok(Self {
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            shared: lookups.with_label_values(&["shared"]),
            bytes: maker.gauge("cache_bytes", "What kept answers take.")?,
            entries: maker.gauge("cache_entries", "Kept answers.")?,
            stand_ins,
            degraded: maker.gauges(
                "degraded",
                "1 while a route lives on answers that stand in.",
                &["route"],
            )?,
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

    /// An answer stood in: `stale` or `static`.
    pub fn stood_in(&self, kind: &'static str) {
        self.stand_ins.with_label_values(&[kind]).inc();
    }

    /// Says whether a route lives on answers that stand in.
    pub fn degraded(&self, route: &str, is: bool) {
        self.degraded.with_label_values(&[route]).set(is.into());
    }

    /// So many answers are kept now.
    pub fn kept(&self, entries: usize, bytes: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
