//! The wall clock of the writer, counted on from a moment that was given.

use std::time::Instant;

/// Tells the time as it goes on from a given moment. It never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    base: i64,
    since: Instant,
}

impl Clock {
    /// It is `now`, in milliseconds since 1970.
    pub(super) fn at(now: i64) -> Self {
        Self { base: now, since: Instant::now() }
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.base.saturating_add(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
