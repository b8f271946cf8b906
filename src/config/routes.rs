//! `[routes.NAME]`: what a client names in `model`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HedgeAfter, QualityCheck, Span};

/// An ordered chain of targets, and what comes behind it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The models to try, each by its name or as `{ model = "...", weight = 2 }`.
    pub targets: Vec<RouteTarget>,
    /// In which order they are tried. Whatever it is, a target that is rate-limited, or whose breaker is open, is
    /// passed over, and one that mostly fails comes behind those that do not.
    pub order: Order,
    /// What `order = "balanced"` weighs.
    pub weights: Weights,
    /// The next route when every target here failed.
    pub fallback: Option<String>,
    /// Another next route where the last target failed for this reason: `timeout` (too slow), `rate_limit`, `context`
    /// (the question is too long), `error` (anything else).
    pub fallback_on: BTreeMap<FallbackReason, String>,
    /// How many tries a request that enters here may make in all, fallbacks included; absent: as many as the
    /// resolved chain has targets, at most 8, with the `retries` of its models.
    pub max_attempts: Option<u32>,
    /// The next target is started while the first one is still silent after this time: a span, or `"p95"`, the time
    /// within which that model sends 95 % of its first tokens to prompts of that size. The first content wins, the other try
    /// is closed and counted. `""`: never. Of a request that enters here.
    pub hedge_after: HedgeAfter,
    /// Whether requests that are no streams are hedged too, by the time of whole answers.
    pub hedge_non_stream: bool,
    /// So many targets are started at once, always, 2 to 8; the first content wins. Each request costs more for it.
    pub parallel: Option<usize>,
    /// Which checks of a chat's whole answer send the request to `escalate_to`, once: `empty`, `refusal`, `invalid_json`,
    /// `schema_mismatch`, `truncated`, `too_short`. Both answers are paid; the client gets the better one. A stream is only
    /// checked, and so is what a client pinned or wants without fallbacks, or what a budget sent to a cheaper route.
    pub escalate_on: Vec<QualityCheck>,
    /// The route whose own targets answer where an answer failed a check of `escalate_on`, as far as budgets allow.
    pub escalate_to: Option<String>,
    /// The fewest characters of an answer in words, for `too_short`; 0: any number will do.
    pub min_answer_chars: u32,
    /// How long its answers are kept, where it is not as long as `cache.ttl`; `"0s"`: not at all.
    pub cache_ttl: Option<Span>,
    /// Which text of `degraded.static` stands in where no target can answer; absent: `general`.
    pub category: Option<String>,
    /// Whether clients get the error as it is, whatever could stand in.
    pub always_honest: bool,
    /// Fields of the body that apply where the client said nothing, like `{ max_tokens = 2000 }`.
    pub defaults: BTreeMap<String, serde_json::Value>,
}

/// The order of a route's targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As written.
    #[default]
    Listed,
    /// The healthiest first, by the health score.
    Health,
    /// The fastest to its first token first.
    Latency,
    /// The cheapest first.
    Cost,
    /// Drawn at random by weight times health, anew for each request; a conversation that goes on stays
    /// (`classifier.sticky`).
    Weighted,
    /// By a weighted sum of price, latency and quality, see `weights`.
    Balanced,
}

/// What `order = "balanced"` weighs: the higher, the more it counts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// A low price.
    pub cost: f64,
    /// A short time to the first token.
    pub latency: f64,
    /// The model's `quality`.
    pub quality: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { cost: 0.4, latency: 0.3, quality: 0.3 }
    }
}

/// Why a target failed, as far as it decides on the next route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FallbackReason {
    /// It was too slow.
    Timeout,
    /// It wants to be left alone for a while.
    RateLimit,
    /// The question is too long for it.
    Context,
    /// Anything else.
    Error,
}

/// A target of a route, by name alone or with its weight.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteTarget {
    /// The model's name.
    Name(String),
    /// The model's name with its weight.
    Weighted(WeightedTarget),
}

/// A target with its weight.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedTarget {
    /// The model's name.
    pub model: String,
    /// Its share beside the others', for `order = "weighted"`; default 1.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl RouteTarget {
    /// The model's name.
    pub fn model(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Weighted(target) => &target.model,
        }
    }

    /// The target's weight.
    pub fn weight(&self) -> f64 {
        match self {
            Self::Name(_) => one(),
            Self::Weighted(target) => target.weight,
        }
    }
}
