//! The loop over a chain's targets, up to the first answer that counts.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
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
}

/// Tries the targets of a chain in turn until one answers or nothing is left to try.
pub async fn execute(errand: Errand<'_>) -> Executed {
    let begun = Instant::now();
    let mut trail = Trail::default();
    let result = errand.run(&mut trail).await;
    trail.waited = begun.elapsed();
    Executed { result, trail }
}

impl Errand<'_> {
    async fn run(&self, trail: &mut Trail) -> Result<Won, Stopped> {
        let targets = &self.chain.targets;
        let mut at = self.chain.start;
        let mut tries = Tries::new(self.chain.max_attempts, at);
        // The last try that failed: where it was, and why.
        let mut last: Option<(usize, Failure)> = None;
        // Why the latest target that was passed over may not spend.
        let mut unfunded = None;
        while let Some(target) = targets.get(at) {
            let begun = Instant::now();
            if self.timing.deadline.left(begun).is_zero() {
                // Nothing is sent that nobody waits for: it would have to be paid.
                let late = || (at, Failure::of(Outcome::Timeout, "The request's deadline was over."));
                last.get_or_insert_with(late);
                break;
            }
            let result = self.one(at, (targets.len() - at).min(tries.left())).await;
            let over = self.timing.deadline.left(Instant::now()).is_zero();
            let sent = !matches!(result, Err(Failed::Untried(_)));
            let failure = match result {
                Ok((won, dropped)) => {
                    self.moved(last.as_ref(), at, trail);
                    trail.tried.push(tried(target, Outcome::Ok, begun, None, true));
                    trail.dropped = dropped;
                    return Ok(won);
                }
                Err(failed) => match passed_over(failed, &mut unfunded) {
                    Err(missing) => {
                        tracing::info!(model = %target.name, lacks = %missing, "is passed over");
                        trail.skipped.push((Arc::clone(target), missing));
                        match tries.after(Outcome::Unsupported, None, targets) {
                            Next::Other(next) if !over => at = next,
                            _ => break,
                        }
                        continue;
                    }
                    Ok(failure) => failure,
                },
            };
            self.moved(last.as_ref(), at, trail);
            trail.tried.push(tried(target, failure.outcome, begun, failure.retry_after, sent));
            let outcome = failure.outcome;
            // What was not sent costs no try, and is not repeated.
            let counts_as = if sent { outcome } else { Outcome::Skipped };
            let next = tries.after(counts_as, failure.retry_after, targets);
            last = Some((at, failure));
            match next {
                Next::Other(next) if !over => at = next,
                Next::Same { repeat } if self.pause(repeat, outcome, last.as_ref()).await => {}
                _ => break,
            }
        }
        Err(match (last, unfunded) {
            (Some((_, failure)), _) => Stopped::Failed(failure),
            (None, Some(unfunded)) => Stopped::Unfunded(unfunded),
            (None, None) => Stopped::Untried,
        })
    }

    /// Counts the move from the target that failed last to the one that was tried now.
    fn moved(&self, last: Option<&(usize, Failure)>, at: usize, trail: &mut Trail) {
        let Some((from, failure)) = last.filter(|(from, _)| *from != at) else { return };
        let (from, to) = (&self.chain.targets[*from], &self.chain.targets[at]);
        trail.fallbacks += 1;
        self.metrics.fallback(label(self.chain), from.label(), to.label(), failure.outcome);
        tracing::info!(from = %from.name, to = %to.name, outcome = %failure.outcome, "moves on");
    }

    /// Waits before a repeat; false where that would take too long.
    async fn pause(&self, repeat: u32, outcome: Outcome, last: Option<&(usize, Failure)>) -> bool {
        let Some((at, failure)) = last else { return false };
        let now = Instant::now();
        let shut = match self.fleet.standing(&self.chain.targets[*at], now) {
            Standing::Shut(shut) => Some(shut.until.saturating_duration_since(now)),
            Standing::Usable => None,
        };
        let pause = backoff(repeat, outcome, failure.retry_after.max(shut), rand::random());
        if pause > MAX_PAUSE || pause >= self.timing.deadline.left(Instant::now()) {
            return false;
        }
        self.metrics.retry(&self.chain.targets[*at].provider, outcome);
        sleep(pause).await;
        true
    }

    /// One try on one target, with its share of the time.
    async fn one(&self, at: usize, left: usize) -> Result<(Won, Vec<String>), Failed> {
        let target = &self.chain.targets[at];
        let (Some(unit), Some(metrics)) = (self.fleet.of(target), self.fleet.metrics_of(target)) else {
            let off = Failure::of(Outcome::Skipped, "The provider is off: its keys are unset.");
            return Err(Failed::Upstream(off));
        };
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
        attempt.make().await
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

/// The failure of a try; what the target lacks, where it was none. That it may not spend there is noted: the next one
/// may cost less.
fn passed_over(failed: Failed, noted: &mut Option<Unfunded>) -> Result<Failure, Missing> {
    match failed {
        Failed::Upstream(Failure { outcome: Outcome::Unsupported, error, .. }) => {
            Err(Missing::Field(BadField { param: error.param, message: error.message }))
        }
        Failed::Upstream(failure) | Failed::Untried(failure) => Ok(failure),
        Failed::Unfunded(unfunded) => {
            let missing = match &unfunded {
                Unfunded::Budget(exceeded) => Missing::Budget(Arc::clone(&exceeded.budget)),
                Unfunded::Unpriced(_) | Unfunded::Ledger => Missing::Price,
            };
            *noted = Some(unfunded);
            Err(missing)
        }
    }
}

/// The label of a chain's entry; clients cannot make new ones.
pub fn label(chain: &Chain) -> &str {
    if chain.configured { &chain.route } else { "direct" }
}
