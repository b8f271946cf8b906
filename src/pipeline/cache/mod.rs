//! Gives answers that exist already, or are under way, before any money or provider is asked for.

mod asking;
mod fly;
mod follow;
mod follower;
mod head;
mod hit;
mod lead;
mod mode;
mod question;
mod receipt;
mod standby;
mod vault;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, Either};
use tower::{Layer, Service};

use super::{
    answer::Answer,
    job::{Classified, Missed},
    refusal::Refusal,
};

pub use follower::{Follower, Next};
use mode::Subject;
use question::Question;
use standby::Standby;
pub use vault::Vault;

/// Puts kept answers before a service that makes them.
#[derive(Clone, Debug)]
pub struct CacheLayer(pub Arc<Vault>);

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache { vault: Arc::clone(&self.0), inner }
    }
}

/// The service made by [`CacheLayer`].
#[derive(Clone, Debug)]
pub struct Cache<S> {
    vault: Arc<Vault>,
    inner: S,
}

/// What makes answers.
pub trait Maker:
    Service<Missed, Response = Answer, Error = Box<Refusal>, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Maker for S where
    S: Service<Missed, Response = Answer, Error = Box<Refusal>, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

impl<S: Maker> Service<Classified> for Cache<S> {
    type Response = Answer;
    type Error = Box<Refusal>;
    type Future = Either<S::Future, BoxFuture<'static, Result<Answer, Box<Refusal>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, classified: Classified) -> Self::Future {
        let Classified { job, wanted, verdict } = classified;
        let missed = Missed { job, wanted, verdict };
        let question = Question::of(&missed);
        let standby = Standby::of(&missed, question.as_ref().map(|question| question.key));
        let only_if_cached = missed.job.wishes.cache.only_if_cached;
        let any = self.vault.mode.is_any();
        if question.is_none() && standby.is_none() && !any && !only_if_cached {
            return Either::Left(self.inner.call(missed));
        }
        let next = self.inner.clone();
        // The one that was polled ready serves this call.
        let mut inner = std::mem::replace(&mut self.inner, next);
        let vault = Arc::clone(&self.vault);
        let subject = if any && standby.is_none() { Subject::of(&missed.wanted) } else { None };
        Either::Right(Box::pin(async move {
            let result = match question {
                Some(question) => vault.answer(question, missed, inner).await,
                None if only_if_cached => Err(Box::new(Refusal::cache_miss())),
                None => inner.call(missed).await,
            };
            // What was kept proves nothing of the targets.
            if let (Ok(answer), Some(subject)) =
                (&result, subject.as_ref().or(standby.as_ref().map(Standby::subject)))
                && answer.facts.cache.word != "hit"
            {
                vault.mode.recovered(subject);
            }
            match standby {
                Some(standby) => standby.settle(&vault, result),
                None => result,
            }
        }))
    }
}
