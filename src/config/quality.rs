//! What is checked of answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A check of an answer; the worst failure first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityCheck {
    /// It says nothing, calls no tool and shows nothing.
    Empty,
    /// It refuses: by its `refusal` field, the finish reason `content_filter`, or the beginning of a short English text.
    Refusal,
    /// JSON was asked for with `response_format`, and it is none.
    InvalidJson,
    /// It does not have the shape of the schema in `response_format`.
    SchemaMismatch,
    /// It ended at a limit of tokens.
    Truncated,
    /// It has fewer characters than the route's `min_answer_chars`.
    TooShort,
}

impl QualityCheck {
    /// All checks, the worst failure first.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Refusal,
        Self::InvalidJson,
        Self::SchemaMismatch,
        Self::Truncated,
        Self::TooShort,
    ];

    /// The name used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Refusal => "refusal",
            Self::InvalidJson => "invalid_json",
            Self::SchemaMismatch => "schema_mismatch",
            Self::Truncated => "truncated",
            Self::TooShort => "too_short",
        }
    }
}
