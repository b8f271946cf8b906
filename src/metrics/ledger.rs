//! What is counted of the ledger's writer.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Maker;

/// A tenth of a millisecond to ten seconds: what a disk takes.
const COMMIT: [f64; 13] = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.4, 1.0, 4.0, 10.0];

/// The metrics of the ledger's writer.
#[derive(Clone, Debug)]
pub struct LedgerMetrics {
    queue_depth: IntGauge,
    commit: Histogram,
    failures: IntCounter,
}

impl LedgerMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            queue_depth: maker.gauge("ledger_queue_depth", "Rows that wait to be written.")?,
            commit: maker.histogram("ledger_commit_seconds", "Durable writes of the ledger.", &COMMIT)?,
            failures: maker.counter("ledger_failures_total", "Writes of the ledger that failed or hung.")?,
        })
    }

    /// So many rows wait to be written.
    pub fn depth(&self, rows: usize) {
        self.queue_depth.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Counts a durable write.
    pub fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// Counts a write that failed, or that does not end.
    pub fn failed(&self) {
        self.failures.inc();
    }
}
