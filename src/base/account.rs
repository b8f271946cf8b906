//! The accounts that money is counted in, by the names that the ledger keeps them under.

use std::{fmt, sync::Arc};

use super::money::Nanos;

/// How long a limit holds before it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A calendar day of the budget's time zone.
    Daily,
    /// A calendar month of the budget's time zone.
    Monthly,
    /// The budget's whole life.
    Total,
}

impl Period {
    /// Every period, the shortest first.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Monthly, Self::Total];

    /// The name used in metrics, messages and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::Total => "total",
        }
    }

    /// The period of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == text)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names an account across restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The budget's name.
    pub budget: Arc<str>,
    /// Whose share it is, for budgets that each key has of its own; else empty.
    pub holder: Arc<str>,
    /// The period of its limit.
    pub period: Period,
}

impl AccountKey {
    /// The name that the monthly quotas of keys stand under. Their accounts count requests, not nanodollars.
    pub const REQUESTS_PER_MONTH: &str = "requests_per_month";

    /// Who holds the share of all callers without a key.
    pub const NOBODY: &str = "-";

    /// Whether the account counts requests.
    pub fn counts_requests(&self) -> bool {
        *self.budget == *Self::REQUESTS_PER_MONTH
    }
}

/// One window of an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountWindow {
    /// The account.
    pub account: AccountKey,
    /// When the window began, in seconds since 1970; 0 for [`Period::Total`].
    pub start: i64,
}

/// What a settled attempt adds to one window of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Where it belongs: the window in which the attempt was admitted.
    pub window: AccountWindow,
    /// How much.
    pub amount: Nanos,
}

/// The watermark of an account's window: what may be spent and held there together before the ledger is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The window.
    pub window: AccountWindow,
    /// The new watermark; one that is lower than the old is ignored.
    pub to: Nanos,
}

/// What the ledger knows of one window of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// The window.
    pub window: AccountWindow,
    /// What was spent in it.
    pub posted: Nanos,
    /// Up to where spending was allowed.
    pub watermark: Nanos,
}
