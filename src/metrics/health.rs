//! What is shown of targets' health.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

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
    targets_up: IntGaugeVec,
}

/// The metrics of one target's health.
#[derive(Clone, Debug)]
pub struct TargetGauges {
    model: String,
    provider: String,
    transitions: IntCounterVec,
    state: IntGaugeVec,
    score: GaugeVec,
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
            targets_up: maker.gauges(
                "route_targets_up",
                "How many of a route's own targets are not down.",
                &["route"],
            )?,
        })
    }

    /// Forgets what the page is told anew each time.
    pub(super) fn forget(&self) {
        self.state.reset();
        self.score.reset();
        self.targets_up.reset();
    }

    /// Says how many targets of a route are not down.
    pub fn targets_up(&self, route: &str, targets: usize) {
        self.targets_up.with_label_values(&[route]).set(i64::try_from(targets).unwrap_or(i64::MAX));
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
        TargetGauges {
            model: model.to_owned(),
            provider: provider.to_owned(),
            transitions: self.transitions.clone(),
            state: self.state.clone(),
            score: self.score.clone(),
            quality: self.quality.clone(),
        }
    }
}

impl TargetGauges {
    /// Counts a change of the breaker to the state of this name.
    pub fn transition(&self, to: &str) {
        self.transitions.with_label_values(&[&self.model, &self.provider, to]).inc();
    }

    /// Says what share of its answers passes; there is no such line before the first one.
    pub fn quality(&self, share: f64) {
        self.quality.with_label_values(&[&self.model]).set(share);
    }

    /// Says how the target does: its breaker (0 closed, 1 half-open, 2 open), its health score.
    pub fn show(&self, breaker: i64, score: f64) {
        let labels = [&self.model, &self.provider];
        self.state.with_label_values(&labels).set(breaker);
        self.score.with_label_values(&labels).set(score);
    }
}
