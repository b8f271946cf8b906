//! What tokens cost, by kind, in USD per million.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::money::Pico;

/// Prices in USD per million tokens, as numbers or decimal texts with at most 6 decimals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: Pico,
    /// Tokens of the answer; 0 for embeddings.
    pub output: Pico,
    /// Tokens read from the provider's prompt cache; absent: as `input`.
    #[serde(default)]
    pub cached_input: Option<Pico>,
    /// Tokens written to the provider's prompt cache; absent: as `input`.
    #[serde(default)]
    pub cache_write: Option<Pico>,
    /// Tokens written to the provider's prompt cache for an hour; absent: as `cache_write`.
    #[serde(default)]
    pub cache_write_1h: Option<Pico>,
    /// Tokens thought before the answer; absent: as `output`.
    #[serde(default)]
    pub reasoning: Option<Pico>,
    /// Tokens heard; absent: as `input`.
    #[serde(default)]
    pub audio_input: Option<Pico>,
    /// Tokens spoken; absent: unknown, so that a budget refuses requests that want speech.
    #[serde(default)]
    pub audio_output: Option<Pico>,
    /// Prices of requests whose prompt is longer than a size.
    #[serde(default)]
    pub tiers: Vec<PriceTier>,
}

/// Prices that hold for the whole request once its prompt is long. A kind that is left out costs as much more (or
/// less) than in the table above it as the kind that it would otherwise default to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceTier {
    /// The tier holds for prompts of more tokens than this.
    pub above: u64,
    /// Tokens of the prompt.
    pub input: Pico,
    /// Tokens of the answer.
    pub output: Pico,
    /// Tokens read from the provider's prompt cache.
    #[serde(default)]
    pub cached_input: Option<Pico>,
    /// Tokens written to the provider's prompt cache.
    #[serde(default)]
    pub cache_write: Option<Pico>,
    /// Tokens written to the provider's prompt cache for an hour.
    #[serde(default)]
    pub cache_write_1h: Option<Pico>,
    /// Tokens thought before the answer.
    #[serde(default)]
    pub reasoning: Option<Pico>,
    /// Tokens heard.
    #[serde(default)]
    pub audio_input: Option<Pico>,
    /// Tokens spoken.
    #[serde(default)]
    pub audio_output: Option<Pico>,
}
