//! The figures of a group of rows.

use std::fmt;

use serde::{Serialize, Serializer};

use super::row::Row;
use crate::ledger::Kind;

/// A sum of money in nanodollars, exact whatever the number of rows; a decimal string of USD in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(pub i128);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0'))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a group of rows comes to. Adjustments are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Requests. One that tried several targets counts once, where its first try was.
    pub asked: u64,
    /// Requests that were answered to the end, from the cache too; counted at the target that answered first, whatever the
    /// checks of its answer found.
    pub answered: u64,
    /// Tries on targets.
    pub attempts: u64,
    /// Tokens read by a model anew.
    pub input_tokens: u64,
    /// Tokens read from a provider's prompt cache.
    pub cached_input_tokens: u64,
    /// Tokens written to a provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Tokens shown to clients.
    pub output_tokens: u64,
    /// Tokens thought.
    pub reasoning_tokens: u64,
    /// What all of it cost.
    pub cost_usd: Usd,
    /// The part of the cost that Weir counted itself, because the upstream did not say.
    pub estimated_usd: Usd,
    /// Tries on models whose price is not known: they cost 0 here.
    pub unpriced: u64,
    /// What the baseline model would have cost for what was answered, less what all tries did cost.
    pub saved_by_routing_usd: Usd,
    /// What the baseline model would have cost for what the cache answered.
    pub saved_by_cache_usd: Usd,
    /// What tries on later targets of a chain cost more than they would have on its first.
    pub fallback_usd: Usd,
    /// Tries on later targets where that is not known.
    pub fallback_unknown: u64,
}

impl Figures {
    /// Counts a row; it must be no adjustment.
    pub fn add(&mut self, row: &Row) {
        self.asked += u64::from(row.opens_request());
        self.answered += u64::from(row.answered && !row.is_escalated());
        self.attempts += u64::from(row.is_attempt());
        let tokens = &row.tokens;
        for (sum, count) in [
            (&mut self.input_tokens, tokens.input),
            (&mut self.cached_input_tokens, tokens.cached_input),
            (&mut self.cache_write_tokens, tokens.cache_write),
            (&mut self.output_tokens, tokens.output),
            (&mut self.reasoning_tokens, tokens.reasoning),
        ] {
            *sum = sum.saturating_add(count);
        }
        let cost = i128::from(row.cost.0);
        self.cost_usd.0 += cost;
        if row.kind == Kind::Estimated {
            self.estimated_usd.0 += cost;
        }
        self.unpriced += u64::from(row.is_attempt() && !row.priced);
        let saved = row.saved().unwrap_or(0);
        match row.from_cache {
            true => self.saved_by_cache_usd.0 += saved,
            false => self.saved_by_routing_usd.0 += saved,
        }
        match row.extra() {
            Some(extra) => self.fallback_usd.0 += extra,
            None => self.fallback_unknown += u64::from(row.is_fallback()),
        }
    }

    /// Adds another group's figures.
    pub fn merge(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.attempts += other.attempts;
        for (sum, count) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_input_tokens, other.cached_input_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(count);
        }
        self.cost_usd.0 += other.cost_usd.0;
        self.estimated_usd.0 += other.estimated_usd.0;
        self.unpriced += other.unpriced;
        self.saved_by_routing_usd.0 += other.saved_by_routing_usd.0;
        self.saved_by_cache_usd.0 += other.saved_by_cache_usd.0;
        self.fallback_usd.0 += other.fallback_usd.0;
        self.fallback_unknown += other.fallback_unknown;
    }

    /// What decides which groups are shown where there are too many: the cost, then the traffic.
    pub(super) fn weight(&self) -> (i128, u64) {
        (self.cost_usd.0, self.asked.saturating_add(self.attempts))
    }
}

/// `part / whole` with four digits, rounded down so that 1 means all; `None` of nothing.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    let parts = (u128::from(part) * 10_000).checked_div(u128::from(whole))?;
    Some(parts as f64 / 10_000.0)
}
