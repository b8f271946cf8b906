//! The way along a chain's targets, up to the first answer that counts.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    base::{boxed::boxed, deadline::Deadline, outcome::Outcome},
    config::Retry,
    health::{PromptSize, Refused},
    metrics::Metrics,
    openai::{Ask, estimate},
    provider::Failure,
    quality::Want,
    route::{Chain, Missing, Next, Target, backoff},
    spend::{Purse, Unfunded},
    trace::Scope,
};

use super::{
    attempt::{Attempt, Won, give_back},
    course::{Course, Ended, Lane, Way},
    credentials::Standing,
    fleet::Fleet,
    probe::{Tracing, Why},
    ward::{Kind, Ward},
};

/// The longest pause before a repeat: a client that is told when to come back waits better than a request held open.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What a request lets its tries take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When everything has to be over, up to a stream's first content.
    pub deadline: Deadline,
    /// Whether the client set the deadline itself: then it is shared among the targets that are left.
    pub by_client: bool,
    /// Whether it bounds a stream to its end too.
    pub bounds_stream: bool,
    /// The most that one try may take, if the client said so.
    pub attempt: Option<Duration>,
}

/// A try that was made, for the answer's headers and the final error.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The target.
    pub target: Arc<Target>,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether anything was sent; where not, the outcome says why.
    pub sent: bool,
}

/// What a request went through.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Every try in order, the last one that which answered or failed for good.
    pub tried: Vec<Tried>,
    /// The targets whose providers cannot take the request, each with the field at fault.
    pub skipped: Vec<(Arc<Target>, Missing)>,
    /// How often it moved on to another target after a try.
    pub fallbacks: usize,
    /// The client's fields that the answering target did not get, because its provider cannot take them.
    pub dropped: Vec<String>,
    /// How long it waited for upstreams and between tries.
    pub waited: Duration,
}

impl Trail {
    /// How many tries were made; a target that was skipped was not tried.
    pub fn attempts(&self) -> usize {
        self.tried.iter().filter(|tried| tried.sent && tried.outcome != Outcome::Skipped).count()
    }
}

/// The end of the loop.
pub struct Executed {
    /// The answer, or what stopped it.
    pub result: Result<Won, Stopped>,
    /// The way there.
    pub trail: Trail,
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum Stopped {
    /// No target could be tried.
    Untried,
    /// The last try failed.
    Failed(Failure),
    /// The request may not spend what the next try may cost.
    Unfunded(Unfunded),
}

/// What the loop works with.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    /// The providers.
    pub fleet: &'a Fleet,
    /// The counters.
    pub metrics: &'a Metrics,
    /// The targets to try.
    pub chain: &'a Chain,
    /// The request.
    pub ask: &'a Ask,
    /// What its answer has to be, where that is checked.
    pub want: Option<&'a Want>,
    /// How long it may take.
    pub timing: Timing,
    /// What pays for it.
    pub purse: &'a Purse,
    /// How repeated tries wait, how many hedges there may be.
    pub retry: &'a Retry,
    /// How many requests may be under way in the whole gateway.
    pub room: usize,
    /// The request's place in a trace; `None`: nothing is traced.
    pub trace: Option<&'a Scope>,
    /// Whether spans tell what is said: decided by the route at the request's entry, wherever it is led from there.
    pub shows: bool,
    /// Whether another answer failed its checks.
    pub escalated: bool,
}

/// Tries the targets of a chain in turn until one answers or nothing is left to try.
pub async fn execute(errand: &Errand<'_>) -> Executed {
    let begun = Instant::now();
    let mut course = Course::new(errand.chain, begun);
    if errand.chain.race.hedges(errand.ask.stream()) {
        errand.fleet.hedges().request(begun);
    }
    let result = errand.run(&mut course).await;
    course.trail.waited = course.clock.saturating_duration_since(begun);
    Executed { result, trail: course.trail }
}

impl Errand<'_> {
    async fn run(&self, course: &mut Course<'_>) -> Result<Won, Stopped> {
        let mut now = course.clock;
        while course.at < course.targets.len() {
            if self.timing.deadline.left(now).is_zero() {
                // Nothing is sent that nobody waits for: it would have to be paid.
                let late = || (course.at, Failure::of(Outcome::Timeout, "The request's deadline was over."));
                course.last.get_or_insert_with(late);
                break;
            }
            let lost = match self.lap(course, now).await {
                Ok(won) => return Ok(won),
                Err(lost) => lost,
            };
            course.bring_back();
            let at = lost.lane.at;
            let (outcome, wait) = self.note(course, *lost);
            let ways = std::mem::take(&mut course.ways);
            let next = match ways.iter().rev().find_map(|way| self.turn(way)) {
                Some(turn) => {
                    let targets = course.targets.to_mut();
                    targets.truncate(course.at + 1);
                    let fresh = turn.iter().filter(|next| !targets.contains(next)).cloned();
                    let fresh: Vec<_> = fresh.collect();
                    targets.extend(fresh);
                    course.tries.turn(outcome, &course.targets)
                }
                None if at == course.at => course.tries.after(outcome, wait, &course.targets),
                None => course.tries.past(outcome, &course.targets[at], &course.targets),
            };
            match next {
                Next::Other(next) => course.at = next,
                Next::Same { repeat } if boxed(|| self.pause(course, repeat)).await => {}
                _ => break,
            }
            now = Instant::now();
        }
        match course.stopped() {
            Some(stopped) => Err(stopped),
            // Boxed, as what is seldom run: else its future would be a part of every request's.
            None => boxed(|| self.last_resort(course)).await,
        }
    }

    /// Never "nothing available" while something could answer: where every target is left alone, the one that comes back
    /// first gets a request now and then.
    async fn last_resort(&self, course: &mut Course<'_>) -> Result<Won, Stopped> {
        let mut by_time: Vec<_> = self.chain.targets.iter().enumerate().collect();
        let free_at = |target: &Target| {
            self.fleet.patient(target).and_then(|patient| patient.health.standing(Instant::now()).free_at())
        };
        by_time.sort_by_key(|(_, target)| free_at(target));
        for (at, target) in by_time {
            let left_alone = |(known, missing): &(Arc<Target>, Missing)| {
                Arc::ptr_eq(known, target) && matches!(missing, Missing::Health { .. })
            };
            if !course.trail.skipped.iter().any(left_alone) {
                continue;
            }
            let lane = self.lane((at, target), 1, false, self.why(course, at), Instant::now());
            if let Ok(ward) = self.admit(&lane, true) {
                let result = self.one(&lane, &mut Some(ward)).await;
                return match self.finish(course, lane, result) {
                    Ok(won) => Ok(won),
                    Err(lost) => {
                        self.note(course, *lost);
                        Err(course.stopped().unwrap_or(Stopped::Untried))
                    }
                };
            }
        }
        Err(Stopped::Untried)
    }

    /// Asks a target's health for a try.
    pub(super) fn admit(&self, lane: &Lane, resort: bool) -> Result<Ward, Missing> {
        let Some(post) = &lane.post else {
            return Err(Missing::Health { why: "off", until: None });
        };
        post.patient.admit(self.kind(), resort, lane.begun).map_err(|refused| Missing::Health {
            why: match refused {
                Refused::Open { .. } | Refused::Probing { .. } => "open",
                Refused::Limited { .. } => "rate_limited",
                Refused::Resting { .. } => "resting",
                Refused::SlowStart => "slow_start",
                Refused::Out => "out",
            },
            until: refused.until(),
        })
    }

    /// What decides how long an answer takes.
    pub(super) fn kind(&self) -> Kind {
        Kind { stream: self.ask.stream(), prompt: PromptSize::of(estimate::input(self.ask)) }
    }

    /// The other way on that a lost try asks for.
    fn turn(&self, way: &Way) -> Option<&[Arc<Target>]> {
        let turn =
            self.chain.turns.iter().find(|turn| turn.behind == way.behind && turn.reason == way.reason)?;
        Some(&turn.targets)
    }

    /// Why the target at this place is tried, where nothing is under way beside it.
    pub(super) fn why(&self, course: &Course<'_>, at: usize) -> Why {
        match &course.last {
            Some((from, failure)) => {
                Why { word: if *from == at { "retry" } else { "fallback" }, after: Some(failure.outcome) }
            }
            None => Why { word: if self.escalated { "escalation" } else { "first" }, after: None },
        }
    }

    /// The place of a target in the chain, from 1; of one behind another way on that on the course.
    fn position(&self, lane: &Lane) -> u32 {
        let known = self.chain.targets.iter().position(|target| Arc::ptr_eq(target, &lane.target));
        u32::try_from(known.unwrap_or(lane.at) + 1).unwrap_or(u32::MAX)
    }

    /// Waits before a repeat; false where that would take too long, or the provider has had enough of them.
    async fn pause(&self, course: &Course<'_>, repeat: u32) -> bool {
        let (Some((_, failure)), target) = (&course.last, &course.targets[course.at]) else { return false };
        let now = Instant::now();
        let shut = match self.fleet.standing(target, now) {
            Standing::Shut(shut) => Some(shut.until.saturating_duration_since(now)),
            Standing::Usable => None,
        };
        // Its health may leave it alone for longer than the provider asked.
        let free_at = self.fleet.patient(target).and_then(|patient| patient.health.standing(now).free_at());
        let shut = shut.max(free_at.map(|at| at.saturating_duration_since(now)));
        let pause =
            backoff(self.retry, repeat, failure.outcome, failure.retry_after.max(shut), rand::random());
        if pause > MAX_PAUSE || pause >= self.timing.deadline.left(Instant::now()) {
            return false;
        }
        if !self.fleet.repeats(target).is_some_and(|budget| budget.repeat(Instant::now())) {
            tracing::info!(provider = %target.provider, "has had its share of repeated tries");
            return false;
        }
        self.metrics.retry(&target.provider, failure.outcome);
        sleep(pause).await;
        true
    }

    /// One try on one target, with its share of the time.
    pub(super) async fn one(
        &self,
        lane: &Lane,
        ward: &mut Option<Ward>,
    ) -> Result<(Won, Vec<String>), Ended> {
        let target = &lane.target;
        let Some(post) = &lane.post else {
            give_back(ward);
            return Err(Ended::PassedOver(Missing::Health { why: "off", until: None }, None));
        };
        let (now, timing) = (lane.begun, self.timing);
        let mut by = timing.deadline;
        if timing.by_client {
            // A short deadline is shared, so that the targets behind this one still have time to answer.
            by = by.at_most(now, by.left(now) / u32::try_from(lane.left.max(1)).unwrap_or(u32::MAX));
        }
        if let Some(most) = timing.attempt {
            by = by.at_most(now, most);
        }
        let mut attempt = Attempt {
            unit: &post.unit,
            target,
            position: self.position(lane),
            purse: self.purse,
            metrics: &post.metrics,
            ask: self.ask,
            want: self.want,
            defaults: &self.chain.defaults,
            progress: &lane.progress,
            by,
            over_by: timing.bounds_stream.then_some(timing.deadline),
            trace: self.trace.map(|scope| Tracing { scope, shows: self.shows }),
            why: lane.why,
        };
        attempt.make(ward, now).await.map_err(Ended::of)
    }
}
