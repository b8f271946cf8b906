//! What is counted of classified requests.

use prometheus::{IntCounter, IntCounterVec};

use crate::config::QualityCheck;

use super::{Maker, Metrics};

/// The metrics of the classifier.
#[derive(Clone, Debug)]
pub(super) struct RoutingMetrics {
    classifications: IntCounterVec,
    ratings: IntCounterVec,
    checks: IntCounterVec,
    escalations: IntCounterVec,
    judgements: IntCounterVec,
}

/// The counters of one target's checks.
#[derive(Clone, Debug)]
pub struct CheckCounters([[IntCounter; 2]; 6]);

impl CheckCounters {
    /// Counts a check of an answer.
    pub fn count(&self, check: QualityCheck, failed: bool) {
        self.0[check as usize][usize::from(failed)].inc();
    }
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
            checks: maker.counters(
                "quality_checks_total",
                "Checks of chat answers by model.",
                &["model", "check", "result"],
            )?,
            escalations: maker.counters(
                "escalations_total",
                "Answers that failed a check of their route: the stronger route's answer was better (answered) or not \
                 (kept), there was none (failed), or no budget for one (unfunded).",
                &["route", "check", "result"],
            )?,
            judgements: maker.counters(
                "judgements_total",
                "Answers that a judge was to grade: graded, failed, or dropped because too many were under way.",
                &["model", "result"],
            )?,
        })
    }
}

impl RoutingMetrics {
    /// The counters of one target's checks.
    pub(super) fn checks(&self, model: &str) -> CheckCounters {
        CheckCounters(QualityCheck::ALL.map(|check| {
            ["pass", "fail"].map(|result| self.checks.with_label_values(&[model, check.as_str(), result]))
        }))
    }
}

impl Metrics {
    /// Counts an answer that failed a check of its route: `answered`, `kept`, `failed` or `unfunded`.
    pub fn escalated(&self, route: &str, check: QualityCheck, result: &'static str) {
        self.routing.escalations.with_label_values(&[route, check.as_str(), result]).inc();
    }

    /// Counts an answer of a model that was to be judged: `graded`, `failed` or `dropped`.
    pub fn graded(&self, model: &str, result: &'static str) {
        self.routing.judgements.with_label_values(&[model, result]).inc();
    }

    /// Counts a request for `auto`.
    pub fn classified(&self, tier: &str, task: &str) {
        self.routing.classifications.with_label_values(&[tier, task]).inc();
    }

    /// Counts a request that a model was to rate: `rated`, `cached`, `failed` or `paused`.
    pub fn rated(&self, result: &'static str) {
        self.routing.ratings.with_label_values(&[result]).inc();
    }
}
