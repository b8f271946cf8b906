//! What is counted of classified requests.

use prometheus::IntCounterVec;

use super::{Maker, Metrics};

/// The metrics of the classifier.
#[derive(Clone, Debug)]
pub(super) struct RoutingMetrics {
    classifications: IntCounterVec,
    ratings: IntCounterVec,
}

impl RoutingMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            classifications: maker.counters(
                "classifications_total",
                "Requests for `auto`, by what became of them.",
                &["tier", "task"],
            )?,
            ratings: maker.counters(
                "classifier_ratings_total",
                "Requests that a model was to rate: rated, known from before (cached), or left to the built-in \
                 classifier (failed).",
                &["result"],
            )?,
        })
    }
}

impl Metrics {
    /// Counts a request for `auto`.
    pub fn classified(&self, tier: &str, task: &str) {
        self.routing.classifications.with_label_values(&[tier, task]).inc();
    }

    /// Counts a request that a model was to rate: `rated`, `cached` or `failed`.
    pub fn rated(&self, result: &'static str) {
        self.routing.ratings.with_label_values(&[result]).inc();
    }
}
