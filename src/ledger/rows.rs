//! Pages of ledger rows, as operators see them.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use uuid::Uuid;

use super::report::Period;
use crate::base::money::Nanos;

/// How many rows a page has where nobody says.
pub const DEFAULT_LIMIT: usize = 100;
/// How many rows a page has at most.
pub const MAX_LIMIT: usize = 1_000;

/// Which rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowQuery {
    /// Of which time.
    pub period: Period,
    /// Only those of this key.
    pub key: Option<String>,
    /// Only those of this target.
    pub model: Option<String>,
    /// Only those of this request.
    pub request_id: Option<String>,
    /// Only those behind this row: older ones.
    pub after: Option<Cursor>,
    /// How many at most; [`MAX_LIMIT`] is not passed.
    pub limit: usize,
}

/// A place between rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The time of the row before it.
    pub time: i64,
    /// The id of the row before it.
    pub id: Uuid,
}

impl Cursor {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, id) = text.split_once('.')?;
        let cursor = Self { time: time.parse().ok()?, id: Uuid::try_parse(id).ok()? };
        // Only in the one form that is given out.
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time, self.id.simple())
    }
}

/// A page of rows, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The rows.
    pub data: Vec<LedgerRow>,
    /// Where the next page begins: the text of a [`Cursor`]; `None` behind the last row.
    pub next: Option<String>,
}

/// A row. Prompt and answer text are never in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LedgerRow {
    /// Its id, a UUIDv7.
    pub id: String,
    /// The request's id.
    pub request_id: String,
    /// Which attempt of its request, from 1; 0: the request came to none.
    pub attempt: i64,
    /// When it was admitted, as RFC 3339.
    pub time: String,
    /// The key's name.
    pub key: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// The entry of the chain.
    pub route: Option<String>,
    /// The classifier's tier.
    pub tier: Option<String>,
    /// The classifier's task.
    pub task: Option<String>,
    /// The classifier's complexity, 1 to 10.
    pub complexity: Option<i64>,
    /// What the client named in `model`.
    pub requested_model: Option<String>,
    /// The target.
    pub model: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// Where the target stood in the chain, from 1; 0: there was none, or it came behind an answer that failed its
    /// checks.
    pub position: i64,
    /// `actual`, `estimated` or `adjustment`.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: String,
    /// What the checks of its answer found: `ok`, or the worst one that failed; null where it was not checked.
    pub quality: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What the cache did.
    pub cache: Option<String>,
    /// Tokens read anew.
    pub input_tokens: i64,
    /// Tokens read from the provider's prompt cache.
    pub cached_input_tokens: i64,
    /// Tokens written to the provider's prompt cache.
    pub cache_write_tokens: i64,
    /// Tokens shown.
    pub output_tokens: i64,
    /// Tokens thought.
    pub reasoning_tokens: i64,
    /// What it cost.
    pub cost_usd: Nanos,
    /// Whether that is known: a model without a price costs 0 here.
    pub priced: bool,
    /// What it would have cost on the baseline model.
    pub baseline_usd: Option<Nanos>,
    /// What it would have cost on the chain's first target.
    pub first_choice_usd: Option<Nanos>,
    /// From sending to the first content, in milliseconds.
    pub first_byte_ms: Option<i64>,
    /// From sending to the end, in milliseconds.
    pub duration_ms: i64,
    /// What Weir itself took, in milliseconds.
    pub overhead_ms: f64,
    /// The budget of an adjustment.
    pub budget: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_in_one_form() {
        let cursor = Cursor { time: -5, id: Uuid::now_v7() };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for bad in ["", "1", "1.x", "+1.00000000000000000000000000000000", ".", "99999999999999999999.0"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
