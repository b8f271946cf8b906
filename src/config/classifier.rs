//! `[classifier]`: which model is enough for a request.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keywords, Span};

/// Routing by the request's nature. Clients ask for it with the model name `auto`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Classifier {
    /// Who rates how hard a request is: `builtin` (Weir's own, in microseconds), `keywords` (rules that can be read), `llm`
    /// (a cheap model, asked through Weir itself).
    pub kind: ClassifierKind,
    /// The routes behind `auto`, each from a complexity of 1 to 10 on, like `{ min = 5, route = "standard" }`; one begins
    /// at 1. A client may name one by its route in `x-weir-tier`. Absent: `auto` is not served.
    pub tiers: Vec<Tier>,
    /// Tasks with a route of their own, which goes before the tier, like `{ code_generation = "code" }`. The classifier knows
    /// `code_generation`, `mathematics`, `knowledge`, `reasoning`, `document_analysis`, `extraction`,
    /// `creative_writing`, `chat`, `translation`, `summarization`; clients may name any other in `x-weir-task`.
    pub tasks: BTreeMap<String, String>,
    /// Languages with a route of their own, by their ISO 639-1 code, like `{ zh = "kimi" }`; a task's route goes before it.
    pub languages: BTreeMap<String, String>,
    /// The model whose price savings are counted against: what everything would have cost there. Absent: none are.
    pub baseline: Option<String>,
    /// The file that `weir calibrate` wrote: `builtin` fitted to prompts of your own. Absent: as it is shipped.
    pub calibration: Option<PathBuf>,
    /// The rules of `kind = "keywords"`.
    pub keywords: Keywords,
    /// The model that rates requests.
    pub llm: LlmClassifier,
    /// A conversation that goes on stays with the tier and the model that answered it before.
    pub sticky: Sticky,
}

/// Who rates requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierKind {
    /// Weir's own classifier.
    #[default]
    Builtin,
    /// Rules.
    Keywords,
    /// A model.
    Llm,
}

/// A route behind `auto`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The complexity from which it serves, 1 to 10, up to the next one.
    pub min: u8,
    /// The route; also the tier's name.
    pub route: String,
}

/// A model that rates requests, for `kind = "llm"`. It gives a number from 1 to 10, and nothing else of its answer counts. What it costs stands in
/// the ledger under the key `weir:classifier`, to which a budget may be given. Where it fails, `builtin` serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LlmClassifier {
    /// The route or model that is asked, a cheap one that does not think first; needed for `kind = "llm"`.
    pub model: String,
    /// How long it may take.
    pub deadline: Span,
    /// How many prompts keep their number, so that the same one is not rated twice; 0: none.
    pub cache_entries: usize,
}

impl Default for LlmClassifier {
    fn default() -> Self {
        Self { model: String::new(), deadline: Span(Duration::from_millis(1500)), cache_entries: 10_000 }
    }
}

/// Conversations stay with their model. While it is healthy, and the complexity has not risen by 3 or more:
/// providers' prompt caches are worth most of the price of what was said before. It holds for `auto`, and for routes
/// whose `order` is not `listed`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sticky {
    /// Whether conversations stay.
    pub enabled: bool,
    /// How many turns are remembered, as hashes; the oldest make room.
    pub entries: usize,
    /// For how long one is remembered.
    pub ttl: Span,
}

impl Default for Sticky {
    fn default() -> Self {
        Self { enabled: true, entries: 20_000, ttl: Span::secs(60 * 60) }
    }
}

impl Classifier {
    /// What a task's name looks like, for messages.
    pub const TASK_NAME_FORM: &str = "1 to 64 letters, digits, or any of _ . -";

    /// Whether a task may have this name, in the configuration or in `x-weir-task`.
    pub fn is_task_name(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    }
}
