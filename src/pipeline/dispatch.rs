//! The end of the pipeline: the tries.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::Service;

use crate::{
    metrics::Metrics,
    upstream::{Executed, Won, execute},
};

use super::{
    answer::{Answer, AnswerStream, Content, Facts},
    job::{Funded, Job},
    refusal::Refusal,
};

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

async fn dispatch(metrics: &Metrics, Funded { job, chain }: Funded) -> Result<Answer, Box<Refusal>> {
    let Job { ask, snapshot, timing, .. } = &*job;
    let Executed { result, trail } = execute(&snapshot.fleet, metrics, &chain, ask, *timing).await;
    match result {
        Ok(won) => {
            let content = match won {
                Won::Whole { body, .. } => Content::Whole(body),
                Won::Live(live) => Content::Stream(AnswerStream::new(live)),
            };
            Ok(Answer { facts: Facts::of(&chain, &trail), content })
        }
        Err(failure) => Err(Box::new(Refusal::exhausted(&chain, failure, trail, timing))),
    }
}
