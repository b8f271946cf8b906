//! How many extra tries the traffic allows: a token bucket that requests fill.

use std::time::Duration;

use tokio::time::Instant;

/// Over any time, extra tries are at most `share` of the requests, or `per_second` for each second if that is more, and
/// never more than `burst` at once beyond that.
#[derive(Debug)]
pub(crate) struct Allowance {
    share: f64,
    per_second: f64,
    burst: f64,
    level: f64,
    /// What was given for time alone, or at the start. Requests pay it back first: the larger of share and floor
    /// counts, not their sum.
    advance: f64,
    at: Option<Instant>,
}

/// Sums of shares are not exact in binary: twenty times 0.05 may fall short of 1 by this much.
const ROUNDING: f64 = 1e-9;

impl Allowance {
    /// Full, all of it in advance.
    pub(crate) fn new(share: f64, per_second: f64, burst: f64) -> Self {
        Self { share, per_second, burst, level: burst, advance: burst, at: None }
    }

    /// Takes new numbers; what is saved up stays, as far as it still may.
    pub(crate) fn configure(&mut self, share: f64, per_second: f64, burst: f64) {
        (self.share, self.per_second, self.burst) = (share, per_second, burst);
        self.level = self.level.min(burst);
        self.advance = self.advance.min(burst);
    }

    /// A request came.
    pub(crate) fn request(&mut self, now: Instant) {
        self.pass(now);
        let paid_back = self.share.min(self.advance);
        self.advance -= paid_back;
        self.level = (self.level + self.share - paid_back).min(self.burst);
    }

    /// Takes an extra try, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.pass(now);
        let enough = self.level >= 1.0 - ROUNDING;
        if enough {
            self.level = (self.level - 1.0).max(0.0);
        }
        enough
    }

    /// Puts one back that was not made.
    pub(crate) fn give_back(&mut self) {
        self.level = (self.level + 1.0).min(self.burst);
    }

    /// How long until one is there, by time alone; `None`: it takes requests.
    pub(crate) fn ready_in(&mut self, now: Instant) -> Option<Duration> {
        self.pass(now);
        let missing = (1.0 - ROUNDING - self.level).max(0.0);
        if missing == 0.0 {
            return Some(Duration::ZERO);
        }
        (self.per_second > 0.0 && self.burst >= 1.0)
            .then(|| Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX))
    }

    fn pass(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at.unwrap_or(now)).as_secs_f64();
        self.at = self.at.max(Some(now));
        let given = (since * self.per_second).min(self.burst - self.level).max(0.0);
        self.level += given;
        self.advance = (self.advance + given).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extra tries of `seconds` seconds with `rate` requests in each, when every request asks for one.
    fn taken(mut allowance: Allowance, rate: u64, seconds: u64) -> Vec<u64> {
        let begun = Instant::now();
        let mut by_second = vec![0; seconds as usize];
        for request in 0..rate * seconds {
            let now = begun + Duration::from_nanos(request * 1_000_000_000 / rate);
            allowance.request(now);
            by_second[(request / rate) as usize] += u64::from(allowance.take(now));
        }
        by_second
    }

    #[test]
    fn a_tenth_of_much_traffic() {
        let by_second = taken(Allowance::new(0.1, 1.0, 10.0), 200, 60);
        assert!(by_second.iter().all(|extra| *extra <= 20), "{by_second:?}");
        assert!(by_second.iter().sum::<u64>() > 59 * 19, "{by_second:?}");
    }

    #[test]
    fn one_a_second_of_little_traffic() {
        let by_second = taken(Allowance::new(0.1, 1.0, 10.0), 5, 60);
        assert!(by_second.iter().sum::<u64>() <= 70, "{by_second:?}");
        assert!(by_second[20..].iter().all(|extra| *extra <= 2), "{by_second:?}");
    }

    #[test]
    fn without_a_floor_never_more_than_the_share() {
        let by_second = taken(Allowance::new(0.05, 0.0, 10.0), 100, 100);
        assert_eq!(by_second.iter().sum::<u64>(), 500);
        assert_eq!(by_second[0], 10);
    }

    #[test]
    fn tells_when_the_next_one_is_there() {
        let now = Instant::now();
        let mut allowance = Allowance::new(0.1, 2.0, 1.0);
        assert_eq!(allowance.ready_in(now), Some(Duration::ZERO));
        assert!(allowance.take(now) && !allowance.take(now));
        let wait = allowance.ready_in(now).unwrap();
        assert!(!allowance.take(now + wait / 2) && allowance.take(now + wait));
        allowance.give_back();
        assert!(allowance.take(now + wait));
        let mut none = Allowance::new(0.1, 0.0, 1.0);
        assert!(none.take(now) && none.ready_in(now).is_none());
    }
}
