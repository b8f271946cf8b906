//! Why an attempt may not spend.

use std::sync::Arc;

use crate::budget::Exceeded;

/// Why an attempt may not spend.
#[derive(Clone, Debug)]
pub enum Unfunded {
    /// A budget or a quota has no room for it.
    Budget(Exceeded),
    /// A budget applies, and nobody knows what the model of this name costs.
    Unpriced(Arc<str>),
    /// The ledger cannot write now, so nothing may be spent.
    Ledger,
}

impl Unfunded {
    /// Whether only this target is out of the question: another one may still be tried.
    pub fn only_here(&self) -> bool {
        match self {
            Self::Budget(exceeded) => exceeded.target_only,
            Self::Unpriced(_) => true,
            Self::Ledger => false,
        }
    }

    /// Whether it may be made once others have settled.
    pub fn may_free(&self) -> bool {
        matches!(self, Self::Budget(exceeded) if exceeded.may_free)
    }
}
