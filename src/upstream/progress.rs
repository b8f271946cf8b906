//! What is known of a try under way, shared with those who do not wait for its end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The marks of one try; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    begun: AtomicBool,
    handed_over: AtomicBool,
    overtaken: AtomicBool,
}

impl Progress {
    /// It stands in the ledger from here on.
    pub fn begun(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// Whether it stands in the ledger.
    pub fn is_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// The request has a connection: from here on the upstream may work on it.
    pub fn handed_over(&self) {
        self.0.handed_over.store(true, Ordering::Relaxed);
    }

    /// Whether an upstream may have worked on it.
    pub fn is_handed_over(&self) -> bool {
        self.0.handed_over.load(Ordering::Relaxed)
    }

    /// Another try had content first; this one is dropped next.
    pub fn overtaken(&self) {
        self.0.overtaken.store(true, Ordering::Relaxed);
    }

    /// Whether another try had content first.
    pub fn is_overtaken(&self) -> bool {
        self.0.overtaken.load(Ordering::Relaxed)
    }
}
