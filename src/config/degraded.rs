//! `[degraded]`: what stands in where no target can answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers for when every target is down or limited, labelled as such (`x-weir-degraded`). First the caller's own past
/// answer, where the cache has it (`cache.stale_if_error`), then a fixed text; without either the error is given as it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Degraded {
    /// Fixed texts by the `category` of routes; `general` is that of routes without one, and of models named directly.
    #[serde(rename = "static")]
    pub texts: BTreeMap<String, String>,
}

impl Degraded {
    /// The category of whatever has none of its own.
    pub const GENERAL: &str = "general";
}
