//! Where a provider that speaks OpenAI's format differs from OpenAI.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a provider that speaks OpenAI's format differs from OpenAI; a preset says it for those that it knows.
/// A field that the provider cannot take is refused with a 400, or left out with `drop_unsupported`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// The field in which a chat's output limit is sent.
    pub output_limit: OutputLimit,
    /// Whether `stream_options` is taken. Where not, it is left out: the provider reports usage unasked.
    pub stream_options: bool,
    /// Whether the role `developer` is taken. Where not, such messages are sent as `system`.
    pub developer_role: bool,
    /// Fields that the provider cannot take.
    pub refused_fields: Vec<String>,
    /// Fields that the provider calls otherwise, like `{ seed = "random_seed" }`.
    pub renamed_fields: BTreeMap<String, String>,
    /// The most answers to one question (`n`); absent: any number.
    pub max_n: Option<u32>,
    /// The highest `temperature`; absent: any.
    pub max_temperature: Option<f64>,
    /// The ids of tool calls that are taken. Others, which another provider gave, are written anew, the same in call
    /// and result.
    pub tool_id: ToolId,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            output_limit: OutputLimit::AsSent,
            stream_options: true,
            developer_role: true,
            refused_fields: Vec::new(),
            renamed_fields: BTreeMap::new(),
            max_n: None,
            max_temperature: None,
            tool_id: ToolId::Any,
        }
    }
}

/// The field in which a chat's output limit is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// The one that the client used.
    AsSent,
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// The ids of tool calls that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolId {
    /// Any of up to 40 characters.
    Any,
    /// Nine letters or digits.
    Nine,
}
