//! What time it surely is: nothing is deleted because a clock was wrong for a while.

use std::time::{Duration, Instant};

use crate::base::clock::Clock;

/// How long a clock that was set forward has to stay there until it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(60 * 60);
/// How much it may move meanwhile, in milliseconds.
const SAME: u64 = 60_000;

/// The wall clock with a careful estimate beside it, which goes on from the newest row of the ledger.
///
/// Set back, the wall clock is believed at once: too early a time only keeps rows longer. Set forward, as it may be at
/// a start before the machine has asked for the time, it is believed when it has stayed there for an hour. So a
/// machine that starts years ahead deletes nothing, and one that starts years behind soon deletes again.
#[derive(Debug)]
pub(super) struct Careful {
    wall: Clock,
    start: Instant,
    /// What the clock showed at `start`, as far as it is believed, in milliseconds since 1970.
    believed: i64,
    /// What it would have shown at `start`, and since when it says so, where that is later.
    claimed: Option<(i64, Instant)>,
}

impl Careful {
    /// Goes on from the `newest` time that is known, if the wall clock is not behind it.
    pub(super) fn new(wall: Clock, newest: Option<i64>, now: Instant) -> Self {
        let at = wall.millis();
        let believed = newest.map_or(at, |newest| newest.min(at));
        Self { wall, start: now, believed, claimed: None }
    }

    /// What the wall clock shows, in milliseconds since 1970.
    pub(super) fn wall(&self) -> i64 {
        self.wall.millis()
    }

    /// No later than it is, as far as can be known, in milliseconds since 1970. To be asked every few minutes.
    pub(super) fn surely(&mut self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.start).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let says = self.wall.millis().saturating_sub(passed);
        match self.claimed {
            _ if says <= self.believed => (self.believed, self.claimed) = (says, None),
            Some((claimed, since)) if claimed.abs_diff(says) <= SAME => {
                if now.saturating_duration_since(since) >= BELIEVED_AFTER {
                    (self.believed, self.claimed) = (says, None);
                }
            }
            _ => self.claimed = Some((says, now)),
        }
        self.believed.saturating_add(passed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;
    const NOW: i64 = 1_795_262_400_000;

    /// A machine whose clock is wrong by `error`.
    struct Machine {
        error: Arc<AtomicI64>,
        passed: Arc<AtomicI64>,
        careful: Careful,
        start: Instant,
    }

    impl Machine {
        fn new(error: i64, newest: Option<i64>) -> Self {
            let (error, passed) = (Arc::new(AtomicI64::new(error)), Arc::new(AtomicI64::new(0)));
            let start = Instant::now();
            let (e, p) = (error.clone(), passed.clone());
            let wall = Clock::of(move || NOW + e.load(Ordering::Relaxed) + p.load(Ordering::Relaxed));
            let careful = Careful::new(wall, newest, start);
            Self { error, passed, careful, start }
        }

        /// Looks every minute for so long; how far from the truth the last look was.
        fn minutes(&mut self, minutes: i64) -> i64 {
            let mut last = 0;
            for _ in 0..minutes {
                let passed = self.passed.fetch_add(60_000, Ordering::Relaxed) + 60_000;
                let now = self.start + Duration::from_millis(passed.unsigned_abs());
                last = self.careful.surely(now) - NOW - passed;
            }
            last
        }

        fn set(&self, error: i64) {
            self.error.store(error, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_clock_that_starts_ahead_is_not_believed_before_it_is_set_right() {
        let mut machine = Machine::new(5 * YEAR, Some(NOW - 2 * HOUR));
        assert_eq!(machine.minutes(30), -2 * HOUR);
        machine.set(0);
        assert_eq!(machine.minutes(60), -2 * HOUR, "the hour begins anew");
        assert_eq!(machine.minutes(2), 0);
    }

    #[test]
    fn a_clock_that_starts_behind_is_believed_an_hour_after_it_is_set_right() {
        let mut machine = Machine::new(-20 * YEAR, Some(NOW));
        assert_eq!(machine.minutes(30), -20 * YEAR);
        machine.set(0);
        assert_eq!(machine.minutes(60), -20 * YEAR);
        assert_eq!(machine.minutes(2), 0);
    }

    #[test]
    fn a_step_back_is_followed_at_once_and_a_step_forward_late() {
        let mut machine = Machine::new(0, Some(NOW));
        assert_eq!(machine.minutes(5), 0);
        machine.set(-YEAR);
        assert_eq!(machine.minutes(1), -YEAR);
        machine.set(YEAR);
        assert_eq!(machine.minutes(30), -YEAR);
        machine.set(0);
        assert_eq!(machine.minutes(70), 0);
    }

    #[test]
    fn an_empty_ledger_believes_what_it_sees() {
        assert_eq!(Machine::new(7, None).minutes(1), 7);
    }
}
