//! The tokens that a request holds of its key's limit a minute until it is known what it took.

use std::sync::Arc;

use tokio::time::Instant;

use super::{bucket::Wait, registry::KeyLimits};

/// Tokens taken from a key's limit before they are used. Dropped, it gives all of them back.
#[derive(Debug)]
#[must_use = "dropping the reservation gives its tokens back"]
pub struct TokenReservation {
    limits: Arc<KeyLimits>,
    reserved: u32,
}

impl TokenReservation {
    /// Reserves so many tokens, or all that the limit is if they are more: a request larger than the limit passes
    /// when nothing else has been used, and is paid off afterwards.
    ///
    /// # Errors
    /// How long to wait where too many are in use; then none is taken.
    pub fn take(limits: &Arc<KeyLimits>, estimate: u64, now: Instant) -> Result<Self, Wait> {
        let reserved = limits.tpm.try_take_capped(u32::try_from(estimate).unwrap_or(u32::MAX), now)?;
        Ok(Self { limits: Arc::clone(limits), reserved })
    }

    /// How many tokens are held.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// Puts what the request took in the place of what was reserved. More than was reserved is a debt that later
    /// requests wait for.
    pub fn correct(mut self, actual: u64, now: Instant) {
        let actual = u32::try_from(actual).unwrap_or(u32::MAX);
        let reserved = std::mem::take(&mut self.reserved);
        match actual.checked_sub(reserved) {
            Some(more) => self.limits.tpm.charge(more, now),
            None => self.limits.tpm.give_back(reserved - actual, now),
        }
    }
}

impl Drop for TokenReservation {
    fn drop(&mut self) {
        if self.reserved > 0 {
            self.limits.tpm.give_back(self.reserved, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::limit::{bucket::Bucket, concurrency::Concurrency};

    fn limits(tpm: u32, now: Instant) -> Arc<KeyLimits> {
        let (rpm, tpm) = (Bucket::new(0, now), Bucket::new(tpm, now));
        Arc::new(KeyLimits { rpm, tpm, concurrency: Concurrency::new(0) })
    }

    fn left(limits: &KeyLimits, now: Instant) -> u32 {
        limits.tpm.peek(now).remaining
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_comes_back() {
        let now = Instant::now();
        let limits = limits(600, now);
        let held = TokenReservation::take(&limits, 500, now).unwrap();
        assert_eq!((held.reserved(), left(&limits, now)), (500, 100));
        held.correct(30, now);
        assert_eq!(left(&limits, now), 570);
        drop(TokenReservation::take(&limits, 500, now).unwrap());
        assert_eq!(left(&limits, now), 570);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_too_little_is_a_debt() {
        let now = Instant::now();
        let limits = limits(600, now);
        TokenReservation::take(&limits, 100, now).unwrap().correct(1200, now);
        let wait = TokenReservation::take(&limits, 10, now).unwrap_err();
        assert_eq!(wait.retry_after, Duration::from_secs(61));
        let later = now + wait.retry_after;
        assert!(TokenReservation::take(&limits, 10, later - Duration::from_millis(1)).is_err());
        let _held = TokenReservation::take(&limits, 10, later).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_larger_than_the_limit_takes_a_full_bucket() {
        let now = Instant::now();
        let limits = limits(600, now);
        let held = TokenReservation::take(&limits, u64::MAX, now).unwrap();
        assert_eq!((held.reserved(), left(&limits, now)), (600, 0));
        let wait = TokenReservation::take(&limits, u64::MAX, now).unwrap_err();
        assert_eq!(wait.retry_after, Duration::from_secs(60));
        held.correct(u64::MAX, now);
        assert!(TokenReservation::take(&limits, 1, now).is_err());
    }

    proptest! {
        /// Against a sum that anybody can check: nothing is lost, nothing is had twice.
        #[test]
        fn the_limit_is_kept_to_the_token(
            limit in 1_u32..5000,
            requests in prop::collection::vec((0_u64..9000, prop::option::of(0_u64..9000)), 1..40),
        ) {
            let now = Instant::now();
            let limits = limits(limit, now);
            let mut level = i64::from(limit);
            for (estimate, actual) in requests {
                let reserved = estimate.min(limit.into()) as i64;
                let taken = TokenReservation::take(&limits, estimate, now);
                prop_assert_eq!(taken.is_ok(), reserved <= level);
                let Ok(taken) = taken else { continue };
                let actual = actual.map(|actual| actual as i64);
                match actual {
                    Some(actual) => taken.correct(actual as u64, now),
                    // Time passes in a drop, if only a little: this one is given back where it stands.
                    None => taken.correct(0, now),
                }
                level = (level - actual.unwrap_or(0)).min(limit.into());
                prop_assert_eq!(i64::from(left(&limits, now)), level.max(0));
            }
        }
    }
}
