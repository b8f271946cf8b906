//! `[retry]`: how much more than one try a request may cost its providers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Repeated tries, hedges.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How many tries a request may make in all where its route does not say.
    pub max_attempts: u32,
    /// The first pause before a target is tried again is at most so long; doubled each time.
    pub backoff_min: Span,
    /// No pause before a repeated try is longer, unless the provider asks for it.
    pub backoff_max: Span,
    /// Repeated tries on a provider may be this share of its requests, 0 to 1. Another provider's are free.
    pub budget_share: f64,
    /// So many repeated tries a second a provider may always get.
    pub budget_per_second: f64,
    /// So many repeated tries may be saved up. 0: none is made.
    pub budget_burst: f64,
    /// Hedges may be this share of all requests, 0 to 1.
    pub hedge_share: f64,
    /// So many hedges may be saved up; a start has them in advance. 0: none is made.
    pub hedge_burst: f64,
    /// With `hedge_after = "p95"`: from so many samples on, at most 256.
    pub hedge_min_samples: usize,
    /// With `hedge_after = "p95"`: never sooner than this.
    pub hedge_floor: Span,
    /// No hedge to a provider that fails more often than this, 0 to 1.
    pub hedge_max_failures: f64,
    /// No hedge to a provider for so long after it was at a rate limit.
    pub hedge_rest: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            backoff_min: Span(Duration::from_millis(250)),
            backoff_max: Span::secs(8),
            // Google's SRE book: a client's retries are at most 10 % of its requests.
            budget_share: 0.1,
            budget_per_second: 1.0,
            // What tower's `TpsBudget` keeps in reserve: the floor over its window of 10 s.
            budget_burst: 10.0,
            // "The Tail at Scale": hedging behind the p95 costs about 5 % more load.
            hedge_share: 0.05,
            hedge_burst: 10.0,
            hedge_min_samples: 200,
            hedge_floor: Span(Duration::from_millis(300)),
            hedge_max_failures: 0.2,
            hedge_rest: Span::secs(30),
        }
    }
}
