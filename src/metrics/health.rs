//! What is shown of targets' health.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::Maker;

/// The metrics of all targets' health.
#[derive(Clone, Debug)]
pub struct HealthMetrics {
    state: IntGaugeVec,
    transitions: IntCounterVec,
    score: GaugeVec,
    hedges: IntCounterVec,
    checks: IntCounterVec,
    quality: GaugeVec,
}

/// The metrics of one target's health.
#[derive(Clone, Debug)]
pub struct TargetGauges {
    model: String,
    provider: String,
    transitions: IntCounterVec,
    state: IntGauge,
    score: Gauge,
    quality: GaugeVec,
}

impl HealthMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are there already.
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let target = &["model", "provider"];
        Ok(Self {
            state: maker.gauges("breaker_state", "0 closed, 1 half-open, 2 open.", target)?,
            transitions: maker.counters(
                "breaker_transitions_total",
                "Changes of breakers.",
                &["model", "provider", "to"],
            )?,
            score: maker.levels("health_score", "The health score, 0 to 1.", target)?,
            hedges: maker.counters(
                "hedges_total",
                "Second tries beside a silent one, with those that were not made.",
                &["route", "outcome"],
            )?,
            checks: maker.counters(
                "health_checks_total",
                "Health checks of providers by what they showed.",
                &["provider", "result"],
            )?,
            quality: maker.levels(
                "model_quality",
                "What a model's chat answers were worth of late, 0 to 1: the share that passed all checks, times the mean of a judge's grades.",
                &["model"],
            )?,
        })
    }

    /// Counts a hedge: what became of it, or why it was not made.
    pub fn hedge(&self, route: &str, outcome: &str) {
        self.hedges.with_label_values(&[route, outcome]).inc();
    }

    /// Counts a health check of a provider.
    pub fn check(&self, provider: &str, result: &str) {
        self.checks.with_label_values(&[provider, result]).inc();
    }

    /// The metrics of one target.
    pub fn target(&self, model: &str, provider: &str) -> TargetGauges {
        let labels = [model, provider];
        TargetGauges {
            model: model.to_owned(),
            provider: provider.to_owned(),
            transitions: self.transitions.clone(),
            state: self.state.with_label_values(&labels),
            score: self.score.with_label_values(&labels),
            quality: self.quality.clone(),
        }
    }
}

impl TargetGauges {
    /// Counts a change of the breaker to the state of this name.
    pub fn transition(&self, to: &str) {
        self.transitions.with_label_values(&[&self.model, &self.provider, to]).inc();
    }

    /// Says what the breaker does: 0 closed, 1 half-open, 2 open.
    pub fn breaker(&self, state: i64) {
        self.state.set(state);
    }

    /// Says what share of its answers passes; there is no such line before the first one.
    pub fn quality(&self, share: f64) {
        self.quality.with_label_values(&[&self.model]).set(share);
    }

    /// Says how the target does: its health score.
    pub fn score(&self, score: f64) {
        self.score.set(score);
    }
}
