//! `[ledger]`: where every cent is written down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// The ledger: one row an attempt, the state of every budget, keys made at run time.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// `sqlite:PATH`, or `sqlite::memory:` for one that ends with the process. A reload does not move it.
    pub url: String,
    /// `durable`: the last byte of an answer waits until its row is on the disk. `async`: it does not; a crash may lose
    /// rows of the last moments, never the right side of a budget.
    pub ack: Ack,
    /// How long rows are kept; older ones are deleted, budgets keep their sums. `"0s"`: for ever.
    pub retention: Span,
    /// How often the file's free pages are given back to the disk; `"0s"`: never.
    pub vacuum_every: Span,
    /// How many rows may wait to be written; past it: 503 `ledger_unavailable`. A reload does not change it.
    pub max_queue: usize,
    /// Keep answers for requests that carry an `idempotency-key`, to give them again. The only place where the text
    /// of answers is stored.
    pub idempotency: bool,
    /// How long such an answer is kept, at most a day.
    pub idempotency_ttl: Span,
    /// How many bytes the kept answers may take; the oldest make room.
    pub idempotency_max_bytes: Size,
    /// How often it is written down how each target did in the last 15 minutes, so that a restart does not forget it;
    /// a clean stop does so too. `"0s"`: never.
    pub health_every: Span,
}

/// Where a ledger lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the memory of its process.
    Memory,
    /// In a file.
    File(&'a str),
}

impl<'a> Place<'a> {
    /// Reads `ledger.url`; `None`: it names no place.
    pub fn parse(url: &'a str) -> Option<Self> {
        let path = url.strip_prefix("sqlite:")?;
        match path.strip_prefix("//").unwrap_or(path) {
            ":memory:" => Some(Self::Memory),
            // SQLite has meanings of its own for those.
            path if path.is_empty() || path.starts_with(':') => None,
            path => Some(Self::File(path)),
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            url: "sqlite:weir.db".into(),
            ack: Ack::Durable,
            retention: Span::secs(400 * 24 * 60 * 60),
            vacuum_every: Span::secs(24 * 60 * 60),
            max_queue: 65_536,
            idempotency: false,
            idempotency_ttl: Span::secs(24 * 60 * 60),
            idempotency_max_bytes: Size::mib(256),
            health_every: Span::secs(10),
        }
    }
}

/// When an answer may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// When its row is on the disk.
    #[default]
    Durable,
    /// At once.
    Async,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_memory() {
        for (url, place) in [
            ("sqlite:a/b.db", Some(Place::File("a/b.db"))),
            ("sqlite:///a.db", Some(Place::File("/a.db"))),
            ("sqlite::memory:", Some(Place::Memory)),
            ("sqlite://:memory:", Some(Place::Memory)),
            ("sqlite:", None),
            ("sqlite://", None),
            ("sqlite::other:", None),
            ("a.db", None),
        ] {
            assert_eq!(Place::parse(url), place, "{url}");
        }
    }
}
