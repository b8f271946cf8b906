//! What Weir counts, under the names that the contract promises.

pub mod alerts;
pub mod cache;
pub mod credentials;
pub mod health;
mod ledger;
pub mod money;
mod process;
pub mod routing;
#[cfg(test)]
mod tests;
pub mod trace;

pub use ledger::LedgerMetrics;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use prometheus::{
    CounterVec, Encoder as _, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::{base::outcome::Outcome, openai::usage::Usage};
use alerts::AlertMetrics;
use cache::CacheMetrics;
use credentials::ProviderMetrics;
use health::HealthMetrics;
use process::ProcessMetrics;
use routing::{CheckCounters, RoutingMetrics};
use trace::TraceMetrics;

/// Milliseconds to the ten minutes that all tries together may take where nothing else is configured.
const SECONDS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Ten milliseconds to eleven minutes, each twice the one before: the alert on it asks for more than twice the usual, and
/// a quantile that steps over a border moves by as much as the borders do.
const FIRST_TOKEN: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
    655.36,
];
/// Ten microseconds to a second: what Weir itself adds. The alert on it asks for 200 ms, so one border is there.
const OVERHEAD: [f64; 14] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.025, 0.05, 0.1, 0.2, 1.0];

/// The label of whatever does not stand in the configuration: clients cannot make new series.
pub const OTHER: &str = "other";
/// The label where there is no such thing, like the model of a refused request.
pub const NONE: &str = "none";
/// The label of the entry where a client names a model, or models of its own.
pub const DIRECT: &str = "direct";

/// All metrics of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    overhead: Histogram,
    fallbacks: IntCounterVec,
    retries: IntCounterVec,
    in_flight: IntGauge,
    attempts: IntCounterVec,
    upstream_duration: HistogramVec,
    first_token: HistogramVec,
    tokens: IntCounterVec,
    usage_missing: IntCounterVec,
    reloads: IntCounterVec,
    up: IntGaugeVec,
    providers: ProviderMetrics,
    ledger: LedgerMetrics,
    health: HealthMetrics,
    alerts: AlertMetrics,
    routing: RoutingMetrics,
    cache: CacheMetrics,
    process: ProcessMetrics,
    trace: TraceMetrics,
}

/// The labels of a finished request.
#[derive(Clone, Debug)]
pub struct RequestLabels<'a> {
    /// The route at the entry.
    pub route: &'a str,
    /// The target that answered.
    pub model: &'a str,
    /// Its provider.
    pub provider: &'a str,
    /// The status that the client saw.
    pub status: u16,
    /// What the cache did.
    pub cache: &'static str,
    /// Whether it was a stream.
    pub stream: bool,
}

/// The metrics of one target, resolved once so that the request path looks nothing up.
#[derive(Clone, Debug)]
pub struct TargetMetrics {
    attempts: Arc<[IntCounter]>,
    duration: Histogram,
    first_token: Histogram,
    tokens: [IntCounter; 5],
    usage_missing: IntCounter,
    /// The checks of its answers.
    pub checks: CheckCounters,
}

impl Metrics {
    /// Metrics in a registry of their own.
    ///
    /// # Errors
    /// Never in practice: the names are constants.
    pub fn new() -> Result<Self, prometheus::Error> {
        let maker = Maker(Registry::new());
        let metrics = Self {
            requests: maker.counters(
                "requests_total",
                "Requests by outcome.",
                &["route", "model", "provider", "status", "cache", "stream"],
            )?,
            duration: maker.histograms(
                "request_duration_seconds",
                "From first to last byte.",
                &["route"],
                &SECONDS,
            )?,
            overhead: maker.histogram(
                "overhead_seconds",
                "Time not spent waiting for an upstream.",
                &OVERHEAD,
            )?,
            fallbacks: maker.counters(
                "fallbacks_total",
                "Moves from one target to the next.",
                &["route", "from", "to", "reason"],
            )?,
            retries: maker.counters(
                "retries_total",
                "Repeat tries on the same target.",
                &["provider", "reason"],
            )?,
            in_flight: maker.gauge("in_flight", "Requests under way.")?,
            attempts: maker.counters(
                "upstream_attempts_total",
                "Tries on a target by outcome.",
                &["model", "provider", "outcome"],
            )?,
            upstream_duration: maker.histograms(
                "upstream_duration_seconds",
                "From sending a try to its end.",
                &["model", "provider"],
                &SECONDS,
            )?,
            first_token: maker.histograms(
                "time_to_first_token_seconds",
                "From sending a try to its first content; the whole answer if it is no stream.",
                &["model", "provider"],
                &FIRST_TOKEN,
            )?,
            tokens: maker.counters("tokens_total", "Tokens by kind.", &["model", "kind"])?,
            usage_missing: maker.counters("usage_missing_total", "Answers without usage.", &["model"])?,
            reloads: maker.counters("config_reloads_total", "Reloads of the configuration.", &["result"])?,
            up: maker.gauges("provider_enabled", "1 if it is on, 0 without its keys.", &["provider"])?,
            providers: ProviderMetrics::new(&maker)?,
            health: HealthMetrics::new(&maker)?,
            alerts: AlertMetrics::new(&maker)?,
            routing: RoutingMetrics::new(&maker)?,
            cache: CacheMetrics::new(&maker)?,
            ledger: LedgerMetrics::new(&maker)?,
            process: ProcessMetrics::new(&maker)?,
            trace: TraceMetrics::new(&maker)?,
            registry: maker.0.clone(),
        };
        let build = maker.gauges("build_info", "The version.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(metrics)
    }

    /// The metrics of a target; one that is not configured shares the label `other`.
    pub fn target(&self, model: &str, provider: &str) -> TargetMetrics {
        let attempts =
            Outcome::ALL.map(|outcome| self.attempts.with_label_values(&[model, provider, outcome.as_str()]));
        TargetMetrics {
            attempts: attempts.into(),
            duration: self.upstream_duration.with_label_values(&[model, provider]),
            first_token: self.first_token.with_label_values(&[model, provider]),
            tokens: ["input", "cached_input", "cache_write", "output", "reasoning"]
                .map(|kind| self.tokens.with_label_values(&[model, kind])),
            usage_missing: self.usage_missing.with_label_values(&[model]),
            checks: self.routing.checks(model),
        }
    }

    /// Makes the histogram of a route, so that requests make no new ones, each a series a border.
    pub fn route(&self, route: &str) {
        self.duration.with_label_values(&[route]);
    }

    /// A request began; the gauge falls when [`Metrics::request_ended`] is called.
    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> i64 {
        self.in_flight.get()
    }

    /// A request left, whatever became of it.
    pub fn request_ended(&self) {
        self.in_flight.dec();
    }

    /// Counts a finished request; `overhead`: what Weir itself took to the head of its answer, if there was one.
    pub fn request(&self, labels: &RequestLabels<'_>, took: Duration, overhead: Option<Duration>) {
        // Without an allocation: the words of all statuses are there.
        let status = StatusCode::from_u16(labels.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let stream = if labels.stream { "true" } else { "false" };
        let values = [labels.route, labels.model, labels.provider, status.as_str(), labels.cache, stream];
        self.requests.with_label_values(&values).inc();
        self.duration.with_label_values(&[labels.route]).observe(took.as_secs_f64());
        if let Some(overhead) = overhead {
            self.overhead.observe(overhead.as_secs_f64());
        }
    }

    /// Counts a move from one target to another.
    pub fn fallback(&self, route: &str, from: &str, to: &str, reason: Outcome) {
        self.fallbacks.with_label_values(&[route, from, to, reason.as_str()]).inc();
    }

    /// Counts a repeat try on the same target, or on the same provider with another credential.
    pub fn retry(&self, provider: &str, reason: Outcome) {
        self.retries.with_label_values(&[provider, reason.as_str()]).inc();
    }

    /// Counts a reload of the configuration.
    pub fn reload(&self, good: bool) {
        self.reloads.with_label_values(&[if good { "ok" } else { "rejected" }]).inc();
    }

    /// Forgets what the page is told anew each time, so that what a reload took away is no longer on it.
    pub fn forget(&self) {
        self.up.reset();
        self.providers.forget();
        self.health.forget();
    }

    /// Says whether a provider is on.
    pub fn provider(&self, name: &str, on: bool) {
        self.up.with_label_values(&[name]).set(on.into());
    }

    /// The metrics of targets' health.
    pub fn health(&self) -> &HealthMetrics {
        &self.health
    }

    /// The metrics of kept answers.
    pub fn cache(&self) -> &CacheMetrics {
        &self.cache
    }

    /// The metrics of alerts.
    pub fn alerts(&self) -> &AlertMetrics {
        &self.alerts
    }

    /// The metrics of traces.
    pub fn trace(&self) -> &TraceMetrics {
        &self.trace
    }

    /// The metrics of the ledger's writer.
    pub fn ledger(&self) -> LedgerMetrics {
        self.ledger.clone()
    }

    /// The metrics page, in Prometheus' text format.
    pub fn page(&self) -> Vec<u8> {
        self.process.look();
        let mut page = Vec::new();
        let families = self.registry.gather();
        // Writing to memory cannot fail; a page cut short would be the honest answer if it did.
        let _ = TextEncoder::new().encode(&families, &mut page);
        page
    }
}

impl TargetMetrics {
    /// Counts a try that ended.
    pub fn attempt(&self, outcome: Outcome, took: Duration) {
        self.attempts[outcome as usize].inc();
        // One that was not sent took none of the provider's time.
        if outcome != Outcome::Unsupported {
            self.duration.observe(took.as_secs_f64());
        }
    }

    /// Notes the time to the first content.
    pub fn first_token(&self, took: Duration) {
        self.first_token.observe(took.as_secs_f64());
    }

    /// Counts the tokens of an answer.
    pub fn usage(&self, usage: Option<&Usage>) {
        let Some(usage) = usage else {
            return self.usage_missing.inc();
        };
        // The promised kinds hold all tokens: audio counts as input or output, an hour's write as a write.
        let kinds = [
            usage.input + usage.audio_input,
            usage.cached_input,
            usage.cache_write + usage.cache_write_1h,
            usage.output + usage.audio_output,
            usage.reasoning,
        ];
        for (counter, tokens) in self.tokens.iter().zip(kinds) {
            if tokens > 0 {
                counter.inc_by(tokens);
            }
        }
    }
}

/// Makes metrics and registers them.
struct Maker(Registry);

impl Maker {
    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help).namespace("weir"), labels)?)
    }

    fn amounts(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
        self.add(CounterVec::new(Opts::new(name, help).namespace("weir"), labels)?)
    }

    fn levels(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(Opts::new(name, help).namespace("weir"), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help).namespace("weir"), labels)?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::with_opts(Opts::new(name, help).namespace("weir"))?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::with_opts(Opts::new(name, help).namespace("weir"))?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts::new(name, help).namespace("weir").buckets(buckets.to_vec());
        self.add(Histogram::with_opts(opts)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::new(name, help).namespace("weir").buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels)?)
    }
}
