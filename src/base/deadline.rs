//! The one moment by which everything done for a request has to be over.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time that every wait of a request respects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `span` after `now`.
    pub fn after(now: Instant, span: Duration) -> Self {
        // A span that overflows the clock is as good as none: thirty years.
        let far = Duration::from_secs(30 * 365 * 24 * 3600);
        Self(now + span.min(far))
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left of it at `now`; zero once it is over.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// The earlier of this deadline and `span` after `now`.
    pub fn at_most(self, now: Instant, span: Duration) -> Self {
        self.min(Self::after(now, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_down_to_zero() {
        let deadline = Deadline::after(Instant::now(), Duration::from_secs(2));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(deadline.left(Instant::now()), Duration::from_millis(1500));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(deadline.left(Instant::now()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_shorter_span_wins_and_a_huge_one_does_not_overflow() {
        let now = Instant::now();
        let long = Deadline::after(now, Duration::MAX);
        assert_eq!(long.at_most(now, Duration::from_secs(1)).left(now), Duration::from_secs(1));
    }
}
