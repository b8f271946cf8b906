//! How long a provider asked to be left alone.

use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// Rate limits of one target. The moment until which it is left alone never moves back.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    until: Option<Instant>,
    /// How many limits without a named time followed each other.
    unnamed: u32,
}

impl Throttle {
    /// Notes a rate limit; `hint` is what the provider named, `draw` is from [0, 1).
    pub(crate) fn limited(
        &mut self,
        hint: Option<Duration>,
        now: Instant,
        draw: f64,
        settings: &config::Breaker,
    ) {
        let span = match hint {
            Some(hint) => {
                self.unnamed = 0;
                hint.max(settings.limit_min.0).min(settings.limit_max.0)
            }
            None => self.next_unnamed(now, settings),
        };
        let until = now + span.mul_f64(1.0 + settings.limit_jitter * draw);
        self.until = self.until.max(Some(until));
    }

    /// Notes a success.
    pub(crate) fn passed(&mut self) {
        self.unnamed = 0;
    }

    /// Until when it is left alone, if it is.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// 1, 2, 4 ... 60 s. Requests that were under way together meet the same limit: that counts as one.
    fn next_unnamed(&mut self, now: Instant, settings: &config::Breaker) -> Duration {
        if self.unnamed == 0 || self.until(now).is_none() {
            self.unnamed = self.unnamed.saturating_add(1);
        }
        doubled(settings.unnamed_limit_min.0, self.unnamed, settings.unnamed_limit_max.0)
    }
}

/// `first` doubled `nth - 1` times, at most `most`.
pub(crate) fn doubled(first: Duration, nth: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(nth.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn keeps_what_the_provider_names_and_up_to_a_tenth_more() {
        let (now, settings) = (Instant::now(), config::Breaker::default());
        let until = |hint, draw| {
            let mut throttle = Throttle::default();
            throttle.limited(Some(hint), now, draw, &settings);
            throttle.until(now).unwrap() - now
        };
        assert_eq!(until(seconds(7), 0.0), seconds(7));
        assert_eq!(until(seconds(10), 0.5), Duration::from_millis(10_500));
        assert_eq!(until(Duration::ZERO, 0.0), seconds(1));
        assert_eq!(until(Duration::MAX, 0.0), seconds(300));
    }

    #[test]
    fn a_shorter_hint_does_not_shorten_it() {
        let (now, settings) = (Instant::now(), config::Breaker::default());
        let mut throttle = Throttle::default();
        throttle.limited(Some(seconds(7)), now, 0.0, &settings);
        throttle.limited(Some(seconds(2)), now + seconds(1), 0.0, &settings);
        throttle.limited(None, now + seconds(2), 0.0, &settings);
        assert_eq!(throttle.until(now), Some(now + seconds(7)));
        assert_eq!(throttle.until(now + seconds(7)), None);
    }

    #[test]
    fn without_a_hint_it_doubles_from_limit_to_limit() {
        let (mut now, settings) = (Instant::now(), config::Breaker::default());
        let mut throttle = Throttle::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            throttle.limited(None, now, 0.0, &settings);
            // Another one of the same moment changes nothing.
            throttle.limited(None, now, 0.0, &settings);
            let until = throttle.until(now).unwrap();
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        throttle.passed();
        throttle.limited(None, now, 0.0, &settings);
        assert_eq!(throttle.until(now), Some(now + seconds(1)));
    }

    #[test]
    fn doubling_does_not_overflow() {
        assert_eq!(doubled(seconds(5), 1, seconds(300)), seconds(5));
        assert_eq!(doubled(seconds(5), 3, seconds(300)), seconds(20));
        assert_eq!(doubled(seconds(5), u32::MAX, seconds(300)), seconds(300));
    }
}
