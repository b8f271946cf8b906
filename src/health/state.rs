//! The states of a breaker, with the steps between them.

use std::fmt;

use tokio::time::Instant;

use crate::base::outcome::Outcome;

/// What a breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It lets everything through.
    Closed,
    /// It lets one probe through at a time.
    HalfOpen,
    /// It lets nothing through.
    Open {
        /// Until then.
        until: Instant,
    },
    /// An operator took it out.
    Out,
}

/// A breaker's step from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures in a row, the last one of this kind.
    InARow(u32, Outcome),
    /// Too few successes.
    FewSuccesses {
        /// So many.
        ok: u32,
        /// Of so many.
        of: u32,
    },
    /// Too many slow answers.
    Slow {
        /// So many.
        slow: u32,
        /// Of so many.
        of: u32,
    },
    /// The time of being open is over.
    TimeIsUp,
    /// A probe failed.
    ProbeFailed(Outcome),
    /// A request that was let through as a last resort succeeded.
    LastResortSucceeded,
    /// A health check succeeded.
    CheckSucceeded,
    /// Probes succeeded.
    ProbesSucceeded,
    /// An operator said so.
    Operator,
    /// The settings say that no breaker opens.
    SwitchedOff,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(n, outcome) => write!(f, "{n} failures in a row, the last one {outcome}"),
            Self::FewSuccesses { ok, of } => write!(f, "{ok} of {of} tries succeeded"),
            Self::Slow { slow, of } => write!(f, "{slow} of {of} answers were slow"),
            Self::TimeIsUp => f.write_str("its time is up"),
            Self::ProbeFailed(outcome) => write!(f, "a probe failed: {outcome}"),
            Self::LastResortSucceeded => f.write_str("a last resort succeeded"),
            Self::CheckSucceeded => f.write_str("a health check succeeded"),
            Self::ProbesSucceeded => f.write_str("probes succeeded"),
            Self::Operator => f.write_str("an operator said so"),
            Self::SwitchedOff => f.write_str("breakers were switched off"),
        }
    }
}

/// What an operator does to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Take it out, until it is closed or reset.
    Open,
    /// Let everything through now; limits and times stay.
    Close,
    /// As if it were new: no counts, no limits, closed.
    Reset,
}
