//! What a model can do, as far as somebody said so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a model can do. What nobody says is taken to be possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Calls tools.
    pub tools: Option<bool>,
    /// Calls several tools at once.
    pub parallel_tools: Option<bool>,
    /// Sees images.
    pub vision: Option<bool>,
    /// Hears or speaks.
    pub audio: Option<bool>,
    /// Reads files, like PDF.
    pub files: Option<bool>,
    /// Answers in a given JSON schema.
    pub json_schema: Option<bool>,
    /// Answers in JSON.
    pub json_mode: Option<bool>,
    /// Thinks before it answers.
    pub reasoning: Option<bool>,
    /// Answers piece by piece.
    pub streaming: Option<bool>,
}

impl Capabilities {
    /// These, and where they say nothing what `others` say.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            tools: self.tools.or(others.tools),
            parallel_tools: self.parallel_tools.or(others.parallel_tools),
            vision: self.vision.or(others.vision),
            audio: self.audio.or(others.audio),
            files: self.files.or(others.files),
            json_schema: self.json_schema.or(others.json_schema),
            json_mode: self.json_mode.or(others.json_mode),
            reasoning: self.reasoning.or(others.reasoning),
            streaming: self.streaming.or(others.streaming),
        }
    }
}
