//! A token bucket for "so many a minute".

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Parts of a token: with as many as a minute has nanoseconds, a limit of N a minute gains exactly N parts each
/// nanosecond, so that nothing is ever rounded.
const PARTS: i128 = 60_000_000_000;

/// The deepest debt, in parts. It keeps the sums far from overflow; it is 10^18 tokens.
const DEEPEST: i128 = -1_000_000_000_000_000_000 * PARTS;

/// Holds N tokens, gains N a minute evenly. A limit of 0 is no limit.
#[derive(Debug)]
pub struct Bucket(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: u32,
    /// What is in it, in parts; below zero: a debt.
    level: i128,
    at: Instant,
}

/// Tokens were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The limit, a minute; 0: none.
    pub limit: u32,
    /// What can still be taken now; 0 without a limit.
    pub remaining: u32,
    /// How long until it is full again.
    pub reset_after: Duration,
}

/// There is not enough in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The limit, a minute.
    pub limit: u32,
    /// When there will be enough if nobody else takes; `Duration::MAX` if the bucket never holds that much.
    pub retry_after: Duration,
    /// How long until it is full again.
    pub reset_after: Duration,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        Self(Mutex::new(State { limit: per_minute, level: i128::from(per_minute) * PARTS, at: now }))
    }

    /// Takes `n` tokens.
    ///
    /// # Errors
    /// How long to wait where there are too few; then none is taken.
    pub fn try_take(&self, n: u32, now: Instant) -> Result<Taken, Wait> {
        let mut state = self.lock(now);
        let missing = i128::from(n) * PARTS - state.level;
        if state.limit > 0 && missing > 0 {
            let never = n > state.limit;
            return Err(Wait {
                limit: state.limit,
                retry_after: if never { Duration::MAX } else { state.time_for(missing) },
                reset_after: state.time_to_full(),
            });
        }
        state.charge(n);
        Ok(state.taken())
    }

    /// Takes `n` tokens, or as many as it ever holds if `n` is more; tells how many.
    ///
    /// # Errors
    /// How long to wait where there are too few; then none is taken.
    pub fn try_take_capped(&self, n: u32, now: Instant) -> Result<u32, Wait> {
        let mut state = self.lock(now);
        let n = n.min(state.limit);
        let missing = i128::from(n) * PARTS - state.level;
        if missing > 0 {
            return Err(Wait {
                limit: state.limit,
                retry_after: state.time_for(missing),
                reset_after: state.time_to_full(),
            });
        }
        state.charge(n);
        Ok(n)
    }

    /// How long until `n` tokens can be taken, if nobody else takes any; more than it ever holds count as that.
    pub fn ready_in(&self, n: u32, now: Instant) -> Duration {
        let state = self.lock(now);
        state.time_for(i128::from(n.min(state.limit)) * PARTS - state.level)
    }

    /// Takes `n` tokens whatever is in it: it may fall below zero. For what turned out larger than reserved.
    pub fn charge(&self, n: u32, now: Instant) {
        self.lock(now).charge(n);
    }

    /// Puts `n` tokens back, up to full. For what turned out smaller than reserved.
    pub fn give_back(&self, n: u32, now: Instant) {
        let mut state = self.lock(now);
        state.level = (state.level + i128::from(n) * PARTS).min(state.full());
    }

    /// What is in it now, without taking any.
    pub fn peek(&self, now: Instant) -> Taken {
        self.lock(now).taken()
    }

    /// Changes the limit. It stays as full, as a share, as it was; a debt stays the same; a bucket that had no
    /// limit begins full.
    pub fn set_limit(&self, per_minute: u32, now: Instant) {
        let mut state = self.lock(now);
        let (old, new) = (i128::from(state.limit), i128::from(per_minute));
        if old == new {
            return;
        }
        if old == 0 {
            state.level = new * PARTS;
        } else if state.level > 0 {
            state.level = state.level * new / old;
        }
        state.limit = per_minute;
    }

    /// The state as it is at `now`.
    fn lock(&self, now: Instant) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere leaves nothing to mistrust.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Callers may race: an older `now` adds nothing.
        let passed = now.saturating_duration_since(state.at).as_nanos();
        let gained = i128::try_from(passed).unwrap_or(i128::MAX).saturating_mul(state.limit.into());
        state.level = state.level.saturating_add(gained).min(state.full());
        state.at = state.at.max(now);
        state
    }
}

impl State {
    fn full(&self) -> i128 {
        i128::from(self.limit) * PARTS
    }

    fn charge(&mut self, n: u32) {
        if self.limit > 0 {
            self.level = (self.level - i128::from(n) * PARTS).max(DEEPEST);
        }
    }

    fn taken(&self) -> Taken {
        Taken {
            limit: self.limit,
            remaining: u32::try_from(self.level.max(0) / PARTS).unwrap_or(u32::MAX),
            reset_after: self.time_to_full(),
        }
    }

    fn time_to_full(&self) -> Duration {
        self.time_for(self.full() - self.level)
    }

    /// How long gaining so many parts takes, rounded up to a nanosecond.
    fn time_for(&self, parts: i128) -> Duration {
        let limit = i128::from(self.limit);
        if limit == 0 || parts <= 0 {
            return Duration::ZERO;
        }
        let nanos = (parts + limit - 1) / limit;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn holds_a_minutes_worth_and_refills_evenly() {
        let now = Instant::now();
        let bucket = Bucket::new(60, now);
        for left in (0..60).rev() {
            assert_eq!(bucket.try_take(1, now).unwrap().remaining, left);
        }
        let wait = bucket.try_take(1, now).unwrap_err();
        assert_eq!((wait.retry_after, wait.limit), (SECOND, 60));
        assert_eq!(wait.reset_after, 60 * SECOND);
        assert!(bucket.try_take(1, now + SECOND).is_ok());
        assert!(bucket.try_take(1, now + SECOND).is_err());
    }

    #[test]
    fn more_than_it_holds_is_never_had() {
        let now = Instant::now();
        let wait = Bucket::new(5, now).try_take(6, now).unwrap_err();
        assert_eq!(wait.retry_after, Duration::MAX);
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_taken() {
        let now = Instant::now();
        let bucket = Bucket::new(60, now);
        bucket.try_take(10, now).unwrap();
        bucket.charge(80, now);
        assert_eq!(bucket.peek(now).remaining, 0);
        assert_eq!(bucket.try_take(1, now).unwrap_err().retry_after, 31 * SECOND);
        bucket.give_back(1000, now);
        assert_eq!(bucket.peek(now).remaining, 60);
    }

    #[test]
    fn a_new_limit_keeps_the_share() {
        let now = Instant::now();
        let bucket = Bucket::new(60, now);
        bucket.try_take(30, now).unwrap();
        bucket.set_limit(600, now);
        assert_eq!(bucket.peek(now).remaining, 300);
        bucket.set_limit(0, now);
        assert!(bucket.try_take(1_000_000, now).is_ok());
        bucket.set_limit(7, now);
        assert_eq!(bucket.peek(now).remaining, 7);
    }

    #[test]
    fn time_that_runs_backwards_adds_nothing() {
        let start = Instant::now();
        let bucket = Bucket::new(60, start + SECOND);
        bucket.try_take(60, start + SECOND).unwrap();
        assert!(bucket.try_take(1, start).is_err());
        assert!(bucket.try_take(1, start + SECOND).is_err());
    }

    proptest! {
        #[test]
        fn never_admits_more_than_it_held_and_gained(
            limit in 1_u32..5000,
            steps in prop::collection::vec((0_u64..2_000_000_000, 1_u32..100), 1..100),
        ) {
            let mut now = Instant::now();
            let bucket = Bucket::new(limit, now);
            let mut admitted: Vec<(Instant, u32)> = Vec::new();
            for (pause, n) in steps {
                now += Duration::from_nanos(pause);
                if bucket.try_take(n, now).is_ok() {
                    admitted.push((now, n));
                }
            }
            for (i, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0_u128;
                for (until, n) in &admitted[i..] {
                    sum += u128::from(*n);
                    let span = until.duration_since(*from).as_nanos();
                    let most = u128::from(limit) * (60_000_000_000 + span);
                    prop_assert!(sum * 60_000_000_000 <= most);
                }
            }
        }

        #[test]
        fn the_wait_is_honest(limit in 1_u32..100_000, drained in 0_u32..100_000, n in 1_u32..100_000) {
            let now = Instant::now();
            let full = || {
                let bucket = Bucket::new(limit, now);
                bucket.charge(drained, now);
                bucket
            };
            if let Err(wait) = full().try_take(n.min(limit), now) {
                let then = now + wait.retry_after;
                prop_assert!(full().try_take(n.min(limit), then).is_ok());
                prop_assert!(full().try_take(n.min(limit), then - Duration::from_nanos(1)).is_err());
            }
        }
    }
}
