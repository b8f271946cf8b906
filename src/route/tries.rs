//! Which target comes next after a try that failed.

use std::{sync::Arc, time::Duration};

use crate::base::outcome::Outcome;

use super::book::Target;

/// What to do after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try the target at this index of the chain, at once.
    Other(usize),
    /// Try the same target again, after a pause; `repeat` counts from 0.
    Same {
        /// Which repeat on this target it is.
        repeat: u32,
    },
    /// Give the failure to the client: the request itself is at fault, or nothing is left to try.
    Stop,
}

/// The tries of one request: all targets, repeats and fallbacks count together.
#[derive(Debug)]
pub struct Tries {
    max: usize,
    made: usize,
    skipped: usize,
    at: usize,
    repeats: u32,
}

/// The longest delay that a target is waited for while another one could answer.
const SHORT_WAIT: Duration = Duration::from_secs(2);

impl Tries {
    /// A request that may make `max` tries, the first on the target at `start`.
    pub fn new(max: usize, start: usize) -> Self {
        Self { max, made: 0, skipped: 0, at: start, repeats: 0 }
    }

    /// Decides after the current target failed with `outcome`; skipping costs no try. `wait` is the delay that the
    /// provider named: a target that wants to be left alone for long is not repeated while there is another.
    pub fn after(&mut self, outcome: Outcome, wait: Option<Duration>, chain: &[Arc<Target>]) -> Next {
        self.lost(outcome);
        if self.made >= self.max {
            return Next::Stop;
        }
        match outcome {
            Outcome::Ok | Outcome::Rejected | Outcome::ClientLeft | Outcome::Overtaken => Next::Stop,
            Outcome::ContextTooLong => self.larger(&chain[self.at], chain),
            Outcome::ServerError
            | Outcome::ConnectError
            | Outcome::Reset
            | Outcome::Timeout
            | Outcome::IdleTimeout
            | Outcome::Truncated
            | Outcome::ErrorEvent
            | Outcome::InvalidAnswer
            | Outcome::RateLimited => self.again(wait, chain),
            Outcome::QuotaExhausted
            | Outcome::CredentialRejected
            | Outcome::Forbidden
            | Outcome::ModelUnknown
            | Outcome::Unsupported
            | Outcome::Skipped => self.go_to(self.at + 1, chain),
        }
    }

    /// Counts a try that failed with `outcome` while another one is under way in its place.
    pub fn lost(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Skipped | Outcome::Unsupported => self.skipped += 1,
            _ => self.made += 1,
        }
    }

    /// The target that may start beside the `running` tries; [`Tries::step`] goes there.
    pub fn ahead(&self, running: usize, chain: &[Arc<Target>]) -> Option<usize> {
        let next = self.at + 1;
        (self.made + running < self.max && next < chain.len()).then_some(next)
    }

    /// The target at this index is tried now.
    pub fn step(&mut self, at: usize) {
        (self.at, self.repeats) = (at, 0);
    }

    /// Goes on with the target behind the current one, whatever failed: a route has another way on for it.
    pub fn turn(&mut self, outcome: Outcome, chain: &[Arc<Target>]) -> Next {
        if !matches!(outcome, Outcome::Skipped | Outcome::Unsupported) {
            self.made += 1;
        }
        match self.made >= self.max {
            true => Next::Stop,
            false => self.go_to(self.at + 1, chain),
        }
    }

    /// Goes on behind the current target where another one, which was tried beside it, decides: nothing is repeated.
    pub fn past(&mut self, outcome: Outcome, decider: &Target, chain: &[Arc<Target>]) -> Next {
        self.lost(outcome);
        if self.made >= self.max {
            return Next::Stop;
        }
        match outcome {
            Outcome::Ok | Outcome::Rejected | Outcome::ClientLeft | Outcome::Overtaken => Next::Stop,
            Outcome::ContextTooLong => self.larger(decider, chain),
            _ => self.go_to(self.at + 1, chain),
        }
    }

    /// How many tries are left.
    pub fn left(&self) -> usize {
        self.max.saturating_sub(self.made)
    }

    /// The same target while it has repeats left, else the next one; the last one as long as tries are left, but not in
    /// the place of targets that were skipped: where those are limited, more load is no help.
    fn again(&mut self, wait: Option<Duration>, chain: &[Arc<Target>]) -> Next {
        let last = self.at + 1 == chain.len();
        let soon = wait.is_none_or(|wait| wait <= SHORT_WAIT);
        let spare = self.made + self.skipped < self.max;
        if (last && spare) || (soon && self.repeats < chain[self.at].retries) {
            self.repeats += 1;
            return Next::Same { repeat: self.repeats - 1 };
        }
        self.go_to(self.at + 1, chain)
    }

    /// The next target whose window is known to be larger than that of the one that was too small.
    fn larger(&mut self, small: &Target, chain: &[Arc<Target>]) -> Next {
        let small = small.context_window.unwrap_or(0);
        let fits = |i: &usize| chain[*i].context_window.is_some_and(|window| window > small);
        match (self.at + 1..chain.len()).find(fits) {
            Some(i) => self.go_to(i, chain),
            None => Next::Stop,
        }
    }

    fn go_to(&mut self, i: usize, chain: &[Arc<Target>]) -> Next {
        if i >= chain.len() {
            return Next::Stop;
        }
        self.step(i);
        Next::Other(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Book, Rank, WantedBy};

    fn chain(retries: u32) -> Vec<Arc<Target>> {
        let config = serde_json::from_value(serde_json::json!({
            "providers": { "p": {} },
            "models": {
                "a": { "provider": "p", "retries": retries, "context_window": 100 },
                "b": { "provider": "p", "context_window": 50 },
                "c": { "provider": "p", "context_window": 200 },
            },
            "routes": { "r": { "targets": ["a", "b", "c"] } },
        }));
        let book = Book::compile(&config.unwrap(), |_| true);
        let wanted = book.wanted(WantedBy::Name("r")).unwrap();
        book.chain(&wanted, |_| Rank::default(), || 0.0).targets
    }

    #[test]
    fn tries_beside_each_other_share_the_bound() {
        let chain = chain(0);
        let mut tries = Tries::new(2, 0);
        assert_eq!(tries.ahead(1, &chain), Some(1));
        tries.step(1);
        assert_eq!(tries.ahead(2, &chain), None, "two are under way already");
        tries.lost(Outcome::ServerError);
        assert_eq!(tries.ahead(1, &chain), None);
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Stop);
        let mut tries = Tries::new(9, 2);
        assert_eq!(tries.ahead(1, &chain), None, "there is no other target");
        tries.lost(Outcome::Unsupported);
        assert_eq!(tries.left(), 9, "what was not sent costs no try");
    }

    #[test]
    fn moves_on_at_once_and_stops_at_the_end() {
        let chain = chain(0);
        let mut tries = Tries::new(3, 0);
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::RateLimited, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::Timeout, None, &chain), Next::Stop);
    }

    #[test]
    fn repeats_where_configured_and_on_the_last_target() {
        let chain = chain(1);
        let mut tries = Tries::new(6, 0);
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Same { repeat: 0 });
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Same { repeat: 0 });
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Same { repeat: 1 });
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Stop);
    }

    #[test]
    fn a_skip_costs_no_try_and_makes_no_repeat() {
        let chain = chain(0);
        let mut tries = Tries::new(3, 0);
        assert_eq!(tries.after(Outcome::Skipped, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Other(2));
        assert_eq!(tries.left(), 2);
        assert_eq!(tries.after(Outcome::ServerError, None, &chain), Next::Stop);
        let mut tries = Tries::new(1, 0);
        assert_eq!(tries.after(Outcome::Skipped, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::Skipped, None, &chain), Next::Other(2));
    }

    #[test]
    fn a_target_that_wants_a_long_rest_makes_room_for_the_next() {
        let chain = chain(1);
        let long = Some(Duration::from_secs(60));
        assert_eq!(Tries::new(6, 0).after(Outcome::RateLimited, long, &chain), Next::Other(1));
        let short = Some(Duration::from_secs(1));
        assert_eq!(Tries::new(6, 0).after(Outcome::RateLimited, short, &chain), Next::Same { repeat: 0 });
    }

    #[test]
    fn the_requests_own_fault_is_not_retried() {
        let chain = chain(3);
        assert_eq!(Tries::new(9, 0).after(Outcome::Rejected, None, &chain), Next::Stop);
    }

    #[test]
    fn what_a_target_cannot_take_costs_no_try() {
        let chain = chain(3);
        let mut tries = Tries::new(1, 0);
        assert_eq!(tries.after(Outcome::Unsupported, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::Unsupported, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::Unsupported, None, &chain), Next::Stop);
        let mut tries = Tries::new(2, 0);
        assert_eq!(tries.after(Outcome::ModelUnknown, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::Unsupported, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::ModelUnknown, None, &chain), Next::Stop);
    }

    #[test]
    fn too_long_a_question_goes_to_a_larger_window_only() {
        let chain = chain(3);
        let mut tries = Tries::new(9, 0);
        assert_eq!(tries.after(Outcome::ContextTooLong, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::ContextTooLong, None, &chain), Next::Stop);
    }

    #[test]
    fn a_refused_credential_is_not_tried_again_on_the_last_target() {
        let chain = chain(0);
        let mut tries = Tries::new(9, 0);
        assert_eq!(tries.after(Outcome::Skipped, None, &chain), Next::Other(1));
        assert_eq!(tries.after(Outcome::ModelUnknown, None, &chain), Next::Other(2));
        assert_eq!(tries.after(Outcome::CredentialRejected, None, &chain), Next::Stop);
    }
}
