//! The health score of a target, with its parts.

use std::time::Duration;

use crate::config;

use super::ring::Counts;

/// The health score with its parts, each in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The whole: S x S x T x Q.
    pub h: f64,
    /// Success, with an optimistic prior.
    pub s: f64,
    /// Speed beside the others of its chain.
    pub t: f64,
    /// What the provider's limits leave.
    pub q: f64,
}

/// T is never below this: slowness alone does not end a target's share.
const SLOWEST: f64 = 0.1;

/// Q is multiplied by this where little is left of the provider's own limits.
const LOW_QUOTA_FACTOR: f64 = 0.5;

impl Score {
    /// The score of its parts.
    pub(crate) fn of(s: f64, t: f64, q: f64) -> Self {
        Self { h: s * s * t * q, s, t, q }
    }
}

/// S: the share of successes, as if there had been `score_prior` before.
pub(crate) fn success(counts: Counts, settings: &config::Breaker) -> f64 {
    let prior = settings.score_prior;
    (f64::from(counts.ok) + prior) / (f64::from(counts.judged()) + prior)
}

/// Q without the provider's quota: the share that met no rate limit. Rate limits count among all, so that the share
/// stays within [0, 1].
pub(crate) fn unthrottled(counts: Counts, settings: &config::Breaker) -> f64 {
    1.0 - f64::from(counts.throttled) / (f64::from(counts.all()) + settings.score_prior)
}

/// T: how a target's peak stands to the median of its group; 1 where either is unknown.
pub fn speed(median: Option<Duration>, peak: Option<Duration>) -> f64 {
    match (median, peak) {
        (Some(median), Some(peak)) if !peak.is_zero() => {
            (median.as_secs_f64() / peak.as_secs_f64()).clamp(SLOWEST, 1.0)
        }
        _ => 1.0,
    }
}

/// Q: `unthrottled`, halved where less than `low_quota` is left of the provider's own limits.
pub(crate) fn room(unthrottled: f64, quota_left: Option<f64>, low_quota: f64) -> f64 {
    match quota_left {
        Some(left) if left < low_quota => unthrottled * LOW_QUOTA_FACTOR,
        _ => unthrottled,
    }
}

/// The median of a group's peaks; of an even number the shorter one in the middle.
pub fn median(peaks: impl IntoIterator<Item = Duration>) -> Option<Duration> {
    let mut peaks: Vec<Duration> = peaks.into_iter().collect();
    peaks.sort_unstable();
    let middle = peaks.len().checked_sub(1)? / 2;
    peaks.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn success_begins_optimistic() {
        let settings = config::Breaker::default();
        let s = |ok, failed| success(Counts { ok, failed, ..Counts::default() }, &settings);
        assert_eq!([s(0, 0), s(0, 1), s(0, 4), s(96, 0)], [1.0, 0.8, 0.5, 1.0]);
    }

    #[test]
    fn limits_lower_it_to_no_less_than_nothing() {
        let settings = config::Breaker::default();
        let q = |ok, throttled| unthrottled(Counts { ok, throttled, ..Counts::default() }, &settings);
        assert_eq!([q(0, 0), q(0, 4), q(4, 2)], [1.0, 0.5, 0.8]);
        assert!(q(0, 1_000_000) > 0.0);
        assert_eq!(
            [room(1.0, Some(0.05), 0.1), room(0.8, Some(0.1), 0.1), room(0.8, None, 0.1)],
            [0.5, 0.8, 0.8]
        );
    }

    #[test]
    fn speed_is_beside_the_others() {
        assert_eq!(speed(Some(MS(300)), Some(MS(600))), 0.5);
        assert_eq!(speed(Some(MS(300)), Some(MS(30_000))), 0.1);
        assert_eq!(speed(Some(MS(300)), Some(MS(3))), 1.0);
        assert_eq!((speed(None, Some(MS(3))), speed(Some(MS(3)), None)), (1.0, 1.0));
        assert_eq!(median([MS(3), MS(1), MS(2)]), Some(MS(2)));
        assert_eq!(median([MS(4), MS(1)]), Some(MS(1)));
        assert_eq!(median([]), None);
    }

    #[test]
    fn failures_weigh_twice() {
        assert!((Score::of(0.5, 1.0, 0.8).h - 0.2).abs() < 1e-9);
    }
}
