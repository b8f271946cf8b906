//! The guard that tells a target's health what became of a try, exactly once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    health::{
        Force, Permit, PromptSize, ProviderHealth, ProviderPermit, Reached, Refused, Report, State,
        TargetHealth, Transition, signal,
    },
    metrics::health::TargetGauges,
    news::{Bell, Event},
    quality::Rolling,
};

/// A target with its health, as long as the process lives.
#[derive(Debug)]
pub struct Patient {
    /// The target's name.
    pub name: Arc<str>,
    /// The provider's name.
    pub provider: Arc<str>,
    /// Its own health.
    pub health: TargetHealth,
    /// The share of its answers that pass all checks.
    pub passed: Rolling,
    /// The grades of its answers, 0 to 1.
    pub grades: Rolling,
    /// Its provider's.
    pub connections: Arc<ProviderHealth>,
    /// What is shown of it.
    pub gauges: TargetGauges,
    /// Who hears of what happens to it.
    pub bell: Bell,
    /// Whether its provider does not know the model, as far as the last answer told.
    pub retired: AtomicBool,
    /// How many tries on it are under way.
    pub in_flight: AtomicUsize,
}

/// Leave to make one try on a target. One that is dropped counts as abandoned by the client.
#[derive(Debug)]
pub struct Ward {
    patient: Arc<Patient>,
    permit: Option<Permit>,
    connection: Option<ProviderPermit>,
    begun: Instant,
    first_token: Option<Duration>,
    kind: Kind,
}

/// The kind of a request, as far as it decides how long an answer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// How long the prompt is.
    pub prompt: PromptSize,
}

impl Patient {
    /// Asks for a try; `resort`: nothing else is left.
    ///
    /// # Errors
    /// Why not now.
    pub fn admit(self: &Arc<Self>, kind: Kind, resort: bool, now: Instant) -> Result<Ward, Refused> {
        let connection = match resort {
            true => self.connections.last_resort(now)?,
            false => self.connections.try_admit(now)?,
        };
        let permit = match resort {
            true => self.health.last_resort(now),
            false => self.health.try_admit(now, rand::random()),
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(refused) => {
                self.connections.give_back(connection);
                return Err(refused);
            }
        };
        self.told(permit.transition());
        self.told_of_provider(connection.transition());
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Ward {
            patient: Arc::clone(self),
            permit: Some(permit),
            connection: Some(connection),
            begun: now,
            first_token: None,
            kind,
        })
    }

    /// A judge gave an answer a grade, 1 to 10.
    pub fn graded(&self, grade: u8) {
        self.grades.add((f64::from(grade.clamp(1, 10)) - 1.0) / 9.0);
        self.show_worth();
    }

    /// What its answers are worth, 0 to 1: the share that passes all checks, times the mean grade where there are grades.
    pub fn worth(&self) -> Option<f64> {
        let grades = self.grades.mean().map_or(1.0, |grades| grades.mean);
        self.passed.mean().map(|passed| passed.mean * grades)
    }

    fn show_worth(&self) {
        if let Some(worth) = self.worth() {
            self.gauges.quality(worth);
        }
    }

    /// Does what an operator says.
    pub fn force(&self, force: Force) {
        let now = Instant::now();
        self.told(self.health.force(force, now));
        if force == Force::Reset {
            self.told_of_provider(self.connections.reset(now));
            self.retired(false);
        }
    }

    /// A transition of the target's breaker goes into the log with its cause, and into the metrics.
    pub fn told(&self, transition: Option<Transition>) {
        let Some(Transition { from, to, cause }) = transition else { return };
        let (from, name) = (word(from), word(to));
        tracing::warn!(model = %self.name, provider = %self.provider, from, to = name, "a breaker changed: {cause}");
        self.gauges.transition(name);
        if let Some(open) = turned(transition) {
            // Under a provider's name with a slash stand all models that only clients name.
            let model =
                if self.is_configured() { Arc::clone(&self.name) } else { format!("{}*", self.name).into() };
            let provider = Arc::clone(&self.provider);
            self.bell.ring(Event::Breaker { model, provider, open, cause: cause.to_string() });
        }
    }

    /// Whether it is a model of the configuration.
    fn is_configured(&self) -> bool {
        self.name.strip_suffix('/') != Some(&*self.provider)
    }

    /// The provider said whether it knows the model: told once, until it says otherwise.
    fn retired(&self, retired: bool) {
        if self.is_configured() && self.retired.swap(retired, Ordering::Relaxed) != retired {
            let (model, provider) = (Arc::clone(&self.name), Arc::clone(&self.provider));
            self.bell.ring(Event::Model { model, provider, retired });
        }
    }

    /// Why nothing but a probe gets through; `None`: it is not down. A rate limit is none of the reasons.
    pub fn down(&self) -> Option<&'static str> {
        match (self.health.state(), self.connections.state()) {
            (State::Closed, State::Closed) => self.retired.load(Ordering::Relaxed).then_some("unknown_model"),
            (State::Closed, _) => Some("unreachable"),
            (state, _) => Some(word(state)),
        }
    }

    fn told_of_provider(&self, transition: Option<Transition>) {
        tell_of_provider(&self.bell, &self.provider, transition);
    }
}

/// A transition of a provider's breaker of connections goes into the log with its cause, and to those who want to hear
/// of it.
pub fn tell_of_provider(bell: &Bell, provider: &Arc<str>, transition: Option<Transition>) {
    let Some(Transition { from, to, cause }) = transition else { return };
    let (from, to) = (word(from), word(to));
    tracing::warn!(%provider, from, to, "the breaker of connections changed: {cause}");
    if let Some(open) = turned(transition) {
        bell.ring(Event::Connections { provider: Arc::clone(provider), open, cause: cause.to_string() });
    }
}

/// Whether a breaker opened or closed by a transition; a probe's coming and failing changes nothing of that.
fn turned(transition: Option<Transition>) -> Option<bool> {
    let Transition { from, to, .. } = transition?;
    let (was_open, open) = (from != State::Closed, to != State::Closed);
    (was_open != open).then_some(open)
}

/// A breaker's state in a word.
pub fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half_open",
        State::Open { .. } => "open",
        State::Out => "out",
    }
}

/// A breaker's state as the metrics have it.
pub fn number(state: State) -> i64 {
    match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open { .. } | State::Out => 2,
    }
}

impl Ward {
    /// The head of an answer came, or connecting failed: known long before a stream ends.
    pub fn reached(&mut self, reached: Reached, now: Instant) {
        if let Some(permit) = self.connection.take() {
            // Chance decides how long it stays open: only a failure opens it.
            let draw = if reached == Reached::No { rand::random() } else { 0.0 };
            let transition = self.patient.connections.report(permit, reached, now, draw);
            self.patient.told_of_provider(transition);
        }
    }

    /// No connection had come about after this time. Else hedges would hide from health that nobody is there.
    pub fn had_no_connection(&mut self, after: Duration) {
        if after >= self.patient.connections.unreachable_after() {
            self.reached(Reached::No, Instant::now());
        }
    }

    /// The answer was checked.
    pub fn judged(&self, passed: bool) {
        self.patient.passed.add(f64::from(u8::from(passed)));
        self.patient.show_worth();
    }

    /// The first content came.
    pub fn first_content(&mut self, now: Instant) {
        self.first_token.get_or_insert(now.saturating_duration_since(self.begun));
    }

    /// The try is over; `hint` is how long the provider asks to be left alone.
    pub fn over(mut self, outcome: Outcome, hint: Option<Duration>, now: Instant) {
        self.report(outcome, hint, now);
    }

    fn report(&mut self, outcome: Outcome, hint: Option<Duration>, now: Instant) {
        self.reached(signal(outcome).reached, now);
        let outcome = match outcome {
            // A name that a client made up says nothing of other models: they share one health.
            Outcome::ModelUnknown if !self.patient.is_configured() => Outcome::Rejected,
            outcome => outcome,
        };
        let Some(permit) = self.permit.take() else { return };
        let report = Report {
            outcome,
            first_token: self.first_token,
            elapsed: now.saturating_duration_since(self.begun),
            stream: self.kind.stream,
            prompt: self.kind.prompt,
            hint,
        };
        self.patient.connections.ended(outcome, now);
        let transition = self.patient.health.report(permit, &report, now, rand::random());
        self.patient.told(transition);
        match outcome {
            Outcome::ModelUnknown => self.patient.retired(true),
            Outcome::Ok => self.patient.retired(false),
            _ => {}
        }
    }

    /// Nothing was sent.
    pub fn give_back(mut self) {
        if let Some(permit) = self.permit.take() {
            self.patient.health.give_back(permit);
        }
        if let Some(permit) = self.connection.take() {
            self.patient.connections.give_back(permit);
        }
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.report(Outcome::ClientLeft, None, Instant::now());
        }
        self.patient.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
