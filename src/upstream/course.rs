//! Where a request stands among its targets, with what its tries came to.

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    config::FallbackReason,
    openai::BadField,
    provider::Failure,
    route::{Chain, Missing, Target, Tries},
    spend::Unfunded,
};

use super::{
    attempt::{Failed, Won},
    execute::{Errand, Stopped, Trail, Tried},
    fleet::Post,
    probe::Why,
    progress::Progress,
};

/// Where a request stands among its targets.
pub(super) struct Course<'a> {
    pub(super) targets: Cow<'a, [Arc<Target>]>,
    /// The target that was begun last.
    pub(super) at: usize,
    pub(super) tries: Tries,
    pub(super) trail: Trail,
    /// The latest try that came to nothing: where it was, and why.
    pub(super) last: Option<(usize, Failure)>,
    /// Why the latest target that was passed over may not spend.
    unfunded: Option<Unfunded>,
    /// Targets that had no money only while others were under way.
    deferred: Vec<Arc<Target>>,
    /// Other ways on that the tries of a lap ask for, the latest last.
    pub(super) ways: Vec<Way>,
    /// When the latest of its tries was over.
    pub(super) clock: Instant,
}

/// Which target failed for which reason: a route may have another way on for it.
pub(super) struct Way {
    pub(super) behind: Arc<str>,
    pub(super) reason: FallbackReason,
}

impl<'a> Course<'a> {
    pub(super) fn new(chain: &'a Chain, now: Instant) -> Self {
        Self {
            targets: Cow::Borrowed(&chain.targets),
            at: chain.start,
            tries: Tries::new(chain.max_attempts, chain.start),
            trail: Trail::default(),
            last: None,
            unfunded: None,
            deferred: Vec::new(),
            ways: Vec::new(),
            clock: now,
        }
    }

    /// Stands at this target from here on.
    pub(super) fn step(&mut self, at: usize) {
        self.at = at;
        self.tries.step(at);
    }

    /// Leaves a target for later: what others hold may be free again then.
    pub(super) fn defer(&mut self, target: Arc<Target>) {
        tracing::info!(model = %target.name, "waits for the money that others hold");
        self.deferred.push(target);
    }

    /// Puts what was left for later next.
    pub(super) fn bring_back(&mut self) {
        if !self.deferred.is_empty() {
            let next = self.at + 1;
            self.targets.to_mut().splice(next..next, self.deferred.drain(..));
        }
    }

    /// Why it all came to nothing, where anything was tried or may not spend.
    pub(super) fn stopped(&mut self) -> Option<Stopped> {
        match (self.last.take(), self.unfunded.take()) {
            (Some((_, failure)), _) => Some(Stopped::Failed(failure)),
            (None, unfunded) => unfunded.map(Stopped::Unfunded),
        }
    }
}

/// One try as it stands on the course.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Where on the course.
    pub(super) at: usize,
    pub(super) target: Arc<Target>,
    /// What it works with; `None` where the provider is off.
    pub(super) post: Option<Arc<Post>>,
    pub(super) begun: Instant,
    /// How many tries have to share what is left of the client's own deadline.
    pub(super) left: usize,
    pub(super) progress: Progress,
    /// Whether it was started beside a silent one.
    pub(super) hedge: bool,
    /// Why it is made.
    pub(super) why: Why,
}

/// A try that came to nothing.
pub(super) struct Lost {
    pub(super) lane: Lane,
    pub(super) ended: Ended,
    took: Duration,
}

/// How a try ended that came to nothing.
pub(super) enum Ended {
    /// It failed; whether anything was sent.
    Failed(Failure, bool),
    /// It was not made: what the target lacks, and why it may not spend where it was that.
    PassedOver(Missing, Option<Unfunded>),
}

impl Errand<'_> {
    /// A try that begins now.
    pub(super) fn lane(
        &self,
        (at, target): (usize, &Arc<Target>),
        left: usize,
        hedge: bool,
        why: Why,
        begun: Instant,
    ) -> Lane {
        let (post, target) = (self.fleet.post(target), Arc::clone(target));
        let progress = Progress::default();
        Lane { at, target, post, begun, left, progress, hedge, why }
    }

    /// Counts the move to a target from the one that failed before it.
    fn moved(&self, course: &mut Course<'_>, at: usize) {
        let Some((from, failure)) = course.last.as_ref().filter(|(from, _)| *from != at) else { return };
        let (from, to) = (&course.targets[*from], &course.targets[at]);
        course.trail.fallbacks += 1;
        self.metrics.fallback(&self.chain.label, from.label(), to.label(), failure.outcome);
        tracing::info!(from = %from.name, to = %to.name, outcome = %failure.outcome, "moves on");
    }

    /// Writes down how a try ended: one that won on the trail, one that was lost is handed on.
    pub(super) fn finish(
        &self,
        course: &mut Course<'_>,
        lane: Lane,
        result: Result<(Won, Vec<String>), Ended>,
    ) -> Result<Won, Box<Lost>> {
        course.clock = Instant::now();
        let took = course.clock.saturating_duration_since(lane.begun);
        if let (Ok(_) | Err(Ended::Failed(_, true)), Some(post)) = (&result, &lane.post) {
            post.repeats.first(lane.begun);
        }
        match result {
            Ok((won, dropped)) => {
                course.trail.tried.push(tried(&lane, Outcome::Ok, took));
                course.trail.dropped = dropped;
                self.moved(course, lane.at);
                self.purse.won();
                Ok(won)
            }
            Err(ended) => Err(Box::new(Lost { lane, ended, took })),
        }
    }

    /// Tells a try that another one was faster. It is to be dropped next, which counts what it may have cost.
    pub(super) fn overtake(&self, course: &mut Course<'_>, lane: &Lane) {
        lane.progress.overtaken();
        let sent = lane.progress.is_begun();
        let took = lane.begun.elapsed();
        course.trail.tried.push(Tried { sent, ..tried(lane, Outcome::Overtaken, took) });
        if let Some(post) = lane.post.as_ref().filter(|_| sent) {
            post.repeats.first(lane.begun);
        }
    }

    /// Writes a lost try down; gives what decides on the next one, with the delay that the provider named.
    pub(super) fn note(&self, course: &mut Course<'_>, lost: Lost) -> (Outcome, Option<Duration>) {
        let Lost { lane, ended, took } = lost;
        if let Some(reason) = ended.reason() {
            course.ways.push(Way { behind: Arc::clone(&lane.target.name), reason });
        }
        match ended {
            Ended::PassedOver(missing, why) => {
                tracing::info!(model = %lane.target.name, lacks = %missing, "is passed over");
                course.trail.skipped.push((lane.target, missing));
                course.unfunded = why.or(course.unfunded.take());
                (Outcome::Unsupported, None)
            }
            Ended::Failed(failure, sent) => {
                let wait = failure.retry_after;
                course.trail.tried.push(Tried {
                    retry_after: wait,
                    sent,
                    ..tried(&lane, failure.outcome, took)
                });
                if sent {
                    self.moved(course, lane.at);
                }
                // What was not sent costs no try, and is not repeated.
                let outcome = if sent { failure.outcome } else { Outcome::Skipped };
                course.last = Some((lane.at, failure));
                (outcome, wait)
            }
        }
    }
}

impl Lost {
    /// A target that was passed over for what it lacks.
    pub(super) fn without(lane: Lane, missing: Missing) -> Box<Self> {
        Box::new(Self { lane, ended: Ended::PassedOver(missing, None), took: Duration::ZERO })
    }
}

impl Ended {
    /// The reason for which a route may have another way on.
    fn reason(&self) -> Option<FallbackReason> {
        let outcome = match self {
            Self::Failed(failure, _) => failure.outcome,
            Self::PassedOver(Missing::Health { why, .. }, _) => match *why {
                "rate_limited" => Outcome::RateLimited,
                "slow_start" => return None,
                _ => Outcome::ServerError,
            },
            Self::PassedOver(..) => return None,
        };
        match outcome {
            Outcome::Timeout | Outcome::IdleTimeout => Some(FallbackReason::Timeout),
            Outcome::RateLimited | Outcome::QuotaExhausted | Outcome::Skipped => {
                Some(FallbackReason::RateLimit)
            }
            Outcome::ContextTooLong => Some(FallbackReason::Context),
            Outcome::Ok | Outcome::Rejected | Outcome::ClientLeft | Outcome::Overtaken => None,
            _ => Some(FallbackReason::Error),
        }
    }

    /// Whether anything was sent.
    pub(super) fn sent(&self) -> bool {
        matches!(self, Self::Failed(_, true))
    }

    pub(super) fn of(failed: Failed) -> Self {
        match failed {
            Failed::Upstream(Failure { outcome: Outcome::Unsupported, error, .. }) => {
                let field = BadField { param: error.param, message: error.message };
                Self::PassedOver(Missing::Field(field), None)
            }
            // One that had no room was not sent.
            Failed::Upstream(failure) => {
                let sent = failure.outcome != Outcome::Skipped;
                Self::Failed(failure, sent)
            }
            Failed::Untried(failure) => Self::Failed(failure, false),
            Failed::Unfunded(unfunded) => {
                let missing = match &unfunded {
                    Unfunded::Budget(exceeded) => Missing::Budget(Arc::clone(&exceeded.budget)),
                    Unfunded::Unpriced(_) | Unfunded::Ledger => Missing::Price,
                };
                // The next one may cost less.
                Self::PassedOver(missing, Some(unfunded))
            }
        }
    }
}

/// A try on the trail, which was sent.
fn tried(lane: &Lane, outcome: Outcome, took: Duration) -> Tried {
    Tried { target: Arc::clone(&lane.target), outcome, took, retry_after: None, sent: true }
}
