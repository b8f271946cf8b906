//! A row of the ledger: one attempt, or one request that came to none.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use uuid::Uuid;

use crate::{
    base::{id::unique, money::Nanos, outcome::Outcome},
    openai::usage::Usage,
};

/// How sure a row's cost is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From the upstream's own count.
    Actual,
    /// Counted by Weir: the upstream did not say, or did not come to say it.
    Estimated,
    /// What a crash may have left unwritten: the rest of a budget's watermark.
    Adjustment,
}

impl Kind {
    /// The name used in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Estimated => "estimated",
            Self::Adjustment => "adjustment",
        }
    }
}

/// What of a row is the same for every attempt of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The name of the key that asked; empty where none was needed.
    pub key: Arc<str>,
    /// The key's tags with those of the client.
    pub tags: Arc<BTreeMap<String, String>>,
    /// The entry of the chain.
    pub route: Arc<str>,
    /// The classifier's tier, where it was asked.
    pub tier: Option<Arc<str>>,
    /// The classifier's task.
    pub task: Option<Arc<str>>,
    /// The classifier's complexity, 1 to 10.
    pub complexity: Option<u8>,
    /// What the client named in `model`.
    pub requested_model: Arc<str>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What the cache did: `hit`, `miss`, `bypass`.
    pub cache: &'static str,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its own id, a UUIDv7.
    pub id: Uuid,
    /// The request.
    pub origin: Arc<Origin>,
    /// Which attempt of the request it was, from 1; 0: the request came to none.
    pub attempt: u32,
    /// When it was admitted, in milliseconds since 1970.
    pub time: i64,
    /// The target; `None` where there was no attempt.
    pub model: Option<Arc<str>>,
    /// The target's provider.
    pub provider: Option<Arc<str>>,
    /// Where the target stood in the chain, from 1; 0: in none, or behind an answer that failed its checks.
    pub position: u32,
    /// How sure its cost is.
    pub kind: Kind,
    /// What became of it: an [`Outcome`]'s name, or the code of the refusal where there was no attempt.
    pub outcome: &'static str,
    /// What the checks of its answer found: `ok`, or the worst one that failed; `None` where it was not checked.
    pub quality: Option<&'static str>,
    /// The tokens it took.
    pub usage: Usage,
    /// What it cost.
    pub cost: Nanos,
    /// Whether the cost is known at all: a model without a price costs 0 here.
    pub priced: bool,
    /// What the same tokens would have cost on the baseline model, where there is one.
    pub baseline: Option<Nanos>,
    /// What the same tokens would have cost on the chain's first target, where its price is known.
    pub first_choice: Option<Nanos>,
    /// From sending to the first content, in milliseconds.
    pub first_byte_ms: Option<u32>,
    /// From sending to the end, in milliseconds.
    pub duration_ms: u32,
    /// What Weir itself took of the request's time up to this attempt, in microseconds.
    pub overhead_us: u32,
    /// The budget that an adjustment belongs to.
    pub budget: Option<Arc<str>>,
}

impl Entry {
    /// The row of a request that came to no attempt, by the code of its refusal.
    pub fn refused(origin: Arc<Origin>, time: i64, code: &'static str) -> Self {
        Self {
            id: unique(),
            origin,
            attempt: 0,
            time,
            model: None,
            provider: None,
            position: 0,
            kind: Kind::Actual,
            outcome: code,
            quality: None,
            usage: Usage::default(),
            cost: Nanos::ZERO,
            priced: true,
            baseline: None,
            first_choice: None,
            first_byte_ms: None,
            duration_ms: 0,
            overhead_us: 0,
            budget: None,
        }
    }

    /// Whether it was an attempt that answered.
    pub fn answered(&self) -> bool {
        self.outcome == Outcome::Ok.as_str()
    }
}
