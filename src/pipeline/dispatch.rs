//! The end of the pipeline: the tries.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, poll_fn};
use tokio::time::{Instant, timeout};
use tower::Service;

use crate::{
    metrics::Metrics,
    quality::Want,
    route::{Chain, Missing, Target},
    spend::Unfunded,
    upstream::{Errand, Executed, Fleet, Stopped, Trail, Won, execute},
};

use super::{
    answer::{Answer, AnswerStream, Content, Facts, Money, Summary},
    job::{Funded, Job},
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
        Box::pin(async move { dispatch(&metrics, funded).await })
    }
}

async fn dispatch(metrics: &Metrics, funded: Funded) -> Result<Answer, Box<Refusal>> {
    let Funded { job, chain, purse, downgraded } = funded;
    let Job { ask, snapshot, timing, wishes, .. } = &*job;
    let fleet = &snapshot.fleet;
    let retry = &snapshot.config.retry;
    let room = snapshot.config.server.max_in_flight;
    let want = Want::of(ask, chain.least);
    let want = want.as_ref();
    let errand =
        Errand { fleet, metrics, chain: &chain, ask, want, timing: *timing, purse: &purse, retry, room };
    let Executed { result, trail } = execute(errand).await;
    let won = match result {
        Ok(won) => won,
        Err(Stopped::Unfunded(unfunded)) => {
            let refusal = Refusal::unfunded(&chain, &unfunded, trail);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
        Err(Stopped::Untried) => {
            let soonest = soonest(fleet, &chain, &trail);
            let refusal = Refusal::exhausted(&chain, None, trail, timing, soonest);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
        Err(Stopped::Failed(failure)) => {
            let soonest = soonest(fleet, &chain, &trail);
            let refusal = Refusal::exhausted(&chain, Some(failure), trail, timing, soonest);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
    };
    let mut facts = Facts::of(&chain, &trail);
    let (content, cost) = match won {
        Won::Whole { body, mut posted, .. } => {
            let recorded = timeout(RECORD_PATIENCE, poll_fn(|cx| posted.poll_recorded(cx)));
            if !matches!(recorded.await, Ok(Ok(()))) {
                return Err(Box::new(Refusal::unfunded(&chain, &Unfunded::Ledger, trail)));
            }
            (Content::Whole(body), Some(purse.cost()))
        }
        Won::Live(live) => {
            let model = facts
                .target
                .as_ref()
                .filter(|_| wishes.stream_summary)
                .map(|target| Arc::clone(&target.name));
            let summary = model.map(|model| Summary { model, purse: purse.clone(), savings: wishes.savings });
            (Content::Stream(AnswerStream::new(live, summary)), None)
        }
    };
    let (remaining, max_output) = (purse.remaining(), purse.max_output());
    let saved = cost.filter(|_| wishes.savings).and_then(|_| purse.saved());
    facts.money = Money { cost, saved, remaining, max_output, downgraded, replayed: false };
    Ok(Answer { facts, content })
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
