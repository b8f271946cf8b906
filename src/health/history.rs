//! The last 15 minutes of a target, by the minute.

use std::time::Duration;

use tokio::time::Instant;

use super::signal::Verdict;

/// How many minutes are kept.
pub const MINUTES: usize = 15;

/// What happened in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Tries that succeeded.
    pub ok: u32,
    /// Tries that failed by the target's fault.
    pub failed: u32,
    /// Tries that met a rate limit.
    pub limited: u32,
    /// The sum of the successes' times (of streams to the first token), in milliseconds.
    pub ok_millis: u64,
}

impl Minute {
    /// All tries that say something of the target.
    pub fn calls(&self) -> u32 {
        self.ok.saturating_add(self.failed).saturating_add(self.limited)
    }

    /// How long a success took on average.
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.ok_millis.checked_div(u64::from(self.ok))?;
        Some(Duration::from_millis(mean))
    }

    fn add(&mut self, other: &Self) {
        self.ok = self.ok.saturating_add(other.ok);
        self.failed = self.failed.saturating_add(other.failed);
        self.limited = self.limited.saturating_add(other.limited);
        self.ok_millis = self.ok_millis.saturating_add(other.ok_millis);
    }
}

/// A ring of minutes.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The minute that a minute since the origin stands in is its remainder.
    minutes: [Minute; MINUTES],
    origin: Option<Instant>,
    head: u64,
}

impl History {
    /// Notes a try.
    pub(crate) fn add(&mut self, verdict: Verdict, took: Duration, now: Instant) {
        let mut minute = Minute::default();
        match verdict {
            Verdict::Ok => {
                minute.ok = 1;
                minute.ok_millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            }
            Verdict::Failed => minute.failed = 1,
            Verdict::Throttled => minute.limited = 1,
            Verdict::Neutral => return,
        }
        self.move_on(now);
        self.back(0).add(&minute);
    }

    /// The minutes, the current one first.
    pub(crate) fn minutes(&mut self, now: Instant) -> [Minute; MINUTES] {
        self.move_on(now);
        std::array::from_fn(|age| *self.back(age))
    }

    /// Adds minutes of an earlier process, the current one first.
    pub(crate) fn restore(&mut self, minutes: &[Minute], now: Instant) {
        self.move_on(now);
        for (age, minute) in minutes.iter().take(MINUTES).enumerate() {
            self.back(age).add(minute);
        }
    }

    fn back(&mut self, age: usize) -> &mut Minute {
        let at = (self.head as usize % MINUTES + MINUTES - age) % MINUTES;
        &mut self.minutes[at]
    }

    fn move_on(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        let current = now.saturating_duration_since(origin).as_secs() / 60;
        let passed = current.saturating_sub(self.head).min(MINUTES as u64);
        for minute in 1..=passed {
            self.minutes[((self.head + minute) % MINUTES as u64) as usize] = Minute::default();
        }
        self.head = self.head.max(current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_fifteen_minutes() {
        let begun = Instant::now();
        let at = |minutes: u64| begun + Duration::from_secs(minutes * 60);
        let mut history = History::default();
        for minute in 0..20 {
            for _ in 0..=minute {
                history.add(Verdict::Ok, Duration::from_millis(100), at(minute));
            }
            history.add(Verdict::Neutral, Duration::ZERO, at(minute));
        }
        let minutes = history.minutes(at(19));
        assert_eq!(minutes.map(|minute| minute.ok), std::array::from_fn(|age| 20 - age as u32));
        assert_eq!(minutes[3].mean(), Some(Duration::from_millis(100)));
        assert_eq!(history.minutes(at(21))[..3].iter().map(Minute::calls).collect::<Vec<_>>(), [0, 0, 20]);
        assert_eq!(history.minutes(at(500)), [Minute::default(); MINUTES]);
    }

    #[test]
    fn minutes_survive_a_restart() {
        let begun = Instant::now();
        let mut before = History::default();
        before.add(Verdict::Failed, Duration::ZERO, begun);
        before.add(Verdict::Throttled, Duration::ZERO, begun + Duration::from_secs(60));
        let kept = before.minutes(begun + Duration::from_secs(60));
        let mut after = History::default();
        after.restore(&kept, begun + Duration::from_secs(90));
        assert_eq!(after.minutes(begun + Duration::from_secs(90)), kept);
    }
}
