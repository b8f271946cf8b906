//! What a model's latest answers are worth on average.

use std::sync::{Mutex, PoisonError};

/// About so many of the latest answers decide.
const MEMORY: u64 = 100;

/// The mean of a model's answers, of which the latest hundred or so count.
#[derive(Debug, Default)]
pub struct Rolling(Mutex<Mean>);

/// What a [`Rolling`] says at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// From 0 to 1; 0 while there are no answers.
    pub mean: f64,
    /// How many answers there were.
    pub answers: u64,
}

impl Rolling {
    /// Counts an answer that is worth so much, 0 to 1; gives what stands then.
    pub fn add(&self, worth: f64) -> Mean {
        let mut mean = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mean.answers = mean.answers.saturating_add(1);
        // The plain mean at first, then one where each answer fades.
        let weight = 1.0 / mean.answers.min(MEMORY) as f64;
        mean.mean += (worth - mean.mean) * weight;
        *mean
    }

    /// What stands now; `None` before the first answer.
    pub fn mean(&self) -> Option<Mean> {
        Some(*self.0.lock().unwrap_or_else(PoisonError::into_inner)).filter(|mean| mean.answers > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_answers_have_their_mean() {
        let rolling = Rolling::default();
        assert_eq!(rolling.mean(), None);
        for passed in [true, false, true, true] {
            rolling.add(f64::from(u8::from(passed)));
        }
        let mean = rolling.mean().unwrap();
        assert!((mean.mean - 0.75).abs() < 1e-12 && mean.answers == 4, "{mean:?}");
    }

    #[test]
    fn old_answers_fade() {
        let rolling = Rolling::default();
        for passed in [true; 1000].into_iter().chain([false; 500]) {
            rolling.add(f64::from(u8::from(passed)));
        }
        assert!(rolling.mean().unwrap().mean < 0.01);
    }

    proptest! {
        #[test]
        fn a_share_stays_one(answers in prop::collection::vec(any::<bool>(), 0..400)) {
            let rolling = Rolling::default();
            for passed in answers {
                let mean = rolling.add(f64::from(u8::from(passed))).mean;
                prop_assert!((0.0..=1.0).contains(&mean), "{}", mean);
            }
        }
    }
}
