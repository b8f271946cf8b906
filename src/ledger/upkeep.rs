//! When the writer prunes, when it gives free pages back.

use std::time::{Duration, Instant};

use super::{LedgerError, store::Store};
use crate::config;

/// How many rows one step deletes: a commit that comes meanwhile waits no longer than for that.
const ROWS: usize = 500;
/// How long the writer looks after other things between two steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);
/// How often it looks for old rows.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    retention: Duration,
    answers: Duration,
    vacuum_every: Duration,
    /// How many bytes kept answers may take.
    pub(super) answers_max: u64,
}

impl Rules {
    pub(super) fn new(config: &config::Ledger) -> Self {
        Self {
            retention: config.retention.0,
            answers: config.idempotency_ttl.0,
            vacuum_every: config.vacuum_every.0,
            answers_max: config.idempotency_max_bytes.0,
        }
    }
}

/// The times of the writer's chores.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// What is kept for how long.
    pub(super) rules: Rules,
    prune_at: Instant,
    vacuum_at: Instant,
}

impl Upkeep {
    /// Chores that begin a while after the start, which is busy enough.
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self { rules, prune_at: now + BETWEEN_LOOKS, vacuum_at: now + 10 * BETWEEN_LOOKS }
    }

    /// When the next step is due.
    pub(super) fn due(&self) -> Instant {
        if self.rules.vacuum_every.is_zero() { self.prune_at } else { self.prune_at.min(self.vacuum_at) }
    }

    /// Does one step of what is due. `now_ms` is no later than it surely is.
    ///
    /// # Errors
    /// The store's own; the chore is tried again in a minute.
    pub(super) fn step(
        &mut self,
        store: &mut dyn Store,
        now: Instant,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        if now >= self.prune_at {
            self.prune_at = now + BETWEEN_LOOKS;
            let rows = before(now_ms, self.rules.retention);
            let span = i64::try_from(self.rules.answers.as_millis()).unwrap_or(i64::MAX);
            // No span keeps answers for ever.
            if store.prune(rows, now_ms.saturating_sub(span), ROWS)? {
                self.prune_at = now + BETWEEN_STEPS;
            }
        } else if !self.rules.vacuum_every.is_zero() && now >= self.vacuum_at {
            self.vacuum_at = now + self.rules.vacuum_every.max(BETWEEN_LOOKS);
            if store.vacuum()? {
                self.vacuum_at = now + BETWEEN_STEPS;
            }
        }
        Ok(())
    }
}

/// The time so long before `now`; a span of nothing keeps for ever.
fn before(now: i64, span: Duration) -> i64 {
    match i64::try_from(span.as_millis()) {
        Ok(0) | Err(_) => i64::MIN,
        Ok(ms) => now.saturating_sub(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Span,
        ledger::{
            store::{Batch, Post, sqlite::Sqlite},
            tests::{NOON, entry},
        },
    };

    fn rules(change: impl FnOnce(&mut config::Ledger)) -> Rules {
        let mut config = config::Ledger::default();
        change(&mut config);
        Rules::new(&config)
    }

    #[test]
    fn what_is_left_over_is_done_soon_and_the_rest_in_a_minute() {
        let mut store = Sqlite::open("sqlite::memory:").unwrap();
        let posts: Vec<_> = (0..=ROWS).map(|_| Post { entry: entry(1), charges: Vec::new() }).collect();
        store.commit(&Batch { posts: &posts, ..Batch::default() }).unwrap();
        let start = Instant::now();
        let mut upkeep = Upkeep::new(rules(|config| config.retention = Span::secs(1)), start);
        let due = start + BETWEEN_LOOKS;
        assert_eq!(upkeep.due(), due);
        upkeep.step(&mut store, due, NOON).unwrap();
        assert_eq!(upkeep.due(), due + BETWEEN_LOOKS, "they are not old");
        let due = due + BETWEEN_LOOKS;
        upkeep.step(&mut store, due, NOON + 5000).unwrap();
        assert_eq!(upkeep.due(), due + BETWEEN_STEPS, "one is left");
        upkeep.step(&mut store, due + BETWEEN_STEPS, NOON + 5000).unwrap();
        assert_eq!(upkeep.due(), due + BETWEEN_STEPS + BETWEEN_LOOKS);
    }

    #[test]
    fn nothing_means_for_ever() {
        assert_eq!(before(NOON, Duration::ZERO), i64::MIN);
        assert_eq!(before(NOON, Duration::MAX), i64::MIN);
        assert_eq!(before(NOON, Duration::from_secs(1)), NOON - 1000);
        let start = Instant::now();
        let mut upkeep = Upkeep::new(rules(|config| config.vacuum_every = Span::secs(0)), start);
        upkeep.prune_at = start + Duration::from_secs(100_000);
        assert_eq!(upkeep.due(), upkeep.prune_at, "no vacuum is due");
    }
}
