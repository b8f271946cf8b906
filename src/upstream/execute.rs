//! The loop over a chain's targets, up to the first answer that counts.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
    config::{FallbackReason, Retry},
    health::Refused,
    metrics::Metrics,
    openai::{Ask, BadField},
    provider::Failure,
    route::{Chain, Missing, Next, Target, Tries, backoff},
    spend::{Purse, Unfunded},
};

use super::{
    attempt::{Attempt, Failed, Won},
    credentials::Standing,
    fleet::Fleet,
    ward::Ward,
};

/// The longest pause before a repeat: a client that is told when to come back waits better than a request held open.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What a request lets its tries take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When everything has to be over, up to a stream's first content.
    pub deadline: Deadline,
    /// Whether the client set the deadline itself: then it is shared among the targets that are left, and bounds
    /// a stream to its end.
    pub by_client: bool,
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
    /// How long it may take.
    pub timing: Timing,
    /// What pays for it.
    pub purse: &'a Purse,
    /// How repeated tries wait.
    pub retry: &'a Retry,
}

/// Tries the targets of a chain in turn until one answers or nothing is left to try.
pub async fn execute(errand: Errand<'_>) -> Executed {
    let begun = Instant::now();
    let mut trail = Trail::default();
    let result = errand.run(&mut trail).await;
    trail.waited = begun.elapsed();
    Executed { result, trail }
}

/// A try that came to nothing: where it was, and why.
type Last = Option<(usize, Failure)>;

impl Errand<'_> {
    async fn run(&self, trail: &mut Trail) -> Result<Won, Stopped> {
        let mut targets = self.chain.targets.clone();
        let mut at = self.chain.start;
        let mut tries = Tries::new(self.chain.max_attempts, at);
        let mut last: Last = None;
        // Why the latest target that was passed over may not spend.
        let mut unfunded = None;
        while let Some(target) = targets.get(at).cloned() {
            if self.timing.deadline.left(Instant::now()).is_zero() {
                // Nothing is sent that nobody waits for: it would have to be paid.
                let late = || (at, Failure::of(Outcome::Timeout, "The request's deadline was over."));
                last.get_or_insert_with(late);
                break;
            }
            let result = match self.admit(&target, false) {
                Ok(ward) => self.one(&target, at, (targets.len() - at).min(tries.left()), ward, trail).await,
                Err(missing) => Err(Ended::PassedOver(missing, None)),
            };
            let next = match result {
                Ok(won) => {
                    self.moved(&targets, last.as_ref(), at, trail);
                    return Ok(won);
                }
                Err(Ended::PassedOver(missing, why)) => {
                    tracing::info!(model = %target.name, lacks = %missing, "is passed over");
                    trail.skipped.push((Arc::clone(&target), missing));
                    unfunded = why.or(unfunded);
                    tries.after(Outcome::Unsupported, None, &targets)
                }
                Err(Ended::Failed(failure, sent)) => {
                    self.moved(&targets, last.as_ref(), at, trail);
                    let wait = failure.retry_after;
                    // What was not sent costs no try, and is not repeated.
                    let outcome = if sent { failure.outcome } else { Outcome::Skipped };
                    last = Some((at, failure));
                    match self.turn(&target, outcome) {
                        Some(turn) => {
                            targets.truncate(at + 1);
                            let fresh = turn.iter().filter(|next| !targets[..=at].contains(next));
                            targets = targets.iter().chain(fresh).cloned().collect();
                            tries.turn(outcome, &targets)
                        }
                        None => tries.after(outcome, wait, &targets),
                    }
                }
            };
            match next {
                Next::Other(next) => at = next,
                Next::Same { repeat } if self.pause(&target, repeat, last.as_ref()).await => {}
                _ => break,
            }
        }
        match (last, unfunded) {
            (Some((_, failure)), _) => Err(Stopped::Failed(failure)),
            (None, Some(unfunded)) => Err(Stopped::Unfunded(unfunded)),
            (None, None) => self.last_resort(trail).await,
        }
    }

    /// Never "nothing available" while something could answer: where every target is left alone, the one that comes back
    /// first gets a request now and then.
    async fn last_resort(&self, trail: &mut Trail) -> Result<Won, Stopped> {
        let mut by_time: Vec<_> = self.chain.targets.iter().enumerate().collect();
        let free_at = |target: &Target| {
            self.fleet.patient(target).and_then(|patient| patient.health.standing(Instant::now()).free_at())
        };
        by_time.sort_by_key(|(_, target)| free_at(target));
        for (at, target) in by_time {
            let left_alone = |(known, missing): &(Arc<Target>, Missing)| {
                Arc::ptr_eq(known, target) && matches!(missing, Missing::Health { .. })
            };
            if !trail.skipped.iter().any(left_alone) {
                continue;
            }
            if let Ok(ward) = self.admit(target, true) {
                return self.one(target, at, 1, ward, trail).await.map_err(|ended| match ended {
                    Ended::Failed(failure, _) => Stopped::Failed(failure),
                    Ended::PassedOver(_, Some(unfunded)) => Stopped::Unfunded(unfunded),
                    Ended::PassedOver(..) => Stopped::Untried,
                });
            }
        }
        Err(Stopped::Untried)
    }

    /// Asks a target's health for a try.
    fn admit(&self, target: &Target, resort: bool) -> Result<Ward, Missing> {
        let Some(patient) = self.fleet.patient(target) else {
            return Err(Missing::Health { why: "off", until: None });
        };
        patient.admit(self.ask.stream(), resort).map_err(|refused| Missing::Health {
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

    /// The other way on from this target, for this reason.
    fn turn(&self, target: &Target, outcome: Outcome) -> Option<&[Arc<Target>]> {
        let reason = match outcome {
            Outcome::Timeout | Outcome::IdleTimeout => FallbackReason::Timeout,
            Outcome::RateLimited | Outcome::QuotaExhausted => FallbackReason::RateLimit,
            Outcome::ContextTooLong => FallbackReason::Context,
            Outcome::Ok | Outcome::Rejected | Outcome::ClientLeft => return None,
            _ => FallbackReason::Error,
        };
        let turn =
            self.chain.turns.iter().find(|turn| turn.behind == target.name && turn.reason == reason)?;
        Some(&turn.targets)
    }

    /// Counts the move from the target that failed last to the one that was tried now.
    fn moved(&self, targets: &[Arc<Target>], last: Option<&(usize, Failure)>, at: usize, trail: &mut Trail) {
        let Some((from, failure)) = last.filter(|(from, _)| *from != at) else { return };
        let (from, to) = (&targets[*from], &targets[at]);
        trail.fallbacks += 1;
        self.metrics.fallback(label(self.chain), from.label(), to.label(), failure.outcome);
        tracing::info!(from = %from.name, to = %to.name, outcome = %failure.outcome, "moves on");
    }

    /// Waits before a repeat; false where that would take too long, or the provider has had enough of them.
    async fn pause(&self, target: &Target, repeat: u32, last: Option<&(usize, Failure)>) -> bool {
        let Some((_, failure)) = last else { return false };
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
    async fn one(
        &self,
        target: &Arc<Target>,
        at: usize,
        left: usize,
        ward: Ward,
        trail: &mut Trail,
    ) -> Result<Won, Ended> {
        let (Some(unit), Some(metrics)) = (self.fleet.of(target), self.fleet.metrics_of(target)) else {
            ward.give_back();
            return Err(Ended::PassedOver(Missing::Health { why: "off", until: None }, None));
        };
        if let Some(repeats) = self.fleet.repeats(target) {
            repeats.first(Instant::now());
        }
        let (now, timing) = (Instant::now(), self.timing);
        let mut by = timing.deadline;
        if timing.by_client {
            // A short deadline is shared, so that the targets behind this one still have time to answer.
            by = by.at_most(now, by.left(now) / u32::try_from(left.max(1)).unwrap_or(u32::MAX));
        }
        if let Some(most) = timing.attempt {
            by = by.at_most(now, most);
        }
        let attempt = Attempt {
            unit,
            target,
            position: u32::try_from(at + 1).unwrap_or(u32::MAX),
            purse: self.purse,
            metrics,
            ask: self.ask,
            defaults: &self.chain.defaults,
            by,
            over_by: timing.by_client.then_some(timing.deadline),
        };
        match attempt.make(ward).await {
            Ok((won, dropped)) => {
                trail.tried.push(tried(target, Outcome::Ok, now, None, true));
                trail.dropped = dropped;
                Ok(won)
            }
            Err(failed) => {
                let ended = Ended::of(failed);
                if let Ended::Failed(failure, sent) = &ended {
                    trail.tried.push(tried(target, failure.outcome, now, failure.retry_after, *sent));
                }
                Err(ended)
            }
        }
    }
}

/// How a try ended that came to nothing.
enum Ended {
    /// It failed; whether anything was sent.
    Failed(Failure, bool),
    /// It was not made: what the target lacks, and why it may not spend where it was that.
    PassedOver(Missing, Option<Unfunded>),
}

impl Ended {
    fn of(failed: Failed) -> Self {
        match failed {
            Failed::Upstream(Failure { outcome: Outcome::Unsupported, error, .. }) => {
                let field = BadField { param: error.param, message: error.message };
                Self::PassedOver(Missing::Field(field), None)
            }
            Failed::Upstream(failure) => Self::Failed(failure, true),
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

fn tried(
    target: &Arc<Target>,
    outcome: Outcome,
    begun: Instant,
    retry_after: Option<Duration>,
    sent: bool,
) -> Tried {
    Tried { target: Arc::clone(target), outcome, took: begun.elapsed(), retry_after, sent }
}

/// The label of a chain's entry; clients cannot make new ones.
pub fn label(chain: &Chain) -> &str {
    if chain.configured { &chain.route } else { "direct" }
}
