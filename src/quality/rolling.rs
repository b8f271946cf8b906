//! The share of a model's answers that pass their checks, of late.

use std::sync::{Mutex, PoisonError};

/// About so many of the latest answers decide.
const MEMORY: u64 = 100;

/// The share of good answers, where the latest hundred or so count.
#[derive(Debug, Default)]
pub struct Rolling(Mutex<Share>);

/// What a [`Rolling`] says at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// From 0 to 1; 0 while there are no answers.
    pub passed: f64,
    /// How many answers there were.
    pub answers: u64,
}

impl Rolling {
    /// Counts an answer; gives what stands then.
    pub fn judged(&self, passed: bool) -> Share {
        let mut share = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        share.answers = share.answers.saturating_add(1);
        // The plain mean at first, then one where each answer fades.
        let weight = 1.0 / share.answers.min(MEMORY) as f64;
        share.passed += (f64::from(u8::from(passed)) - share.passed) * weight;
        *share
    }

    /// What stands now; `None` before the first answer.
    pub fn share(&self) -> Option<Share> {
        Some(*self.0.lock().unwrap_or_else(PoisonError::into_inner)).filter(|share| share.answers > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_answers_have_their_mean() {
        let rolling = Rolling::default();
        assert_eq!(rolling.share(), None);
        for passed in [true, false, true, true] {
            rolling.judged(passed);
        }
        let share = rolling.share().unwrap();
        assert!((share.passed - 0.75).abs() < 1e-12 && share.answers == 4, "{share:?}");
    }

    #[test]
    fn old_answers_fade() {
        let rolling = Rolling::default();
        for passed in [true; 1000].into_iter().chain([false; 500]) {
            rolling.judged(passed);
        }
        assert!(rolling.share().unwrap().passed < 0.01);
    }

    proptest! {
        #[test]
        fn a_share_stays_one(answers in prop::collection::vec(any::<bool>(), 0..400)) {
            let rolling = Rolling::default();
            for passed in answers {
                let share = rolling.judged(passed).passed;
                prop_assert!((0.0..=1.0).contains(&share), "{}", share);
            }
        }
    }
}
