//! Everything known of one target's health, behind one lock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{base::outcome::Outcome, config};

use super::{
    breaker::Breaker,
    history::{History, MINUTES, Minute, Past},
    latency::{Latency, PromptSize, Times},
    permit::{Permit, Refused},
    score::{self, Score},
    signal::{Aside, Sample, Verdict, signal},
    state::{Force, State, Transition},
    throttle::Throttle,
};

/// The health of one target: a model at its provider.
#[derive(Debug)]
pub struct TargetHealth(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<config::Breaker>,
    breaker: Breaker,
    throttle: Throttle,
    resting_until: Option<Instant>,
    latency: Latency,
    history: History,
    last_error: Option<Outcome>,
}

/// What became of a try.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The class of its end.
    pub outcome: Outcome,
    /// How long its first content took, if there was any.
    pub first_token: Option<Duration>,
    /// How long it took to its end.
    pub elapsed: Duration,
    /// Whether the answer was to be a stream.
    pub stream: bool,
    /// How long its prompt was.
    pub prompt: PromptSize,
    /// How long the provider asked to be left alone.
    pub hint: Option<Duration>,
}

impl Report {
    /// What counts as its time: of a stream that to its first content, else all of it.
    fn took(&self) -> Duration {
        self.first_token.filter(|_| self.stream).unwrap_or(self.elapsed)
    }
}

/// How a target does as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Healthy,
    /// It fails too often to be a first choice.
    Degraded,
    /// Its breaker is not closed.
    Failed,
}

impl Status {
    /// The name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// How a target stands at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its breaker.
    pub state: State,
    /// The provider asked to be left alone until then; `None`: not now.
    pub limited_until: Option<Instant>,
    /// It rests until then, as the provider does not know the model; `None`: it does not.
    pub resting_until: Option<Instant>,
    /// The share of requests that it admits in a slow start; 1: all.
    pub weight: f64,
    /// S: success, with an optimistic prior.
    pub success: f64,
    /// Q without the provider's quota: the share of tries that met no rate limit.
    pub unthrottled: f64,
    /// The health as a whole.
    pub status: Status,
    /// The times of streams to their first token.
    pub first_token: Times,
    /// The times of whole answers.
    pub whole: Times,
    /// The last outcome that was this target's fault, or its provider's no.
    pub last_error: Option<Outcome>,
    /// Below this share of the provider's quota the score is halved.
    low_quota: f64,
}

impl Standing {
    /// The times that count for a request.
    pub fn times(&self, stream: bool) -> &Times {
        if stream { &self.first_token } else { &self.whole }
    }

    /// When it takes requests again: the latest of what stands in the way; `None`: it does now, or nobody knows.
    pub fn free_at(&self) -> Option<Instant> {
        let open = match self.state {
            State::Open { until } => Some(until),
            _ => None,
        };
        [open, self.limited_until, self.resting_until].into_iter().flatten().max()
    }

    /// The score for a request: `median` is that of the peaks of its chain's targets ([`super::median`]), `quota_left`
    /// the share that is left of the provider's own limits.
    pub fn score(&self, stream: bool, median: Option<Duration>, quota_left: Option<f64>) -> Score {
        let t = score::speed(median, self.times(stream).peak);
        Score::of(self.success, t, score::room(self.unthrottled, quota_left, self.low_quota))
    }
}

impl TargetHealth {
    /// A target of which nothing is known.
    pub fn new(settings: &config::Breaker) -> Self {
        let settings = Arc::new(settings.clone());
        Self(Mutex::new(Inner::new(settings)))
    }

    /// Takes new settings; what is known stays.
    pub fn configure(&self, settings: &config::Breaker) -> Option<Transition> {
        let settings = Arc::new(settings.clone());
        let mut inner = self.lock();
        inner.settings = Arc::clone(&settings);
        inner.breaker.configure(settings)
    }

    /// How it stands.
    pub fn standing(&self, now: Instant) -> Standing {
        self.lock().standing(now)
    }

    /// What its breaker does.
    pub fn state(&self) -> State {
        self.lock().breaker.state()
    }

    /// Asks for a try; `draw` is from [0, 1). A permit that comes is reported or given back.
    ///
    /// # Errors
    /// Why not now.
    pub fn try_admit(&self, now: Instant, draw: f64) -> Result<Permit, Refused> {
        let mut inner = self.lock();
        if let Some(until) = inner.throttle.until(now) {
            return Err(Refused::Limited { until });
        }
        if let Some(until) = inner.resting(now) {
            return Err(Refused::Resting { until });
        }
        inner.breaker.admit(now, draw)
    }

    /// Asks for a try when no target of the chain gave a permit: one that is open or rests is let through once in
    /// `last_resort_every`, one in a slow start at once; one at a rate limit, or taken out, never.
    ///
    /// # Errors
    /// Why not now.
    pub fn last_resort(&self, now: Instant) -> Result<Permit, Refused> {
        let mut inner = self.lock();
        if let Some(until) = inner.throttle.until(now) {
            return Err(Refused::Limited { until });
        }
        if let Some(until) = inner.resting(now).filter(|_| inner.breaker.state() == State::Closed) {
            let turn = inner.breaker.resort(now);
            turn.map_err(|turn| Refused::Resting { until: turn.min(until) })?;
        }
        inner.breaker.last_resort(now)
    }

    /// Tells what became of a try; `draw` is from [0, 1).
    pub fn report(&self, permit: Permit, report: &Report, now: Instant, draw: f64) -> Option<Transition> {
        self.lock().report(permit, report, now, draw)
    }

    /// Gives a permit back that was not used.
    pub fn give_back(&self, permit: Permit) {
        self.lock().breaker.give_back(permit);
    }

    /// Does what an operator says.
    pub fn force(&self, force: Force, now: Instant) -> Option<Transition> {
        let mut inner = self.lock();
        if force == Force::Reset {
            (inner.throttle, inner.resting_until) = (Throttle::default(), None);
            (inner.latency, inner.last_error) = (Latency::default(), None);
        }
        inner.breaker.force(force, now)
    }

    /// After how long a silent try to this target is worth a hedge with `hedge_after = "p95"`; `None`: too few samples.
    pub fn hedge_after(
        &self,
        stream: bool,
        prompt: PromptSize,
        settings: &config::Retry,
    ) -> Option<Duration> {
        let p95 = self.lock().latency.p95_of(stream, prompt, settings.hedge_min_samples)?;
        Some(p95.max(settings.hedge_floor.0))
    }

    /// The last 15 minutes, the current one first.
    pub fn history(&self, now: Instant) -> [Minute; MINUTES] {
        self.past(now).minutes
    }

    /// The same with what is needed to go on with it after a restart.
    pub fn past(&self, now: Instant) -> Past {
        self.lock().history.past(now)
    }

    /// Adds minutes that an earlier process wrote down, the newest first; that one began so long ago.
    pub fn restore(&self, minutes: &[Minute], began_ago: Duration, now: Instant) {
        self.lock().history.restore(minutes, began_ago, now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under this lock; were it so, a wrong count would be the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(settings: Arc<config::Breaker>) -> Self {
        Self {
            breaker: Breaker::new(Arc::clone(&settings)),
            settings,
            throttle: Throttle::default(),
            resting_until: None,
            latency: Latency::default(),
            history: History::default(),
            last_error: None,
        }
    }

    fn resting(&self, now: Instant) -> Option<Instant> {
        self.resting_until.filter(|until| now < *until)
    }

    fn standing(&mut self, now: Instant) -> Standing {
        let counts = self.breaker.counts(now);
        let success = score::success(counts, &self.settings);
        let status = match self.breaker.state() {
            State::Closed if success < self.settings.degraded_below => Status::Degraded,
            State::Closed => Status::Healthy,
            _ => Status::Failed,
        };
        let decay = self.settings.latency_decay.0;
        Standing {
            state: self.breaker.state(),
            limited_until: self.throttle.until(now),
            resting_until: self.resting(now),
            weight: self.breaker.weight(now),
            success,
            unthrottled: score::unthrottled(counts, &self.settings),
            status,
            first_token: self.latency.times(true, now, decay),
            whole: self.latency.times(false, now, decay),
            last_error: self.last_error,
            low_quota: self.settings.low_quota,
        }
    }

    fn report(&mut self, permit: Permit, report: &Report, now: Instant, draw: f64) -> Option<Transition> {
        let signal = signal(report.outcome);
        self.history.add(signal.verdict, report.took(), now);
        match signal.aside {
            Aside::Limit => self.throttle.limited(report.hint, now, draw, &self.settings),
            Aside::TargetRests => {
                self.resting_until = self.resting_until.max(Some(now + self.settings.model_rest.0));
            }
            Aside::Nothing | Aside::CredentialRests | Aside::CredentialOut => {}
        }
        let slow = self.time(signal.sample, report, now);
        if signal.verdict == Verdict::Ok {
            self.throttle.passed();
            self.resting_until = None;
        } else if signal.verdict != Verdict::Neutral || signal.aside != Aside::Nothing {
            self.last_error = Some(report.outcome);
        }
        self.breaker.report(permit, report.outcome, signal.verdict, slow, now, draw)
    }

    /// Notes how long it took; tells whether it was a slow success.
    fn time(&mut self, sample: Sample, report: &Report, now: Instant) -> bool {
        let (settings, latency) = (&self.settings, &mut self.latency);
        let (took, decay) = (report.took(), settings.latency_decay.0);
        match sample {
            Sample::Own => {
                return latency.succeeded(report.stream, report.prompt, took, now, settings);
            }
            Sample::AtLeastUsual => latency.failed(report.stream, report.elapsed, now, decay),
            Sample::IfLonger => latency.waited(report.stream, took, now, decay),
            Sample::Nothing => {}
        }
        false
    }
}
