//! Whether a model can do what a request needs.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::book::Target;
use crate::openai::{BadField, Needs};

/// What a model lacks that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It calls no tools.
    Tools,
    /// It sees no images.
    Vision,
    /// It does not hear or speak.
    Audio,
    /// It reads no files.
    Files,
    /// It does not answer in a JSON schema.
    JsonSchema,
    /// It does not answer in JSON.
    JsonMode,
    /// It does not answer piece by piece.
    Streaming,
    /// The question surely does not fit into its context window.
    ContextWindow,
    /// It is left alone for a while.
    Health {
        /// Why: `open`, `rate_limited`, `resting`, `slow_start`, `out`.
        why: &'static str,
        /// Until when, if that is known.
        until: Option<Instant>,
    },
    /// A budget of its own, by name, is spent.
    Budget(Arc<str>),
    /// A budget applies, and nobody knows what it costs.
    Price,
    /// Its provider does not take a field of the request.
    Field(BadField),
}

impl Missing {
    /// The name used in headers, logs and `error.attempts`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tools => "tools",
            Self::Vision => "vision",
            Self::Audio => "audio",
            Self::Files => "files",
            Self::JsonSchema => "json_schema",
            Self::JsonMode => "json_mode",
            Self::Streaming => "streaming",
            Self::ContextWindow => "context_window",
            Self::Health { why, .. } => why,
            Self::Budget(_) => "budget",
            Self::Price => "price",
            Self::Field(field) => field.param.as_deref().unwrap_or("request"),
        }
    }

    /// The field of the request that needs it.
    pub fn param(&self) -> Option<&str> {
        Some(match self {
            Self::Tools => "tools",
            Self::Vision | Self::Audio | Self::Files | Self::ContextWindow => "messages",
            Self::JsonSchema | Self::JsonMode => "response_format",
            Self::Streaming => "stream",
            Self::Health { .. } | Self::Budget(_) | Self::Price => return None,
            Self::Field(field) => return field.param.as_deref(),
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a target can do what a request needs. What nobody knows of it is taken to be possible.
///
/// # Errors
/// The first thing that it lacks.
pub fn fits(needs: &Needs, target: &Target) -> Result<(), Missing> {
    let can = &target.capabilities;
    let lacks = |needed: bool, can: Option<bool>| needed && can == Some(false);
    Err(match () {
        () if lacks(needs.tools, can.tools) => Missing::Tools,
        () if lacks(needs.vision, can.vision) => Missing::Vision,
        () if lacks(needs.audio, can.audio) => Missing::Audio,
        () if lacks(needs.files, can.files) => Missing::Files,
        () if lacks(needs.json_schema, can.json_schema) => Missing::JsonSchema,
        () if lacks(needs.json_mode, can.json_mode) => Missing::JsonMode,
        () if lacks(needs.streaming, can.streaming) => Missing::Streaming,
        () if target.context_window.is_some_and(|window| needs.tokens > window) => Missing::ContextWindow,
        () => return Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Book, Rank, WantedBy};

    fn target(settings: serde_json::Value) -> std::sync::Arc<Target> {
        let mut model = serde_json::json!({ "provider": "p" });
        model.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config = serde_json::json!({ "providers": { "p": {} }, "models": { "m": model } });
        let book = Book::compile(&serde_json::from_value(config).unwrap(), |_| true);
        let wanted = book.wanted(WantedBy::Name("m")).unwrap();
        book.chain(&wanted, |_| Rank::default(), || 0.0).targets.remove(0)
    }

    #[test]
    fn only_what_is_known_to_be_missing_counts() {
        let all = Needs {
            tools: true,
            vision: true,
            audio: true,
            files: true,
            json_schema: true,
            json_mode: true,
            streaming: true,
            tokens: 1000,
        };
        assert_eq!(fits(&all, &target(serde_json::json!({}))), Ok(()));
        for missing in ["tools", "vision", "audio", "files", "json_schema", "json_mode", "streaming"] {
            let target = target(serde_json::json!({ "capabilities": { missing: false } }));
            assert_eq!(fits(&all, &target).unwrap_err().as_str(), missing);
            assert_eq!(fits(&Needs::default(), &target), Ok(()), "{missing}");
        }
        let window = |window: u64| fits(&all, &target(serde_json::json!({ "context_window": window })));
        assert_eq!((window(1000), window(999)), (Ok(()), Err(Missing::ContextWindow)));
    }
}
