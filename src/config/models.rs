//! `[models.NAME]`: targets, each a model at a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capabilities, Price, Span};

/// A target: what a route's chain names.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name of its provider in `[providers]`.
    pub provider: String,
    /// The provider's own name for it; absent: the same name.
    #[serde(default)]
    pub upstream_model: Option<String>,
    /// What its tokens cost, in USD per million; absent: what the catalogue says.
    #[serde(default)]
    pub price: Option<Price>,
    /// How good its answers are beside others', 0 to 1.
    #[serde(default)]
    pub quality: Option<f64>,
    /// What it can do; what is absent: what the catalogue says, else taken to be possible.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How many tokens of question and answer it takes; absent: what the catalogue says, else unknown.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// How many tokens it can answer; absent: what the catalogue says, else unknown.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// The route to go on with when a client names this model directly and it fails.
    #[serde(default)]
    pub fallback: Option<String>,
    /// Text put before the system prompt, for this model only.
    #[serde(default)]
    pub system_prefix: Option<String>,
    /// How long its first token may take; absent: the provider's.
    #[serde(default)]
    pub first_byte_timeout: Option<Span>,
    /// Repeat tries on this target before moving on.
    #[serde(default)]
    pub retries: u32,
}
