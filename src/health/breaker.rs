//! A breaker: closed, open, half-open, or out by an operator.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{base::outcome::Outcome, config};

use super::{
    permit::{Kind, Permit, Refused},
    ring::{Counts, Ring},
    score,
    signal::Verdict,
    slow_start,
    state::{Cause, Force, State, Transition},
    throttle::doubled,
};

#[derive(Debug)]
enum Mode {
    Closed,
    Open { until: Instant },
    HalfOpen { successes: u32, probe: Option<Lease> },
    Out,
}

#[derive(Debug)]
struct Lease {
    id: u64,
    until: Instant,
}

/// The state machine. It is told the outcome of each try that it let through.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: Arc<config::Breaker>,
    ring: Ring,
    mode: Mode,
    /// Failures since the last success.
    in_a_row: u32,
    /// How often it opened, less what is forgiven up to `calm_since`.
    trips: u32,
    /// Since when no minute is forgiven yet.
    calm_since: Option<Instant>,
    /// When it closed, for the slow start; `None`: it was never open, or an operator closed it.
    closed_at: Option<Instant>,
    /// Counts the changes, so that a late report of a try from before one does not count after it.
    era: u64,
    leases: u64,
    /// When it last let something through while it was not closed.
    resorted: Option<Instant>,
}

impl Breaker {
    /// Closed.
    pub(crate) fn new(settings: Arc<config::Breaker>) -> Self {
        Self {
            ring: Ring::new(&settings),
            settings,
            mode: Mode::Closed,
            in_a_row: 0,
            trips: 0,
            calm_since: None,
            closed_at: None,
            era: 0,
            leases: 0,
            resorted: None,
        }
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &config::Breaker {
        &self.settings
    }

    /// Takes new settings; counts begin anew where the window changed.
    pub(crate) fn configure(&mut self, settings: Arc<config::Breaker>) -> Option<Transition> {
        let same_window =
            (settings.window, settings.buckets) == (self.settings.window, self.settings.buckets);
        if !same_window {
            self.ring = Ring::new(&settings);
        }
        self.settings = settings;
        let shut = matches!(self.mode, Mode::Open { .. } | Mode::HalfOpen { .. });
        if self.settings.enabled || !shut {
            return None;
        }
        self.closed_at = None;
        Some(self.change(Mode::Closed, Cause::SwitchedOff))
    }

    pub(crate) fn state(&self) -> State {
        match self.mode {
            Mode::Closed => State::Closed,
            Mode::Open { until } => State::Open { until },
            Mode::HalfOpen { .. } => State::HalfOpen,
            Mode::Out => State::Out,
        }
    }

    /// What is in the window.
    pub(crate) fn counts(&mut self, now: Instant) -> Counts {
        self.ring.total(now)
    }

    /// The share of requests that it lets through in a slow start.
    pub(crate) fn weight(&self, now: Instant) -> f64 {
        match (&self.mode, self.closed_at) {
            (Mode::Closed, Some(closed)) => {
                slow_start::weight(now.saturating_duration_since(closed), &self.settings)
            }
            _ => 1.0,
        }
    }

    /// Asks for a try.
    pub(crate) fn admit(&mut self, now: Instant, draw: f64) -> Result<Permit, Refused> {
        let mut began = None;
        match self.mode {
            Mode::Closed if draw < self.weight(now) => return Ok(self.permit(Kind::Plain, None)),
            Mode::Closed => return Err(Refused::SlowStart),
            Mode::Out => return Err(Refused::Out),
            Mode::Open { until } if now < until => return Err(Refused::Open { until }),
            Mode::Open { .. } => {
                let from = self.state();
                self.mode = Mode::HalfOpen { successes: 0, probe: None };
                began = Some(Transition { from, to: State::HalfOpen, cause: Cause::TimeIsUp });
            }
            Mode::HalfOpen { .. } => {}
        }
        let lease_until = now + self.settings.probe_lease.0;
        if let Mode::HalfOpen { probe, .. } = &mut self.mode {
            if let Some(lease) = probe.as_ref().filter(|lease| now < lease.until) {
                return Err(Refused::Probing { until: lease.until });
            }
            self.leases += 1;
            *probe = Some(Lease { id: self.leases, until: lease_until });
        }
        // A probe is this target's turn as a last resort as well.
        self.resorted = Some(now);
        Ok(self.permit(Kind::Probe { lease: self.leases }, began))
    }

    /// Asks for a try when nothing else is left.
    pub(crate) fn last_resort(&mut self, now: Instant) -> Result<Permit, Refused> {
        // A draw of 0 is within the share of every slow start.
        match self.admit(now, 0.0) {
            Err(Refused::Open { until } | Refused::Probing { until }) => {
                let turn = self.resort(now).map_err(|turn| Refused::Open { until: turn.min(until) });
                turn.map(|()| self.permit(Kind::LastResort, None))
            }
            result => result,
        }
    }

    /// Takes the turn of a last resort, once in `last_resort_every`; else tells when the next one is.
    pub(crate) fn resort(&mut self, now: Instant) -> Result<(), Instant> {
        match self.resorted.map(|last| last + self.settings.last_resort_every.0) {
            Some(next) if now < next => Err(next),
            _ => {
                self.resorted = Some(now);
                Ok(())
            }
        }
    }

    /// Leave for what takes no request's place: while this is not closed a success of it counts as a probe's, and its
    /// failure says nothing new. `None`: an operator took it out.
    pub(crate) fn beside(&self) -> Option<Permit> {
        (!matches!(self.mode, Mode::Out)).then(|| self.permit(Kind::Beside, None))
    }

    fn permit(&self, kind: Kind, began: Option<Transition>) -> Permit {
        Permit { kind, era: self.era, began }
    }

    /// Gives a permit back that decided nothing.
    pub(crate) fn give_back(&mut self, permit: Permit) {
        self.release(&permit);
    }

    fn release(&mut self, permit: &Permit) {
        if let (Mode::HalfOpen { probe, .. }, Kind::Probe { lease }) = (&mut self.mode, permit.kind)
            && self.era == permit.era
            && probe.as_ref().is_some_and(|held| held.id == lease)
        {
            *probe = None;
        }
    }

    /// Tells what became of a try; `slow` is of a success. `verdict` is what `outcome` means for what this breaker
    /// guards.
    pub(crate) fn report(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        verdict: Verdict,
        slow: bool,
        now: Instant,
        draw: f64,
    ) -> Option<Transition> {
        self.release(&permit);
        if permit.era != self.era {
            return None;
        }
        if let Mode::Closed = self.mode {
            return self.count(outcome, verdict, slow, now, draw);
        }
        match (verdict, permit.kind) {
            (Verdict::Ok, _) => self.probe_succeeded(permit.kind, now),
            (Verdict::Failed, Kind::Probe { .. }) => Some(self.open(Cause::ProbeFailed(outcome), now, draw)),
            // Of what is open anyway the failure of a last resort, or of a check, says nothing new.
            _ => None,
        }
    }

    /// A try of a closed breaker ended.
    fn count(
        &mut self,
        outcome: Outcome,
        verdict: Verdict,
        slow: bool,
        now: Instant,
        draw: f64,
    ) -> Option<Transition> {
        let counts = match verdict {
            Verdict::Ok => Counts { ok: 1, slow: u32::from(slow), ..Counts::default() },
            Verdict::Failed => Counts { failed: 1, ..Counts::default() },
            Verdict::Throttled => Counts { throttled: 1, ..Counts::default() },
            Verdict::Neutral => return None,
        };
        self.ring.add(counts, now);
        let cause = match verdict {
            Verdict::Ok => {
                self.in_a_row = 0;
                self.too_slow(now).filter(|_| slow)
            }
            Verdict::Failed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.not_calm(now);
                self.too_many(outcome, now)
            }
            _ => None,
        };
        let cause = cause.filter(|_| self.settings.enabled)?;
        Some(self.open(cause, now, draw))
    }

    fn too_many(&mut self, outcome: Outcome, now: Instant) -> Option<Cause> {
        let settings = Arc::clone(&self.settings);
        let busy = self.ring.rate(now) > settings.busy_above;
        let bound = if busy { settings.failures_in_a_row_when_busy } else { settings.failures_in_a_row };
        if self.in_a_row >= bound {
            return Some(Cause::InARow(self.in_a_row, outcome));
        }
        let counts = self.ring.total(now);
        let (ok, of) = (counts.ok, counts.judged());
        let few = |calls: u32, share: f64| of >= calls && f64::from(ok) < share * f64::from(of);
        let few =
            few(settings.min_calls, settings.min_success) || few(settings.sure_calls, settings.sure_success);
        few.then_some(Cause::FewSuccesses { ok, of })
    }

    fn too_slow(&mut self, now: Instant) -> Option<Cause> {
        let counts = self.ring.total(now);
        let (slow, of) = (counts.slow, counts.judged());
        let many = f64::from(slow) >= self.settings.max_slow * f64::from(of);
        (of >= self.settings.min_calls && many).then_some(Cause::Slow { slow, of })
    }

    fn probe_succeeded(&mut self, kind: Kind, now: Instant) -> Option<Transition> {
        let (so_far, probe) = match &mut self.mode {
            Mode::Open { .. } => (0, None),
            Mode::HalfOpen { successes, probe } => (*successes, probe.take()),
            Mode::Closed | Mode::Out => return None,
        };
        if so_far + 1 >= self.settings.probe_successes {
            return Some(self.close(Cause::ProbesSucceeded, now));
        }
        let from = self.state();
        self.mode = Mode::HalfOpen { successes: so_far + 1, probe };
        let cause = match kind {
            Kind::LastResort => Cause::LastResortSucceeded,
            Kind::Beside => Cause::CheckSucceeded,
            Kind::Plain | Kind::Probe { .. } => return None,
        };
        (from != State::HalfOpen).then_some(Transition { from, to: State::HalfOpen, cause })
    }

    /// Does what an operator says.
    pub(crate) fn force(&mut self, force: Force, now: Instant) -> Option<Transition> {
        let from = self.state();
        let transition = match force {
            Force::Open => self.change(Mode::Out, Cause::Operator),
            Force::Close => self.close(Cause::Operator, now),
            Force::Reset => {
                (self.trips, self.resorted) = (0, None);
                self.close(Cause::Operator, now)
            }
        };
        if force != Force::Open {
            self.closed_at = None;
        }
        (transition.to != from).then_some(transition)
    }

    fn open(&mut self, cause: Cause, now: Instant, draw: f64) -> Transition {
        self.forgive(now);
        self.trips = self.trips.saturating_add(1);
        let settings = &self.settings;
        let span = doubled(settings.open_min.0, self.trips, settings.open_max.0);
        let chance = 1.0 + settings.open_jitter * (2.0 * draw - 1.0);
        self.calm_since = None;
        self.change(Mode::Open { until: now + span.mul_f64(chance) }, cause)
    }

    fn close(&mut self, cause: Cause, now: Instant) -> Transition {
        self.ring.clear();
        self.in_a_row = 0;
        (self.closed_at, self.calm_since) = (Some(now), Some(now));
        self.change(Mode::Closed, cause)
    }

    fn change(&mut self, mode: Mode, cause: Cause) -> Transition {
        let from = self.state();
        self.mode = mode;
        self.era += 1;
        Transition { from, to: self.state(), cause }
    }

    /// Begins the minute anew that is forgiven, if too much fails.
    fn not_calm(&mut self, now: Instant) {
        if self.trips > 0
            && score::success(self.ring.total(now), &self.settings) < self.settings.degraded_below
        {
            self.forgive(now);
            self.calm_since = Some(now);
        }
    }

    /// Forgets one opening for each whole minute of calm.
    fn forgive(&mut self, now: Instant) {
        let minute = self.settings.forgive_after.0;
        let Some(since) = self.calm_since.filter(|_| !minute.is_zero()) else { return };
        let minutes = now.saturating_duration_since(since).as_nanos() / minute.as_nanos();
        let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
        self.trips = self.trips.saturating_sub(minutes);
        self.calm_since =
            Some(since + minute.saturating_mul(minutes).min(now.saturating_duration_since(since)));
    }
}
