//! When a second try starts beside a silent one, as it is written in a file.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::Span;

/// `"500ms"`, `"p95"`, or `""` for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HedgeAfter {
    /// Never.
    #[default]
    Never,
    /// After the time within which the model sends 95 % of its first tokens.
    P95,
    /// After this time.
    Time(Span),
}

impl HedgeAfter {
    /// What it looks like, for messages.
    pub const FORM: &str = "a span of time like \"500ms\", \"p95\", or \"\" for never";

    /// Reads one of the three forms.
    ///
    /// # Errors
    /// Says what it looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Never),
            "p95" => Ok(Self::P95),
            _ => Span::parse(text)
                .map(Self::Time)
                .map_err(|_| format!("`{text}` says no time for a hedge: write {}", Self::FORM)),
        }
    }
}

impl fmt::Display for HedgeAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => Ok(()),
            Self::P95 => f.write_str("p95"),
            Self::Time(span) => fmt::Display::fmt(span, f),
        }
    }
}

impl<'de> Deserialize<'de> for HedgeAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl serde::Serialize for HedgeAfter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for HedgeAfter {
    fn schema_name() -> Cow<'static, str> {
        "HedgeAfter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "hedge" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms() {
        assert_eq!(HedgeAfter::parse(""), Ok(HedgeAfter::Never));
        assert_eq!(HedgeAfter::parse("p95"), Ok(HedgeAfter::P95));
        assert_eq!(HedgeAfter::parse("2s"), Ok(HedgeAfter::Time(Span::secs(2))));
        for text in ["", "p95", "500ms"] {
            assert_eq!(HedgeAfter::parse(text).unwrap().to_string(), text);
        }
        assert!(HedgeAfter::parse("p99").unwrap_err().contains("\"p95\""));
    }
}
