//! Everything known of one provider's health, behind one lock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{base::outcome::Outcome, config};

use super::{
    breaker::Breaker,
    permit::{Permit, Refused},
    ring::{Counts, Ring},
    signal::{Reached, Verdict, signal},
    state::{Force, State, Transition},
};

/// The health of one provider. Its breaker judges connections alone: ten models of a dead host then do not need fifty
/// failures, while an answer of any kind shows that it is there.
#[derive(Debug)]
pub struct ProviderHealth(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Breaker,
    /// All of its tries, whatever the target.
    tries: Ring,
    /// A share of fewer tries says nothing.
    min_calls: u32,
    limited_at: Option<Instant>,
}

/// Leave to make one try at a provider; to be reported or given back.
#[must_use = "a permit is reported or given back"]
#[derive(Debug)]
pub struct ProviderPermit(Permit);

impl ProviderPermit {
    /// The breaker's step to half-open, if that was made for this permit.
    pub fn transition(&self) -> Option<Transition> {
        self.0.transition()
    }
}

impl ProviderHealth {
    /// A provider of which nothing is known.
    pub fn new(settings: &config::Breaker) -> Self {
        let (tries, min_calls) = (Ring::new(settings), settings.min_calls);
        let connections = Breaker::new(Arc::new(settings.clone()));
        Self(Mutex::new(Inner { connections, tries, min_calls, limited_at: None }))
    }

    /// Takes new settings; the share of failures begins anew.
    pub fn configure(&self, settings: &config::Breaker) -> Option<Transition> {
        let mut inner = self.lock();
        (inner.tries, inner.min_calls) = (Ring::new(settings), settings.min_calls);
        inner.connections.configure(Arc::new(settings.clone()))
    }

    /// What its breaker does.
    pub fn state(&self) -> State {
        self.lock().connections.state()
    }

    /// Asks for a try. There is no slow start here: each target has its own.
    ///
    /// # Errors
    /// Why not now.
    pub fn try_admit(&self, now: Instant) -> Result<ProviderPermit, Refused> {
        // A draw of 0 is within the share of every slow start.
        self.lock().connections.admit(now, 0.0).map(ProviderPermit)
    }

    /// Asks for a try when nothing else is left.
    ///
    /// # Errors
    /// Why not now.
    pub fn last_resort(&self, now: Instant) -> Result<ProviderPermit, Refused> {
        self.lock().connections.last_resort(now).map(ProviderPermit)
    }

    /// Tells whether the provider was reached, as soon as that is known: when the head of an answer came, or connecting
    /// failed. A breaker that is half-open then need not wait for the end of a long stream. `draw` is from [0, 1).
    pub fn report(
        &self,
        permit: ProviderPermit,
        reached: Reached,
        now: Instant,
        draw: f64,
    ) -> Option<Transition> {
        let (outcome, verdict) = match reached {
            Reached::Yes => (Outcome::Ok, Verdict::Ok),
            Reached::No => (Outcome::ConnectError, Verdict::Failed),
            Reached::Unknown => (Outcome::Timeout, Verdict::Neutral),
        };
        self.lock().connections.report(permit.0, outcome, verdict, false, now, draw)
    }

    /// Asks for a health check. It never takes a probe from a request, so that one whose path alone is broken does not
    /// keep a provider out that answers requests; `None`: an operator took the provider out.
    pub fn check(&self) -> Option<ProviderPermit> {
        self.lock().connections.beside().map(ProviderPermit)
    }

    /// Tells what a health check showed. It was made to see whether the provider is there: any answer shows that, even
    /// one that says that the provider's list is broken, and silence speaks against it.
    pub fn checked(
        &self,
        permit: ProviderPermit,
        outcome: Outcome,
        now: Instant,
        draw: f64,
    ) -> Option<Transition> {
        let verdict = if Self::speaks_against(outcome) { Verdict::Failed } else { Verdict::Ok };
        self.lock().connections.report(permit.0, outcome, verdict, false, now, draw)
    }

    /// Whether the outcome of a health check speaks against the provider.
    pub fn speaks_against(outcome: Outcome) -> bool {
        let signal = signal(outcome);
        signal.verdict == Verdict::Failed && signal.reached != Reached::Yes
    }

    /// Tells how a try ended.
    pub fn ended(&self, outcome: Outcome, now: Instant) {
        let counts = match signal(outcome).verdict {
            Verdict::Ok => Counts { ok: 1, ..Counts::default() },
            Verdict::Failed => Counts { failed: 1, ..Counts::default() },
            Verdict::Throttled => Counts { throttled: 1, ..Counts::default() },
            Verdict::Neutral => return,
        };
        let mut inner = self.lock();
        inner.tries.add(counts, now);
        if counts.throttled > 0 {
            inner.limited_at = inner.limited_at.max(Some(now));
        }
    }

    /// Gives a permit back that was not used.
    pub fn give_back(&self, permit: ProviderPermit) {
        self.lock().connections.give_back(permit.0);
    }

    /// After how long a try without a connection counts as one that failed to connect.
    pub fn unreachable_after(&self) -> Duration {
        self.lock().connections.settings().unreachable_after.0
    }

    /// Closes its breaker, as an operator says who resets one of its targets.
    pub fn reset(&self, now: Instant) -> Option<Transition> {
        self.lock().connections.force(Force::Reset, now)
    }

    /// The share of its tries that failed lately; 0 if there were fewer than breakers judge by.
    pub fn failing(&self, now: Instant) -> f64 {
        let mut inner = self.lock();
        let counts = inner.tries.total(now);
        let enough = counts.judged() >= inner.min_calls.max(1);
        if enough { f64::from(counts.failed) / f64::from(counts.judged()) } else { 0.0 }
    }

    /// When it last met a rate limit.
    pub fn limited_at(&self) -> Option<Instant> {
        self.lock().limited_at
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under this lock; were it so, a wrong count would be the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_fail_open_it_whatever_the_model() {
        let (now, health) = (Instant::now(), ProviderHealth::new(&config::Breaker::default()));
        let report = |outcome| {
            let permit = health.try_admit(now).unwrap();
            health.report(permit, signal(outcome).reached, now, 0.5)
        };
        for outcome in [Outcome::ConnectError, Outcome::ServerError, Outcome::RateLimited] {
            assert_eq!(report(outcome), None);
        }
        for _ in 0..4 {
            assert_eq!(report(Outcome::ConnectError), None);
            assert_eq!(report(Outcome::Timeout), None);
        }
        let opened = report(Outcome::ConnectError).unwrap();
        assert!(matches!(opened.to, State::Open { .. }));
        assert!(matches!(health.try_admit(now), Err(Refused::Open { .. })));
    }

    #[test]
    fn checks_open_it_by_silence_and_close_it_by_any_answer() {
        let (now, health) = (Instant::now(), ProviderHealth::new(&config::Breaker::default()));
        let check = |outcome| health.checked(health.check().unwrap(), outcome, now, 0.5);
        assert_eq!(check(Outcome::ServerError), None);
        for outcome in [Outcome::Timeout, Outcome::ConnectError, Outcome::Reset, Outcome::Timeout] {
            assert_eq!(check(outcome), None);
        }
        assert!(matches!(check(Outcome::Timeout).unwrap().to, State::Open { .. }));
        assert_eq!(check(Outcome::ServerError).unwrap().cause.to_string(), "a health check succeeded");
        assert_eq!(check(Outcome::CredentialRejected).unwrap().to, State::Closed);
    }

    #[test]
    fn checks_that_fail_leave_every_probe_to_requests() {
        let (mut now, health) = (Instant::now(), ProviderHealth::new(&config::Breaker::default()));
        let check = |now| health.checked(health.check().unwrap(), Outcome::Timeout, now, 0.5);
        assert!((0..5).any(|_| check(now).is_some()));
        let State::Open { until } = health.state() else { panic!("{:?}", health.state()) };
        now += std::time::Duration::from_secs(60);
        assert_eq!((check(now), health.state()), (None, State::Open { until }), "it grows no longer");
        let mut closed = None;
        for _ in 0..2 {
            let during = health.check().unwrap();
            let probe = health.try_admit(now).unwrap();
            assert_eq!(health.checked(during, Outcome::Timeout, now, 0.5), None);
            closed = health.report(probe, Reached::Yes, now, 0.5);
            assert_eq!(check(now), None);
        }
        assert_eq!(closed.unwrap().to, State::Closed);
    }

    #[test]
    fn knows_how_often_its_targets_fail() {
        let (now, health) = (Instant::now(), ProviderHealth::new(&config::Breaker::default()));
        assert_eq!((health.failing(now), health.limited_at()), (0.0, None));
        let ended = |times, outcome| (0..times).for_each(|_| health.ended(outcome, now));
        ended(3, Outcome::Truncated);
        ended(1, Outcome::RateLimited);
        ended(6, Outcome::Ok);
        assert_eq!((health.failing(now), health.limited_at()), (0.0, Some(now)), "too few to judge");
        ended(1, Outcome::Ok);
        assert_eq!(health.failing(now), 0.3);
    }
}
