//! What is told of an account to those who look after it.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    base::{account::Period, money::Nanos},
    config::Enforce,
};

use super::{account::Account, hold::Unit, rules::Rule};

/// An account as it stands. Amounts are nanodollars, or numbers of requests where it counts those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    /// The budget.
    pub budget: Arc<str>,
    /// Its scope as configured.
    pub scope: Arc<str>,
    /// Whose share it is; empty where there are none.
    pub holder: Arc<str>,
    /// The period of the limit.
    pub period: Period,
    /// What it counts in.
    pub unit: Unit,
    /// How strictly it holds.
    pub enforce: Enforce,
    /// When the window began, in seconds since 1970.
    pub start: i64,
    /// When the window ends, in seconds since 1970; `i64::MAX`: never.
    pub end: i64,
    /// The limit.
    pub limit: Nanos,
    /// What is spent.
    pub spent: Nanos,
    /// What is held for attempts under way.
    pub held: Nanos,
    /// What is left; never below zero.
    pub remaining: Nanos,
    /// How often more was spent than held, since the start of the process.
    pub overruns: u64,
    /// When the limit begins anew, in seconds since 1970, if it does.
    pub resets_at: Option<i64>,
}

/// A place in the list of accounts. It stays good while the rules do; after a reload it may skip or repeat some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(super) rule: u32,
    pub(super) line: u32,
    pub(super) member: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.rule, self.line, self.member)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-').map(|part| part.parse().ok());
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(rule), Some(line), Some(member), None) => Ok(Self { rule, line, member }),
            _ => Err("it must be what `next` gave"),
        }
    }
}

impl AccountReport {
    pub(super) fn new(rule: &Rule, limit: i64, account: &Account) -> Self {
        let span = account.window.span();
        Self {
            budget: rule.name.clone(),
            scope: rule.scope_text.clone(),
            holder: account.key.holder.clone(),
            period: account.period(),
            unit: rule.unit,
            enforce: rule.enforce,
            start: span.start,
            end: span.end,
            limit: Nanos(limit),
            spent: Nanos(account.posted),
            held: Nanos(account.held),
            remaining: Nanos(limit.saturating_sub(account.used()).max(0)),
            overruns: account.overruns,
            resets_at: span.ends(),
        }
    }
}
