//! The loop over a chain's targets, up to the first answer that counts.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
    metrics::{Metrics, OTHER},
    openai::{Ask, BadField},
    provider::Failure,
    route::{Chain, Missing, Next, Target, Tries, backoff},
};

use super::{
    attempt::{Attempt, Won},
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
        self.tried.iter().filter(|tried| tried.outcome != Outcome::Skipped).count()
    }
}

/// The end of the loop.
pub struct Executed {
    /// The answer, or the failure of the last try. `None`: no try was made.
    pub result: Result<Won, Option<Failure>>,
    /// The way there.
    pub trail: Trail,
}

/// Tries the targets of `chain` in turn until one answers or nothing is left to try.
pub async fn execute(fleet: &Fleet, metrics: &Metrics, chain: &Chain, ask: &Ask, timing: Timing) -> Executed {
    let begun = Instant::now();
    let mut trail = Trail::default();
    let result = run(fleet, metrics, chain, ask, timing, &mut trail).await;
    trail.waited = begun.elapsed();
    Executed { result, trail }
}

async fn run(
    fleet: &Fleet,
    metrics: &Metrics,
    chain: &Chain,
    ask: &Ask,
    timing: Timing,
    trail: &mut Trail,
) -> Result<Won, Option<Failure>> {
    let mut tries = Tries::new(chain.max_attempts);
    let mut at = 0;
    let mut last = None;
    loop {
        let Some(target) = chain.targets.get(at) else {
            return Err(last);
        };
        let begun = Instant::now();
        let left = (chain.targets.len() - at).min(tries.left());
        let result = one(fleet, chain, target, ask, timing, left).await;
        let over = timing.deadline.left(Instant::now()).is_zero();
        let outcome = result.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::Ok);
        if let (Outcome::Unsupported, Err(failure)) = (outcome, &result) {
            let field = Missing::Field(BadField {
                param: failure.error.param.clone(),
                message: failure.error.message.clone(),
            });
            tracing::info!(model = %target.name, lacks = %field, "is passed over");
            trail.skipped.push((Arc::clone(target), field));
            match tries.after(outcome, None, &chain.targets) {
                Next::Other(next) if !over => at = next,
                _ => return Err(last),
            }
            continue;
        }
        let retry_after = result.as_ref().err().and_then(|failure| failure.retry_after);
        trail.tried.push(Tried { target: Arc::clone(target), outcome, took: begun.elapsed(), retry_after });
        let failure = match result {
            Ok((won, dropped)) => {
                trail.dropped = dropped;
                return Ok(won);
            }
            Err(failure) => failure,
        };
        match tries.after(outcome, retry_after, &chain.targets) {
            Next::Other(next) if !over => {
                trail.fallbacks += 1;
                metrics.fallback(label(chain), label_of(target), label_of(&chain.targets[next]), outcome);
                tracing::info!(from = %target.name, to = %chain.targets[next].name, %outcome, "moves on");
                (at, last) = (next, Some(failure));
            }
            Next::Same { repeat } => {
                let pause = backoff(repeat, outcome, failure.retry_after, rand::random());
                if pause > MAX_PAUSE || pause >= timing.deadline.left(Instant::now()) {
                    return Err(Some(failure));
                }
                metrics.retry(&target.provider, outcome);
                sleep(pause).await;
            }
            Next::Other(_) | Next::Stop => return Err(Some(failure)),
        }
    }
}

/// One try on one target, with its share of the time.
async fn one(
    fleet: &Fleet,
    chain: &Chain,
    target: &Target,
    ask: &Ask,
    timing: Timing,
    left: usize,
) -> Result<(Won, Vec<String>), Failure> {
    let (Some(unit), Some(metrics)) = (fleet.of(target), fleet.metrics_of(target)) else {
        return Err(Failure::of(Outcome::Skipped, "The provider is off: its keys are unset."));
    };
    let now = Instant::now();
    let mut by = timing.deadline;
    if timing.by_client {
        // A short deadline is shared, so that the targets behind this one still have time to answer.
        by = by.at_most(now, by.left(now) / u32::try_from(left.max(1)).unwrap_or(u32::MAX));
    }
    if let Some(most) = timing.attempt {
        by = by.at_most(now, most);
    }
    let over_by = timing.by_client.then_some(timing.deadline);
    Attempt { unit, target, metrics, ask, defaults: &chain.defaults, by, over_by }.make().await
}

/// The label of a chain's entry; clients cannot make new ones.
pub fn label(chain: &Chain) -> &str {
    if chain.configured { &chain.route } else { "direct" }
}

/// The label of a target; clients cannot make new ones.
pub fn label_of(target: &Target) -> &str {
    if target.configured { &target.name } else { OTHER }
}
