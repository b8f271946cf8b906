//! `[breaker]`: when a target is left alone, when it is tried again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Breakers, rate limits, slow start, health scores. Each model at its provider has its own; connections that fail
/// count on one of the provider as well.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Leave a failing target alone for a while, try one that mostly fails behind others. Off: every target is tried
    /// in its turn; rate limits are still kept.
    pub enabled: bool,
    /// How far back outcomes are counted.
    pub window: Span,
    /// Into how many equal parts the window is cut; the oldest part is forgotten at once. 1 to 100.
    pub buckets: usize,
    /// So many failures in a row open the breaker.
    pub failures_in_a_row: u32,
    /// So many failures in a row open it while the target gets more than `busy_above` requests a second.
    pub failures_in_a_row_when_busy: u32,
    /// Requests a second above which a target is busy.
    pub busy_above: f64,
    /// Shares are judged from so many outcomes in the window on.
    pub min_calls: u32,
    /// A share of successes below this opens the breaker, 0 to 1.
    pub min_success: f64,
    /// From so many outcomes on, a share of successes below `sure_success` opens it too.
    pub sure_calls: u32,
    /// See `sure_calls`, 0 to 1: of a target that fails half the time the plain rule would miss one in ten for long.
    pub sure_success: f64,
    /// A share of slow answers of this or more opens the breaker, 0 to 1; above 1 never.
    pub max_slow: f64,
    /// An answer is slow that takes so many times the target's usual p95 (a stream: to its first token).
    pub slow_factor: f64,
    /// No answer sooner than this is slow.
    pub slow_floor: Span,
    /// How long the breaker is open the first time; doubled each time it opens again.
    pub open_min: Span,
    /// How long a breaker is open at most.
    pub open_max: Span,
    /// How much longer or shorter it is open by chance, as a share, 0 to 1: many gateways then do not come back at once.
    pub open_jitter: f64,
    /// After so long closed without a bad share of successes, one opening is forgotten.
    pub forgive_after: Span,
    /// So many probes must succeed to close a breaker.
    pub probe_successes: u32,
    /// A probe that nobody heard of for so long no longer stops the next.
    pub probe_lease: Span,
    /// When nothing else is left, an open target still gets one request in this time.
    pub last_resort_every: Span,
    /// How long a target that is closed again takes to get its whole traffic; `"0s"`: at once.
    pub slow_start: Span,
    /// The share of its traffic that it gets first, above 0, up to 1.
    pub slow_start_from: f64,
    /// A rate limit is kept at least so long, whatever the provider names.
    pub limit_min: Span,
    /// A rate limit is kept at most so long, whatever the provider names.
    pub limit_max: Span,
    /// How much longer a rate limit is kept by chance, as a share, 0 to 1.
    pub limit_jitter: f64,
    /// How long a rate limit is kept for which the provider names no time; doubled each time one follows another.
    pub unnamed_limit_min: Span,
    /// How long a rate limit is kept at most for which the provider names no time.
    pub unnamed_limit_max: Span,
    /// How long a target rests whose provider does not know the model.
    pub model_rest: Span,
    /// A try that another one overtook, and that had no connection for so long, counts as one that could not connect.
    pub unreachable_after: Span,
    /// A target that succeeds less often than this is degraded: it is tried behind healthy ones, 0 to 1.
    pub degraded_below: f64,
    /// How quickly a slow answer is forgotten in the health score.
    pub latency_decay: Span,
    /// How many successes a target is taken to have had before its first; they soften the first failures.
    pub score_prior: f64,
    /// Below this share of what the provider lets pass, the health score is halved, 0 to 1.
    pub low_quota: f64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enabled: true,
            // linkerd2-proxy counts in a ring as well, since it gave up an average that fades.
            window: Span::secs(30),
            buckets: 10,
            // Envoy's `consecutive_5xx` is 5, linkerd's `consecutive-max-failures` 7.
            failures_in_a_row: 5,
            failures_in_a_row_when_busy: 7,
            busy_above: 10.0,
            min_calls: 10,
            // Resilience4j's `failureRateThreshold` is 50 %.
            min_success: 0.5,
            // Simulated: with 50 % failures at 5 a second, the rules above miss one in ten for longer than 15 s, with this
            // one it is one in a hundred; at 5 % failures none is false.
            sure_calls: 30,
            sure_success: 0.6,
            max_slow: 0.8,
            slow_factor: 4.0,
            slow_floor: Span::secs(10),
            open_min: Span::secs(5),
            // Envoy's `max_ejection_time`.
            open_max: Span::secs(300),
            open_jitter: 0.2,
            forgive_after: Span::secs(60),
            probe_successes: 2,
            probe_lease: Span::secs(60),
            last_resort_every: Span::secs(1),
            slow_start: Span::secs(30),
            // Envoy's `min_weight_percent` is 10 %.
            slow_start_from: 0.1,
            limit_min: Span::secs(1),
            limit_max: Span::secs(300),
            limit_jitter: 0.1,
            unnamed_limit_min: Span::secs(1),
            unnamed_limit_max: Span::secs(60),
            model_rest: Span::secs(300),
            // Three round trips make a connection; half a second is more than any that is worth a hedge.
            unreachable_after: Span(Duration::from_millis(500)),
            degraded_below: 0.8,
            // Finagle's and tower's peak EWMA decays in 10 s.
            latency_decay: Span::secs(10),
            score_prior: 4.0,
            low_quota: 0.1,
        }
    }
}
