//! Leave to make a try, or the reason why there is none.

use tokio::time::Instant;

use super::state::Transition;

/// Leave to make one try; to be reported or given back. One that gets lost blocks a probe until its lease is over.
#[must_use = "a permit is reported or given back"]
#[derive(Debug)]
pub struct Permit {
    pub(crate) kind: Kind,
    /// Between which two changes of the breaker it was given.
    pub(crate) era: u64,
    pub(crate) began: Option<Transition>,
}

/// What a permit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of many, while the breaker is closed.
    Plain,
    /// The one that decides while it is half-open.
    Probe {
        /// Its number.
        lease: u64,
    },
    /// One that is let through as nothing else is left.
    LastResort,
    /// One that takes no request's place.
    Beside,
}

impl Permit {
    /// The breaker's step to half-open, if that was made for this permit.
    pub fn transition(&self) -> Option<Transition> {
        self.began
    }

    /// Whether this try decides if the breaker closes.
    pub fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe { .. })
    }
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The breaker is open.
    Open {
        /// When it lets something through.
        until: Instant,
    },
    /// It is half-open, with a probe under way.
    Probing {
        /// When the next probe may start at the latest.
        until: Instant,
    },
    /// An operator took it out.
    Out,
    /// The provider asked to be left alone.
    Limited {
        /// Until then.
        until: Instant,
    },
    /// The provider does not know the model.
    Resting {
        /// Until then.
        until: Instant,
    },
    /// It comes back slowly, and this draw fell outside its share.
    SlowStart,
}

impl Refused {
    /// When it may be worth another try; `None`: nobody knows, or at once.
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Open { until }
            | Self::Probing { until }
            | Self::Limited { until }
            | Self::Resting { until } => Some(*until),
            Self::Out | Self::SlowStart => None,
        }
    }
}
