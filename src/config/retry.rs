//! `[retry]`: how much more than one try a request may cost its providers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Repeated tries.
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
        }
    }
}
