//! Exact counts of the last moments: a ring of buckets.

use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Successes.
    pub(crate) ok: u32,
    /// Failures.
    pub(crate) failed: u32,
    /// Successes that were slow.
    pub(crate) slow: u32,
    /// Rate limits.
    pub(crate) throttled: u32,
}

impl Counts {
    /// Successes with failures.
    pub(crate) fn judged(&self) -> u32 {
        self.ok + self.failed
    }

    /// Everything that the target gave an answer to.
    pub(crate) fn all(&self) -> u32 {
        self.judged() + self.throttled
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.slow += other.slow;
        self.throttled += other.throttled;
    }

    fn subtract(&mut self, other: Self) {
        self.ok -= other.ok;
        self.failed -= other.failed;
        self.slow -= other.slow;
        self.throttled -= other.throttled;
    }
}

/// Counts over a window that moves on bucket by bucket. Nothing fades: a count is in the window or it is not, so that
/// what follows from it does not depend on how often requests come (an average that fades would).
#[derive(Debug)]
pub(crate) struct Ring {
    buckets: Box<[Counts]>,
    /// The sum of the buckets.
    total: Counts,
    /// The span of one bucket, in nanoseconds.
    width: u64,
    /// When the first bucket began; `None`: nothing is counted yet.
    origin: Option<Instant>,
    /// Which bucket is the current one, counted from the origin.
    head: u64,
}

impl Ring {
    /// With the window of the settings.
    pub(crate) fn new(settings: &config::Breaker) -> Self {
        let buckets = settings.buckets.max(1);
        let window = u64::try_from(settings.window.0.as_nanos()).unwrap_or(u64::MAX);
        Self {
            buckets: vec![Counts::default(); buckets].into_boxed_slice(),
            total: Counts::default(),
            width: (window / buckets as u64).max(1),
            origin: None,
            head: 0,
        }
    }

    /// Adds to the current bucket.
    pub(crate) fn add(&mut self, counts: Counts, now: Instant) {
        if self.origin.is_none() {
            self.origin = Some(now);
        }
        self.move_on(now);
        let at = self.place(self.head);
        self.buckets[at].add(counts);
        self.total.add(counts);
    }

    /// What is in the window.
    pub(crate) fn total(&mut self, now: Instant) -> Counts {
        self.move_on(now);
        self.total
    }

    /// How many answers a second there were, over as much of the window as has passed, at least a second.
    pub(crate) fn rate(&mut self, now: Instant) -> f64 {
        self.move_on(now);
        let nanos = self.since(now);
        let window = (nanos % self.width) + self.width.saturating_mul(self.buckets.len() as u64 - 1);
        let covered = Duration::from_nanos(nanos.min(window)).max(Duration::from_secs(1));
        f64::from(self.total.all()) / covered.as_secs_f64()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.buckets.fill(Counts::default());
        (self.total, self.origin, self.head) = (Counts::default(), None, 0);
    }

    /// Nanoseconds since the first bucket began.
    fn since(&self, now: Instant) -> u64 {
        let since = self.origin.map_or(Duration::ZERO, |origin| now.saturating_duration_since(origin));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn place(&self, bucket: u64) -> usize {
        (bucket % self.buckets.len() as u64) as usize
    }

    /// Empties the buckets that have passed. A moment before the current bucket, as threads may bring it, counts as now.
    fn move_on(&mut self, now: Instant) {
        let current = self.since(now) / self.width;
        let passed = current.saturating_sub(self.head).min(self.buckets.len() as u64);
        for bucket in 1..=passed {
            let at = self.place(self.head + bucket);
            self.total.subtract(std::mem::take(&mut self.buckets[at]));
        }
        self.head = self.head.max(current);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: Counts = Counts { ok: 1, failed: 0, slow: 0, throttled: 0 };

    #[test]
    fn forgets_a_bucket_when_ten_more_have_begun() {
        let begun = Instant::now();
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        let mut ring = Ring::new(&config::Breaker::default());
        ring.add(OK, at(0.0));
        ring.add(OK, at(2.9));
        ring.add(OK, at(3.0));
        assert_eq!(ring.total(at(29.9)).ok, 3);
        assert_eq!(ring.total(at(30.0)).ok, 1);
        assert_eq!(ring.total(at(33.0)).ok, 0);
        ring.add(OK, at(1000.0));
        assert_eq!(ring.total(at(1000.0)).ok, 1);
    }

    #[test]
    fn the_rate_is_over_what_has_passed() {
        let begun = Instant::now();
        let mut ring = Ring::new(&config::Breaker::default());
        for n in 0..1000 {
            ring.add(OK, begun + Duration::from_millis(n * 100));
        }
        let rate = ring.rate(begun + Duration::from_secs(100));
        assert!((9.9..10.1).contains(&rate), "{rate}");
        assert_eq!(ring.rate(begun + Duration::from_secs(1000)), 0.0);
    }

    proptest! {
        #[test]
        fn counts_as_a_plain_list_would(gaps in prop::collection::vec(0_u64..9_000, 1..200)) {
            let begun = Instant::now();
            let mut ring = Ring::new(&config::Breaker::default());
            let mut list: Vec<u64> = Vec::new();
            let mut millis = 0;
            for gap in gaps {
                // The first one begins the first bucket.
                millis += if list.is_empty() { 0 } else { gap };
                list.push(millis);
                let now = begun + Duration::from_millis(millis);
                ring.add(OK, now);
                let oldest = (millis / 3000).saturating_sub(9);
                let kept = list.iter().filter(|at| **at / 3000 >= oldest).count();
                prop_assert_eq!(ring.total(now).ok as usize, kept);
            }
        }
    }
}
