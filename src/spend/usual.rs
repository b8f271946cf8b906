//! The usual output of models, with their pace.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{base::map::NameMap, openai::Usage, route::Target};

/// How much each new answer counts: an eighth, as round-trip times are smoothed in TCP (RFC 6298).
const SHARE: u64 = 8;

/// What is taken to be usual before a model has answered once. Few models make more than 100 tokens a second.
const FIRST_GUESS: Habit = Habit { output: 1024, reasoning: 0, per_second: 100 };

/// The shortest answer in time that says something about a model's pace.
const SHORTEST: Duration = Duration::from_millis(100);

/// What a model usually does, as exponentially weighted means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit {
    /// The tokens of an answer, thoughts included.
    pub output: u64,
    /// The tokens of its thoughts.
    pub reasoning: u64,
    /// The tokens that it makes in a second.
    pub per_second: u64,
}

impl Habit {
    /// What no model exceeds: the fastest that can be bought make about 3,000 tokens a second.
    pub const FASTEST: Self = Self { output: u64::MAX, reasoning: u64::MAX, per_second: 4000 };

    /// The tokens that it may have made in this time.
    pub fn made_in(&self, time: Duration) -> u64 {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        millis.saturating_mul(self.per_second) / 1000
    }

    fn saw(&mut self, usage: &Usage, took: Duration) {
        self.output = smoothed(self.output, usage.completion());
        self.reasoning = smoothed(self.reasoning, usage.reasoning);
        if took >= SHORTEST {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.per_second = smoothed(self.per_second, usage.completion().saturating_mul(1000) / millis);
        }
    }
}

fn smoothed(before: u64, now: u64) -> u64 {
    before.saturating_mul(SHARE - 1).saturating_add(now).div_ceil(SHARE)
}

/// The habits of the configured models.
#[derive(Debug, Default)]
pub struct Usual(Mutex<NameMap<Arc<str>, Habit>>);

impl Usual {
    /// What a target usually does.
    pub fn of(&self, target: &Target) -> Habit {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&target.name).copied().unwrap_or(FIRST_GUESS)
    }

    /// A target has answered. Models that clients only named are not remembered: there is no end of them.
    pub fn saw(&self, target: &Target, usage: &Usage, took: Duration) {
        if !target.configured {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(Arc::clone(&target.name)).or_insert(FIRST_GUESS).saw(usage, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_habit_follows_what_is_seen() {
        let mut habit = FIRST_GUESS;
        let usage = Usage { output: 100, reasoning: 300, ..Usage::default() };
        for _ in 0..100 {
            habit.saw(&usage, Duration::from_secs(2));
        }
        // Rounding up keeps each mean less than a share above what it is the mean of.
        let near = |mean: u64, of: u64| (of..of + SHARE).contains(&mean);
        assert!(
            near(habit.output, 400) && near(habit.reasoning, 300) && near(habit.per_second, 200),
            "{habit:?}"
        );
        let pace = habit.per_second;
        assert_eq!(habit.made_in(Duration::from_millis(1500)), pace * 3 / 2);
        habit.saw(&usage, Duration::ZERO);
        assert_eq!(habit.per_second, pace);
    }
}
