//! `[cache]`: answers that are kept, to be given again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// Whole answers, kept in memory. A question that is byte for byte the same gets the kept answer at once and for nothing;
/// the same questions under way at one time are asked once.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Whether answers are kept at all.
    pub enabled: bool,
    /// How long an answer is given again. A client may want younger ones (`x-weir-cache: ttl=SECONDS`), and its own kept no
    /// longer than that.
    pub ttl: Span,
    /// How many bytes all kept answers may take, with what it takes to find them; those asked for least make room.
    pub max_bytes: Size,
    /// The largest answer that is kept.
    pub max_answer: Size,
    /// How many bytes of answers under way may be held for others who ask the same and come late, or want them in another form.
    /// Past it such requests are asked each by itself.
    pub max_flight_bytes: Size,
    /// Who shares answers: `key` (each virtual key has its own), `tag:NAME` (keys with the same value of that tag; a key
    /// without it has its own), `global` (everybody).
    pub scope: String,
    /// How long after its time a kept answer may still stand in where no target can answer; `"0s"`: not at all.
    pub stale_if_error: Span,
    /// Keep only answers to questions at `temperature` 0 or with a `seed`.
    pub deterministic_only: bool,
}

/// Who shares kept answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Nobody: each virtual key has its own.
    Key,
    /// Keys with the same value of this tag.
    Tag(String),
    /// Everybody.
    Global,
}

impl CacheScope {
    /// Reads a scope; `None`: it is in none of the forms.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "key" => Some(Self::Key),
            "global" => Some(Self::Global),
            _ => {
                let name = text.strip_prefix("tag:").filter(|name| !name.is_empty())?;
                Some(Self::Tag(name.to_owned()))
            }
        }
    }
}

impl Cache {
    /// Who shares answers; where the scope cannot be read, nobody does.
    pub fn scope(&self) -> CacheScope {
        CacheScope::parse(&self.scope).unwrap_or(CacheScope::Key)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: false,
            ttl: Span::secs(60 * 60),
            max_bytes: Size::mib(256),
            max_answer: Size::mib(1),
            max_flight_bytes: Size::mib(64),
            scope: "key".into(),
            stale_if_error: Span::secs(24 * 60 * 60),
            deterministic_only: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_three_forms() {
        for (text, scope) in [
            ("key", Some(CacheScope::Key)),
            ("global", Some(CacheScope::Global)),
            ("tag:team", Some(CacheScope::Tag("team".into()))),
            ("tag:a:b", Some(CacheScope::Tag("a:b".into()))),
            ("tag:", None),
            ("tag", None),
            ("Key", None),
            ("", None),
        ] {
            assert_eq!(CacheScope::parse(text), scope, "{text}");
        }
    }
}
