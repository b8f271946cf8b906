//! What is asked of the budgets with what they answer.

use std::{collections::BTreeMap, sync::Arc};

use crate::base::{
    account::{Charge, Period, Watermark},
    money::Nanos,
};

use super::bound::Bound;

/// What a budget counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Nanodollars.
    Money,
    /// Requests.
    Requests,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The key's name; empty where none was needed.
    pub key: &'a str,
    /// The key's tags, none that the client set.
    pub tags: &'a BTreeMap<String, String>,
    /// The entries of the chain, each once: several where the client lists routes of its own.
    pub routes: &'a [Arc<str>],
}

/// The target of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct TargetName<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Its provider's name.
    pub provider: &'a str,
}

/// What an attempt may cost.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The most that the input may cost.
    pub input: Nanos,
    /// The price of one output token in picodollars, times the answers asked for.
    pub output_pico: u128,
    /// The tokens that the client and the model allow in one answer; `u64::MAX`: neither says.
    pub wanted: u64,
    /// The tokens that the client allows in one answer, where it says so.
    pub client: Option<u64>,
    /// The tokens of a usual answer: what soft budgets hold.
    pub usual: u64,
    /// What the request has cost before, which counts against limits on a single request.
    pub spent: Nanos,
    /// The most that the client lets the request cost.
    pub ceiling: Option<Nanos>,
    /// Whether the request still has to be counted by its quota: so until an attempt of it was settled.
    pub counts: bool,
}

/// An attempt that wants to be paid for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who asks.
    pub who: Who<'a>,
    /// The target; `None`: only the budgets of the request are asked.
    pub target: Option<TargetName<'a>>,
    /// What it may cost.
    pub estimate: Estimate,
    /// Whether the request was already sent to a cheaper route.
    pub downgraded: bool,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// It may be sent.
    Held(Held),
    /// It fits, but the ledger must first allow more: make these durable, hand them to `Accounts::raised`, ask again.
    Raise {
        /// What to make durable.
        marks: Vec<Watermark>,
        /// The hold that was to be swapped, which still stands.
        swap: Option<Held>,
    },
    /// It does not fit; a hold that was to be swapped is released.
    Exceeded(Exceeded),
}

/// Money put aside for one attempt. It must go to `Accounts::settle` or `Accounts::void`: dropped, its money stays
/// held as long as the process lives.
#[derive(Debug)]
#[must_use]
pub struct Held {
    pub(super) bound: Bound,
    pub(super) parts: Vec<Part>,
    /// The output limit that must be written into the request; `None`: the attempt may answer as it would anyway.
    pub max_output: Option<u64>,
    /// Whether the limit is lower than it would be with all the money in the world.
    pub squeezed: bool,
    /// How much is put aside in each hard budget, or in the soft ones where there is no hard one. Zero where no budget
    /// applies.
    pub amount: Nanos,
    /// The most that the attempt may cost, put aside or not: what limits on a single request count.
    pub most: Nanos,
}

impl Held {
    /// Leave where there is no budget at all.
    pub fn free() -> Self {
        Self {
            bound: Bound::default(),
            parts: Vec::new(),
            max_output: None,
            squeezed: false,
            amount: Nanos::ZERO,
            most: Nanos::ZERO,
        }
    }

    /// Takes out what counts the request for quotas: an attempt may come to nothing, the request still counts.
    pub fn take_count(&mut self) -> Option<Self> {
        let (bound, counts) = (&self.bound, |part: &Part| self.bound.rule(part.rule).unit == Unit::Requests);
        if !self.parts.iter().any(counts) {
            return None;
        }
        let parts = std::mem::take(&mut self.parts);
        let (count, money) = parts.into_iter().partition(|part| bound.rule(part.rule).unit == Unit::Requests);
        self.parts = money;
        Some(Self { parts: count, bound: self.bound.clone(), ..Self::free() })
    }

    /// Whether no budget has anything to do with it.
    pub fn is_free(&self) -> bool {
        self.parts.is_empty()
    }
}

/// What one account holds for an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) rule: u32,
    pub(super) line: u32,
    pub(super) account: u32,
    pub(super) start: i64,
    pub(super) amount: i64,
}

/// Which limit did not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// That of a period.
    Period(Period),
    /// That of a single attempt.
    PerRequest,
    /// The client's own.
    MaxCost,
}

impl Limit {
    /// The name used in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Period(period) => period.as_str(),
            Self::PerRequest => "per_request",
            Self::MaxCost => "max_cost",
        }
    }
}

/// What becomes of an attempt that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is refused.
    Reject,
    /// The request goes to this cheaper route.
    Downgrade(Arc<str>),
}

/// Why an attempt does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The budget; empty for [`Limit::MaxCost`].
    pub budget: Arc<str>,
    /// Which of its limits.
    pub limit: Limit,
    /// What it counts in.
    pub unit: Unit,
    /// What its owner wants done.
    pub action: Action,
    /// Whether the budget is that of a model or provider: only this target is to be passed over.
    pub target_only: bool,
    /// Whether it may fit once others have settled.
    pub may_free: bool,
    /// What the limit has left now.
    pub room: Nanos,
    /// When the limit begins anew, in seconds since 1970, if it does.
    pub resets_at: Option<i64>,
}

/// What came of settling.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Settled {
    /// What the ledger must add.
    pub charges: Vec<Charge>,
    /// Watermarks that an overrun carried along: to be made durable with the charges.
    pub marks: Vec<Watermark>,
    /// Hard budgets in which more was spent than held.
    pub overruns: Vec<Overrun>,
    /// Alerts.
    pub crossed: Vec<Crossed>,
}

/// More was spent than held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// The budget.
    pub budget: Arc<str>,
    /// Whose share; empty where there are none.
    pub holder: Arc<str>,
    /// The period.
    pub period: Period,
    /// How much more.
    pub by: Nanos,
}

/// Spending passed a share of a limit at which its owner wants to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossed {
    /// The budget.
    pub budget: Arc<str>,
    /// Whose share; empty where there are none.
    pub holder: Arc<str>,
    /// The period.
    pub period: Period,
    /// The share, 0 to 1.
    pub fraction: f64,
    /// What is spent now.
    pub spent: Nanos,
    /// The limit.
    pub limit: Nanos,
}
