//! What is counted of traces.

use prometheus::IntCounterVec;

use super::Maker;

/// The metrics of traces.
#[derive(Clone, Debug)]
pub struct TraceMetrics(IntCounterVec);

impl TraceMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are there already.
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let help = "Spans for the collector: sent, refused by it, failed as it could not be reached, dropped as too \
                    many waited.";
        Ok(Self(maker.counters("spans_total", help, &["result"])?))
    }

    /// One found no room.
    pub fn dropped(&self) {
        self.count("dropped", 1);
    }

    /// The collector took so many.
    pub fn sent(&self, spans: u64) {
        self.count("sent", spans);
    }

    /// The collector did not want so many.
    pub fn refused(&self, spans: u64) {
        self.count("refused", spans);
    }

    /// So many could not be brought to the collector.
    pub fn failed(&self, spans: u64) {
        self.count("failed", spans);
    }

    fn count(&self, result: &str, spans: u64) {
        if spans > 0 {
            self.0.with_label_values(&[result]).inc_by(spans);
        }
    }
}
