//! The end of the pipeline: the tries.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, poll_fn};
use tokio::time::{Instant, timeout};
use tower::Service;

use crate::{
    base::boxed::boxed,
    metrics::Metrics,
    route::{Chain, Missing, Target},
    spend::{Posted, Purse, Unfunded},
    upstream::{Errand, Executed, Fleet, Stopped, Trail, Won, execute},
};

use super::{
    answer::{Answer, AnswerStream, Content, Facts, Money, Summary},
    cascade::{Served, Whole, better},
    job::{Funded, Job},
    judge::want,
    refusal::Refusal,
};

/// How long a whole answer waits for its row: a disk that takes longer counts as one that cannot record.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// When to come back where every target can be tried at once: what failed just now does not mend faster.
const AT_ONCE: Duration = Duration::from_secs(1);
/// When to come back where an operator has taken every target out.
const NOBODY_KNOWS: Duration = Duration::from_secs(60);

/// Sends a request to its targets.
#[derive(Clone, Debug)]
pub struct Dispatch {
    metrics: Arc<Metrics>,
}

impl Dispatch {
    /// Counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl Service<Funded> for Dispatch {
    type Response = Answer;
    type Error = Box<Refusal>;
    type Future = BoxFuture<'static, Result<Answer, Box<Refusal>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, funded: Funded) -> Self::Future {
        let metrics = Arc::clone(&self.metrics);
        let Funded { job, chain, purse, downgraded } = funded;
        // By reference: what is handed on by value would have room in both futures.
        boxed(|| async move { dispatch(&metrics, &job, &chain, &purse, downgraded).await })
    }
}

async fn dispatch(
    metrics: &Metrics,
    job: &Job,
    chain: &Chain,
    purse: &Purse,
    downgraded: bool,
) -> Result<Answer, Box<Refusal>> {
    let Job { ask, snapshot, timing, wishes, .. } = job;
    let want = want(job, chain);
    let errand = Errand {
        fleet: &snapshot.fleet,
        metrics,
        chain,
        ask,
        want: want.as_ref(),
        timing: *timing,
        purse,
        retry: &snapshot.config.retry,
        room: snapshot.config.server.max_in_flight,
        trace: job.trace.as_ref(),
        shows: shows(job, chain),
        escalated: false,
    };
    // Pinned where it is made: awaited as it is, it would be copied once more.
    let Executed { result, trail } = pin!(execute(&errand)).await;
    let won = match result {
        Ok(won) => won,
        Err(stopped) => {
            let mut refusal = refusal(job, chain, stopped, trail);
            refusal.diverted = downgraded || purse.squeezed();
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
    };
    let (content, mut facts, max_output, unfunded) = match won {
        Won::Whole { body, posted, findings } => {
            let first = Whole { body, posted, findings, trail, max_output: purse.max_output() };
            let Served { whole, also, escalated, unfunded } = better(&errand, job, first).await;
            let Whole { body, posted, findings, trail, max_output } = whole;
            for posted in also.into_iter().chain([posted]) {
                if posted.is_awaited() && !recorded(posted).await {
                    return Err(Box::new(Refusal::unfunded(chain, &Unfunded::Ledger, trail)));
                }
            }
            let mut facts = Box::new(Facts::of(chain, &trail));
            (facts.escalated, facts.findings) = (escalated, findings);
            (Content::Whole(body), facts, max_output, unfunded)
        }
        Won::Live(live) => {
            let facts = Box::new(Facts::of(chain, &trail));
            let target = facts.target.as_ref().filter(|_| wishes.stream_summary);
            let model = target.map(|target| Arc::clone(&target.name));
            let summary =
                model.map(|model| Summary { model, purse: Some(purse.clone()), savings: wishes.savings });
            (Content::Stream(AnswerStream::new(live, summary)), facts, purse.max_output(), false)
        }
    };
    let cost = matches!(content, Content::Whole(_)).then(|| purse.cost());
    let saved = cost.filter(|_| wishes.savings).and_then(|_| purse.saved());
    let remaining = purse.remaining();
    let squeezed = purse.squeezed() || unfunded;
    facts.money = Money { cost, saved, remaining, max_output, squeezed, downgraded, replayed: false };
    Ok(Answer { facts, content })
}

/// Whether spans tell what is said. What Weir asks for itself quotes requests of any route.
fn shows(job: &Job, chain: &Chain) -> bool {
    let is_own = job.key.as_ref().is_some_and(|key| key.is_own());
    chain.configured && !is_own && job.trace.as_ref().is_some_and(|scope| scope.shows(&chain.route))
}

/// Waits until an answer's entry is on the disk; false where that takes too long.
async fn recorded(mut posted: Posted) -> bool {
    let recorded = timeout(RECORD_PATIENCE, poll_fn(|cx| posted.poll_recorded(cx)));
    matches!(recorded.await, Ok(Ok(())))
}

/// The refusal of a request that no target answered.
fn refusal(job: &Job, chain: &Chain, stopped: Stopped, trail: Trail) -> Refusal {
    let failure = match stopped {
        Stopped::Unfunded(unfunded) => return Refusal::unfunded(chain, &unfunded, trail),
        Stopped::Untried => None,
        Stopped::Failed(failure) => Some(failure),
    };
    let soonest = soonest(&job.snapshot.fleet, chain, &trail);
    Refusal::exhausted(chain, failure, trail, &job.timing, soonest)
}

/// How long until one of the chain's targets can be tried again; targets that lack what the request needs never can.
fn soonest(fleet: &Fleet, chain: &Chain, trail: &Trail) -> Duration {
    let lacks = |target: &&Arc<Target>| {
        let unfit = |(known, missing): &(Arc<Target>, Missing)| {
            Arc::ptr_eq(known, target) && !matches!(missing, Missing::Health { .. })
        };
        trail.skipped.iter().any(unfit)
    };
    // Another way on may have led to targets that do not stand in the chain.
    let tried = trail.tried.iter().map(|tried| &tried.target);
    let targets = chain.targets.iter().chain(tried).filter(|target| !lacks(target));
    fleet.soonest(targets, Instant::now()).unwrap_or(NOBODY_KNOWS).max(AT_ONCE)
}
