//! The same answer for the same idempotency key.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, Either};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout_at;
use tower::{Layer, Service};

use crate::{
    keys::VirtualKey,
    ledger::{Begun, KeptAnswer, Key, Lead},
    openai::Endpoint,
    spend::Till,
};

use super::{
    answer::{Answer, AnswerStream, Content, Facts},
    job::{Asked, Job},
    refusal::{Code, Refusal},
};

/// The largest answer that is kept: each is held in memory until it is whole.
const MOST_KEPT: usize = 32 * 1024 * 1024;

/// Puts the answers that are kept before a service that makes them.
#[derive(Clone, Debug)]
pub struct IdempotencyLayer(pub Arc<Till>);

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Idempotency<S> {
        Idempotency { till: Arc::clone(&self.0), inner }
    }
}

/// The service made by [`IdempotencyLayer`].
#[derive(Clone, Debug)]
pub struct Idempotency<S> {
    till: Arc<Till>,
    inner: S,
}

impl<S> Service<Asked> for Idempotency<S>
where
    S: Service<Asked, Response = Answer, Error = Box<Refusal>, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    type Response = Answer;
    type Error = Box<Refusal>;
    type Future = Either<S::Future, BoxFuture<'static, Result<Answer, Box<Refusal>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Asked(job): Asked) -> Self::Future {
        let Some(key) = key(&job) else {
            return Either::Left(self.inner.call(Asked(job)));
        };
        let till = Arc::clone(&self.till);
        let next = self.inner.clone();
        // The one that was polled ready serves this call.
        let mut inner = std::mem::replace(&mut self.inner, next);
        Either::Right(Box::pin(async move {
            let settings = &job.snapshot.config.ledger;
            let (request, oldest) = (digest(&job), settings.idempotency_ttl.0);
            let most = settings.idempotency_max_bytes.bytes().min(MOST_KEPT);
            let begun = timeout_at(job.timing.deadline.instant(), begin(&till, &key, &request, oldest));
            match begun.await.map_err(|_| too_late())?? {
                Begun::Answered(kept) => Ok(Answer::again(&kept)),
                Begun::Mismatch => Err(mismatch()),
                Begun::Lead(lead) => {
                    let created = till.clock.millis();
                    let keeper = Keeper { lead, key, request, created, kept: BytesMut::new(), most };
                    Ok(inner.call(Asked(job)).await?.kept_by(keeper).await)
                }
            }
        }))
    }
}

/// Under what the answer is kept; `None`: it is not.
fn key(job: &Job) -> Option<Key> {
    let idempotency_key = job.wishes.idempotency_key.clone()?;
    let whose = || job.key.as_deref().map_or_else(|| "".into(), whose);
    job.snapshot.config.ledger.idempotency.then(|| Key { key: whose(), idempotency_key })
}

/// Whose answers a key's are: its name is given again once it is revoked, so that alone does not say it.
fn whose(key: &VirtualKey) -> Arc<str> {
    let holder: String = key.holder().bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {holder}", key.name()).into()
}

/// The SHA-256 of the path and the body: the same body on another path is another request.
fn digest(job: &Job) -> [u8; 32] {
    let path: &[u8] = match job.ask.endpoint() {
        Endpoint::Chat => b"chat\n",
        Endpoint::Completions => b"completions\n",
        Endpoint::Embeddings => b"embeddings\n",
    };
    Sha256::new().chain_update(path).chain_update(job.ask.body()).finalize().into()
}

async fn begin(till: &Till, key: &Key, request: &[u8; 32], oldest: Duration) -> Result<Begun, Box<Refusal>> {
    let oldest = i64::try_from(oldest.as_millis()).unwrap_or(i64::MAX);
    let since = till.clock.millis().saturating_sub(oldest);
    till.ledger.begin(key, request, since).await.map_err(|error| {
        tracing::error!("an answer that may be kept cannot be looked up: {error}");
        Box::new(Refusal::ledger_unavailable())
    })
}

fn too_late() -> Box<Refusal> {
    let message = "The first request with this `idempotency-key` did not end in time.";
    Box::new(Refusal::new(Code::UpstreamTimeout, message))
}

fn mismatch() -> Box<Refusal> {
    let message = "This `idempotency-key` was used with another request; use a new one.";
    let refusal = Refusal::new(Code::IdempotencyMismatch, message);
    Box::new(Refusal { param: Some("idempotency-key".into()), ..refusal })
}

/// Collects an answer on its way to the client, to keep it once it is whole.
#[derive(Debug)]
pub struct Keeper {
    lead: Lead,
    key: Key,
    request: [u8; 32],
    created: i64,
    kept: BytesMut,
    /// A larger answer is not kept.
    most: usize,
}

impl Keeper {
    /// A part of a stream passes.
    pub fn passes(&mut self, part: &[u8]) {
        if self.kept.len() + part.len() <= self.most {
            self.kept.extend_from_slice(part);
        } else {
            // Too long to be kept: nothing of it is.
            (self.kept, self.most) = (BytesMut::new(), 0);
        }
    }

    /// The stream is whole.
    pub fn finish(mut self) {
        if self.kept.len() <= self.most {
            let body = std::mem::take(&mut self.kept).freeze();
            drop(self.keep(body, true));
        }
    }

    fn keep(self, body: Bytes, stream: bool) -> crate::ledger::Ack {
        let content_type = if stream { "text/event-stream" } else { "application/json" };
        let Self { lead, key, request, created, .. } = self;
        let content_type = content_type.into();
        lead.finish(KeptAnswer { key, request, status: 200, content_type, stream, created, body })
    }
}

impl Answer {
    /// An answer that was given before.
    fn again(kept: &KeptAnswer) -> Self {
        let content = match kept.stream {
            true => Content::Stream(AnswerStream::again(kept.body.clone())),
            false => Content::Whole(kept.body.clone()),
        };
        Self { facts: Box::new(Facts::again()), content }
    }

    /// The same answer, kept when it is whole.
    async fn kept_by(mut self, keeper: Keeper) -> Self {
        if self.facts.stand_in.is_some() {
            // The next one with this key asks for a real answer.
            return self;
        }
        match &mut self.content {
            Content::Stream(stream) => stream.keep(keeper),
            Content::Whole(body) if body.len() <= keeper.most => {
                // Given before it is kept, it could be made, and paid for, twice. Where it cannot be kept now it is
                // given all the same: its cost is recorded.
                let _ = keeper.keep(body.clone(), false).await;
            }
            Content::Whole(_) => {}
        }
        self
    }
}
