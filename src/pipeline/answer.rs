//! What the pipeline gives back: an answer, whole or as a stream, with what is known of its way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;

use crate::{
    openai::error::ErrorBody,
    route::{Chain, Missing, Target},
    upstream::{Live, Trail, label, label_of},
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// How it came about.
    pub facts: Facts,
    /// The answer itself.
    pub content: Content,
}

/// An answer's content, in OpenAI's format.
#[derive(Debug)]
pub enum Content {
    /// A JSON object.
    Whole(Bytes),
    /// Server-sent events.
    Stream(AnswerStream),
}

/// How an answer, or a refusal, came about.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The chain's entry.
    pub route: Arc<str>,
    /// The metrics label of the entry.
    pub route_label: Arc<str>,
    /// The target that answered, or failed last.
    pub target: Option<Arc<Target>>,
    /// How many tries were made.
    pub attempts: usize,
    /// How often another target had to take over.
    pub fallbacks: usize,
    /// The targets that were passed over, each with what it lacks.
    pub skipped: Vec<(Arc<Target>, Missing)>,
    /// The client's fields that were left out for the provider.
    pub dropped: Vec<String>,
    /// The time spent waiting for upstreams.
    pub waited: Duration,
}

impl Facts {
    /// The facts of a chain that was tried.
    pub fn of(chain: &Chain, trail: &Trail) -> Self {
        Self {
            route: Arc::clone(&chain.route),
            route_label: label(chain).into(),
            target: trail.tried.last().map(|tried| Arc::clone(&tried.target)),
            attempts: trail.attempts(),
            fallbacks: trail.fallbacks,
            skipped: chain.skipped.iter().chain(&trail.skipped).cloned().collect(),
            dropped: trail.dropped.clone(),
            waited: trail.waited,
        }
    }

    /// The metrics label of the target.
    pub fn model_label(&self) -> &str {
        self.target.as_deref().map_or(crate::metrics::NONE, label_of)
    }

    /// The metrics label of the provider.
    pub fn provider_label(&self) -> &str {
        self.target.as_ref().map_or(crate::metrics::NONE, |target| &target.provider)
    }
}

/// The frames of a streamed answer. A failure becomes an error event, after which the stream ends without
/// `[DONE]`: a cut never looks like an end.
#[derive(Debug)]
pub struct AnswerStream {
    live: Box<Live>,
    failed: bool,
}

impl AnswerStream {
    /// The frames of `live`.
    pub fn new(live: Box<Live>) -> Self {
        Self { live, failed: false }
    }
}

impl Stream for AnswerStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.failed {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut *self.live).poll_next(cx)) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(failure)) => {
                self.failed = true;
                tracing::warn!(outcome = %failure.outcome, "a stream broke after content");
                Some(error_event(&failure.error, failure.outcome.as_str()))
            }
            None => None,
        })
    }
}

/// The last frame of a stream that broke.
fn error_event(error: &ErrorBody, outcome: &str) -> Bytes {
    let message = format!("The answer broke off ({outcome}): {}", error.message);
    ErrorBody::new("upstream_error", "upstream_stream_broken", message).to_event(&[])
}
