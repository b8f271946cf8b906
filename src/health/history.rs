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

/// The last minutes as they are written down for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The minutes, the current one first.
    pub minutes: [Minute; MINUTES],
    /// How long ago the current one began.
    pub lasted: Duration,
    /// How many tries were noted in all: where it is the same as before, there is nothing new.
    pub noted: u64,
}

/// A ring of minutes.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The minute that a minute since the origin stands in is its remainder.
    minutes: [Minute; MINUTES],
    origin: Option<Instant>,
    head: u64,
    noted: u64,
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
        self.noted += 1;
    }

    /// The minutes, with how far the current one is.
    pub(crate) fn past(&mut self, now: Instant) -> Past {
        self.move_on(now);
        let origin = self.origin.unwrap_or(now);
        let began = origin + Duration::from_secs(self.head.saturating_mul(60));
        let minutes = std::array::from_fn(|age| *self.back(age));
        Past { minutes, lasted: now.saturating_duration_since(began), noted: self.noted }
    }

    /// Adds minutes of an earlier process, of which the first began so long ago. A history without any of its own goes
    /// on with that minute.
    pub(crate) fn restore(&mut self, minutes: &[Minute], began_ago: Duration, now: Instant) {
        let ages = usize::try_from(began_ago.as_secs() / 60).unwrap_or(MINUTES);
        let lasted = began_ago.saturating_sub(Duration::from_secs(began_ago.as_secs() / 60 * 60));
        self.origin.get_or_insert_with(|| now.checked_sub(lasted).unwrap_or(now));
        self.move_on(now);
        for (age, minute) in minutes.iter().enumerate() {
            let age = age.saturating_add(ages);
            if age < MINUTES {
                self.back(age).add(minute);
            }
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
        let minutes = history.past(at(19)).minutes;
        assert_eq!(minutes.map(|minute| minute.ok), std::array::from_fn(|age| 20 - age as u32));
        assert_eq!(minutes[3].mean(), Some(Duration::from_millis(100)));
        assert_eq!(
            history.past(at(21)).minutes[..3].iter().map(Minute::calls).collect::<Vec<_>>(),
            [0, 0, 20]
        );
        assert_eq!(history.past(at(500)).minutes, [Minute::default(); MINUTES]);
    }

    /// Restarts do not shift minutes, however many there are.
    #[test]
    fn minutes_go_on_after_a_restart() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut before = History::default();
        before.add(Verdict::Failed, Duration::ZERO, at(0));
        before.add(Verdict::Throttled, Duration::ZERO, at(60));
        let kept = before.past(at(85));
        assert_eq!((kept.lasted, kept.noted), (Duration::from_secs(25), 2));
        // Down for 30 s: still the same minute.
        let mut after = History::default();
        after.restore(&kept.minutes, kept.lasted + Duration::from_secs(30), at(115));
        let again = after.past(at(115));
        assert_eq!((again.minutes, again.lasted), (kept.minutes, Duration::from_secs(55)));
        assert_eq!(again.noted, 0, "what was written once is not new");
        after.add(Verdict::Ok, Duration::ZERO, at(121));
        let calls = |history: &mut History, now| history.past(now).minutes.map(|minute| minute.calls());
        assert_eq!(calls(&mut after, at(121))[..4], [1, 1, 1, 0]);
        // Down for 13 minutes and 50 s.
        let mut late = History::default();
        late.restore(&kept.minutes, kept.lasted + Duration::from_secs(830), at(915));
        assert_eq!(calls(&mut late, at(915))[12..], [0, 0, 1]);
        let mut too_late = History::default();
        too_late.restore(&kept.minutes, Duration::MAX, at(0));
        assert_eq!(calls(&mut too_late, at(0)), [0; MINUTES]);
    }
}
