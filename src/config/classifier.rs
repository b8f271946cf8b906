//! `[classifier]`: what savings are measured against.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Routing by the request's nature.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Classifier {
    /// The model whose price savings are counted against: what everything would have cost there. Absent: none are.
    pub baseline: Option<String>,
}
