//! `[classifier.keywords]`: rules that anyone can read, for `kind = "keywords"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which words make a prompt more or less complex. Rules of one's own are added to those of the preset. Measured on
/// public outcomes both presets are about as good as chance, see docs/routing.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keywords {
    /// A published set of rules: `1-10` (begin at 5, count up and down) or `3-way` (complex, moderate or simple).
    /// Absent, and without `rules`: `1-10`.
    pub preset: Option<KeywordPreset>,
    /// The complexity of a prompt on which no rule bears, 1 to 10; absent: 5.
    pub base: Option<u8>,
    /// Rules of one's own. A rule with `set` is decided before the presets: the first that fits wins.
    pub rules: Vec<KeywordRule>,
}

/// A published set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeywordPreset {
    /// From 5, one up for each word like "analyze" or "compare", one down for each like "simple" or "what is".
    #[serde(rename = "1-10")]
    Scale,
    /// 8 with a word like "trade-offs" or "architecture", else 2 with one like "define" or "how to", else 5.
    #[serde(rename = "3-way")]
    ThreeWay,
}

/// What a word does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeywordRule {
    /// Words or phrases; capitals do not matter, parts of longer words count.
    pub words: Vec<String>,
    /// Added to the complexity for each of them that is in the prompt.
    pub add: i8,
    /// The complexity, 1 to 10, of a prompt that has one of them.
    pub set: Option<u8>,
}
