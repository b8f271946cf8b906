//! What a report reads of a ledger row: numbers only, names by their numbers in the store.

use crate::{base::money::Nanos, ledger::Kind};

/// The number of a name in the store.
pub type NameId = i64;

/// The number of no name at all.
pub const NO_NAME: NameId = 0;

/// The kinds that a report counts; they hold every token of a row, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read by the model anew, heard ones too.
    pub input: u64,
    /// Read from the provider's prompt cache.
    pub cached_input: u64,
    /// Written to the provider's prompt cache.
    pub cache_write: u64,
    /// Shown to the client, spoken ones too.
    pub output: u64,
    /// Thought.
    pub reasoning: u64,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was admitted, in milliseconds since 1970.
    pub time: i64,
    /// Which attempt of its request, from 1; 0: the request came to none.
    pub attempt: u32,
    /// Where the target stood in the chain, from 1; 0: there was none, or it came behind an answer that failed its checks.
    pub position: u32,
    /// How sure the cost is.
    pub kind: Kind,
    /// Whether it answered: see [`Entry::answered`](crate::ledger::Entry::answered).
    pub answered: bool,
    /// Whether the answer came from Weir's own cache.
    pub from_cache: bool,
    /// Whether the cost is known.
    pub priced: bool,
    /// The tokens.
    pub tokens: Tokens,
    /// The cost.
    pub cost: Nanos,
    /// The cost on the baseline model.
    pub baseline: Option<Nanos>,
    /// The cost on the chain's first target.
    pub first_choice: Option<Nanos>,
    /// The key's name.
    pub key: NameId,
    /// The chain's entry.
    pub route: NameId,
    /// The tier.
    pub tier: NameId,
    /// The target.
    pub model: NameId,
    /// Its provider.
    pub provider: NameId,
    /// The set of tags.
    pub tags: NameId,
    /// The budget of an adjustment.
    pub budget: NameId,
}

/// Whether what the cache did means that it gave the answer: the contract's `x-weir-cache`.
pub fn is_from_cache(cache: &str) -> bool {
    ["hit", "semantic", "stale"].contains(&cache)
}

impl Row {
    /// Whether it stands for a request: every request has exactly one row whose attempt is 0 or 1.
    pub fn opens_request(&self) -> bool {
        self.attempt <= 1
    }

    /// Whether something was sent upstream.
    pub fn is_attempt(&self) -> bool {
        self.attempt > 0
    }

    /// Whether it was made because an answer failed its checks: the request was answered before.
    pub fn is_escalated(&self) -> bool {
        self.is_attempt() && self.position == 0
    }

    /// What it cost more than it would have on the chain's first target; `None` where that is not known or where it
    /// was the first.
    pub fn extra(&self) -> Option<i128> {
        let first = self.first_choice.filter(|_| self.is_fallback() && self.priced)?;
        Some(i128::from(self.cost.0) - i128::from(first.0))
    }

    /// Whether it was an attempt on a later target of its chain.
    pub fn is_fallback(&self) -> bool {
        self.is_attempt() && self.position > 1
    }

    /// What it cost less than its answer would have on the baseline model; `None` where that is not known. A try that
    /// did not answer saved nothing: what it cost takes from what others saved.
    pub fn saved(&self) -> Option<i128> {
        let baseline = self.baseline.filter(|_| self.priced)?;
        let worth = if self.answered { baseline } else { Nanos::ZERO };
        Some(i128::from(worth.0) - i128::from(self.cost.0))
    }
}
