//! The moment until which a credential is at its limit for a model.

use std::time::Duration;

use tokio::time::Instant;

/// No hint is followed for less than this: answers come late, and clocks differ.
const SHORTEST: Duration = Duration::from_secs(1);
/// No hint is followed for longer than this: after it one try shows whether it still holds.
const LONGEST: Duration = Duration::from_secs(300);
/// The longest wait without a hint.
const LONGEST_UNSAID: Duration = Duration::from_secs(60);

/// Shut while a provider wants to be left alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    until: Option<Instant>,
    /// How many refusals without a hint have followed each other.
    unsaid: u32,
}

impl Gate {
    /// When it opens, if it is shut now.
    pub fn shut_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// When it opens, or has opened.
    pub fn ends(&self) -> Option<Instant> {
        self.until
    }

    /// Shuts it for the hint, else for 1, 2, 4 ... 60 s, and up to 10 % longer by `draw` in [0, 1), so that those who
    /// wait do not all come back at once. It never opens sooner than it was to. True where it was open before.
    pub fn shut(&mut self, hint: Option<Duration>, now: Instant, draw: f64) -> bool {
        let was_open = self.shut_until(now).is_none();
        let wait = match hint {
            Some(hint) => hint.clamp(SHORTEST, LONGEST),
            // Refusals of tries that were under way already say nothing new.
            None if !was_open => return false,
            None => {
                let wait = Duration::from_secs(1 << self.unsaid.min(6)).min(LONGEST_UNSAID);
                self.unsaid = self.unsaid.saturating_add(1);
                wait
            }
        };
        let until = now + wait + wait.mul_f64(0.1 * draw);
        self.until = self.until.max(Some(until));
        was_open
    }

    /// A try was answered: the next refusal without a hint is a first one.
    pub fn answered(&mut self) {
        self.unsaid = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_hint_is_kept_to_and_never_shortened() {
        let now = Instant::now();
        let mut gate = Gate::default();
        assert!(gate.shut(Some(7 * SECOND), now, 0.5));
        let until = gate.shut_until(now).unwrap();
        assert_eq!(until - now, Duration::from_millis(7350));
        assert!(!gate.shut(Some(SECOND), now + SECOND, 0.0));
        assert!(!gate.shut(None, now + SECOND, 0.0));
        assert_eq!(gate.shut_until(now), Some(until));
        assert_eq!(gate.shut_until(until), None);
    }

    #[test]
    fn hints_are_believed_within_limits() {
        let now = Instant::now();
        for (hint, expected) in [(0, 1), (1, 1), (300, 300), (86_400, 300)] {
            let mut gate = Gate::default();
            gate.shut(Some(expected.min(hint) * SECOND), now, 0.0);
            gate.shut(Some(hint * SECOND), now, 0.0);
            assert_eq!(gate.shut_until(now).unwrap() - now, expected * SECOND, "{hint}");
        }
    }

    #[test]
    fn without_a_hint_the_waits_double() {
        let (mut now, mut gate) = (Instant::now(), Gate::default());
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            gate.shut(None, now, 0.0);
            // Fifty others that were under way do not count.
            assert!((0..50).all(|_| !gate.shut(None, now, 0.0)));
            let until = gate.shut_until(now).unwrap();
            assert_eq!(until - now, wait * SECOND);
            now = until;
        }
        gate.answered();
        gate.shut(None, now, 0.0);
        assert_eq!(gate.shut_until(now).unwrap() - now, SECOND);
    }

    proptest! {
        #[test]
        fn the_moment_never_moves_back(
            steps in prop::collection::vec(
                (0_u64..40_000, prop::option::of(0_u64..400_000), 0.0..1.0_f64, any::<bool>()), 1..60,
            ),
        ) {
            let (mut now, mut gate, mut last) = (Instant::now(), Gate::default(), None);
            for (pause, hint, draw, answered) in steps {
                now += Duration::from_millis(pause);
                match answered {
                    true => gate.answered(),
                    false => {
                        gate.shut(hint.map(Duration::from_millis), now, draw);
                    }
                }
                prop_assert!(gate.until >= last);
                prop_assert!(gate.until.is_none_or(|until| until <= now + Duration::from_secs(330)));
                last = gate.until;
            }
        }
    }
}
