//! What the checks of one answer found.

use super::rating;
use crate::config::QualityCheck;

/// A set of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks(u8);

impl Checks {
    /// Puts a check in.
    pub fn insert(&mut self, check: QualityCheck) {
        self.0 |= 1 << check as u8;
    }

    /// Whether a check is in it.
    pub fn contains(self, check: QualityCheck) -> bool {
        self.0 & (1 << check as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of them that are in the other set too.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// All of them, the worst failure first.
    pub fn iter(self) -> impl Iterator<Item = QualityCheck> {
        QualityCheck::ALL.into_iter().filter(move |check| self.contains(*check))
    }

    /// The one whose failure is the worst.
    pub fn worst(self) -> Option<QualityCheck> {
        self.iter().next()
    }
}

impl FromIterator<QualityCheck> for Checks {
    fn from_iter<I: IntoIterator<Item = QualityCheck>>(checks: I) -> Self {
        let mut set = Self::default();
        checks.into_iter().for_each(|check| set.insert(check));
        set
    }
}

/// Which checks an answer went through, with those that it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Those that applied.
    pub ran: Checks,
    /// Those of them that failed.
    pub failed: Checks,
    /// The number, where that was all that was asked for.
    pub rating: Option<u8>,
}

impl Findings {
    /// Notes a check with its result.
    pub(super) fn note(&mut self, check: QualityCheck, failed: bool) {
        self.ran.insert(check);
        if failed {
            self.failed.insert(check);
        }
    }

    /// Whether the answer passed; `None` where nothing was checked.
    pub fn passed(self) -> Option<bool> {
        (!self.ran.is_empty()).then(|| self.failed.is_empty())
    }

    /// The result in a word: `ok`, or the worst check that failed; the number; `None` where nothing was checked.
    pub fn word(self) -> Option<&'static str> {
        if let Some(rating) = self.rating {
            return rating::word(rating);
        }
        self.passed().map(|_| self.failed.worst().map_or("ok", QualityCheck::as_str))
    }

    /// Whether the other answer is no worse, where only the checks of `on` count.
    pub fn yields_to(self, other: Self, on: Checks) -> bool {
        match (self.failed.and(on).worst(), other.failed.and(on).worst()) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(others)) => others >= own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QualityCheck::{Empty, InvalidJson, Refusal, TooShort, Truncated};

    fn findings(failed: &[QualityCheck]) -> Findings {
        let (ran, failed) = (QualityCheck::ALL.into_iter().collect(), failed.iter().copied().collect());
        Findings { ran, failed, rating: None }
    }

    #[test]
    fn the_worst_failure_is_the_word() {
        assert_eq!(findings(&[TooShort, Refusal]).word(), Some("refusal"));
        assert_eq!((findings(&[]).word(), findings(&[]).passed()), (Some("ok"), Some(true)));
        assert_eq!((Findings::default().word(), Findings::default().passed()), (None, None));
    }

    #[test]
    fn the_better_answer_wins() {
        let all: Checks = QualityCheck::ALL.into_iter().collect();
        let broken = findings(&[InvalidJson, Truncated]);
        assert!(broken.yields_to(findings(&[]), all) && broken.yields_to(findings(&[Truncated]), all));
        assert!(broken.yields_to(broken, all), "the other one is from a better model");
        assert!(!broken.yields_to(findings(&[Empty]), all));
        assert!(!findings(&[]).yields_to(findings(&[TooShort]), all));
        // What nobody asked to be checked does not count.
        let only: Checks = [InvalidJson].into_iter().collect();
        assert!(broken.yields_to(findings(&[Empty]), only));
    }
}
