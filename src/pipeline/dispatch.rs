//! The end of the pipeline: the tries.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, poll_fn};
use tokio::time::timeout;
use tower::Service;

use crate::{
    metrics::Metrics,
    spend::Unfunded,
    upstream::{Errand, Executed, Stopped, Won, execute},
};

use super::{
    answer::{Answer, AnswerStream, Content, Facts, Money, Summary},
    job::{Funded, Job},
    refusal::Refusal,
};

/// How long a whole answer waits for its row: a disk that takes longer counts as one that cannot record.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

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
    let errand = Errand { fleet, metrics, chain: &chain, ask, timing: *timing, purse: &purse, retry, room };
    let Executed { result, trail } = execute(errand).await;
    let won = match result {
        Ok(won) => won,
        Err(Stopped::Unfunded(unfunded)) => {
            let refusal = Refusal::unfunded(&chain, &unfunded, trail);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
        Err(Stopped::Untried) => {
            let refusal = Refusal::exhausted(&chain, None, trail, timing);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
        Err(Stopped::Failed(failure)) => {
            let refusal = Refusal::exhausted(&chain, Some(failure), trail, timing);
            purse.refused(refusal.code.as_str());
            return Err(Box::new(refusal));
        }
    };
    let mut facts = Facts::of(&chain, &trail);
    let (content, cost) = match won {
        Won::Whole { body, mut posted } => {
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
            let summary = model.map(|model| Summary { model, purse: purse.clone() });
            (Content::Stream(AnswerStream::new(live, summary)), None)
        }
    };
    let (remaining, max_output) = (purse.remaining(), purse.max_output());
    facts.money = Money { cost, remaining, max_output, downgraded, replayed: false };
    Ok(Answer { facts, content })
}
