//! What is counted of alerts.

use prometheus::IntCounterVec;

use super::Maker;

/// The metrics of alerts.
#[derive(Clone, Debug)]
pub struct AlertMetrics(IntCounterVec);

impl AlertMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are there already.
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let help =
            "Alerts for the webhook: sent, failed, dropped as too many waited, coalesced into a later one.";
        Ok(Self(maker.counters("alerts_total", help, &["event", "result"])?))
    }

    /// The webhook took one.
    pub fn sent(&self, event: &str) {
        self.count(event, "sent");
    }

    /// The webhook did not take one.
    pub fn failed(&self, event: &str) {
        self.count(event, "failed");
    }

    /// One found no room.
    pub fn dropped(&self, event: &str) {
        self.count(event, "dropped");
    }

    /// A later one about the same is told instead.
    pub fn coalesced(&self, event: &str) {
        self.count(event, "coalesced");
    }

    fn count(&self, event: &str, result: &str) {
        self.0.with_label_values(&[event, result]).inc();
    }
}
