//! What a decoder makes of an upstream's stream, step by step.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::poll_fn;
use http_body::Body as _;
use tokio::time::timeout;

use crate::{
    base::outcome::Outcome,
    openai::usage::Usage,
    provider::{Failure, Piece, StreamDecoder},
};

use super::unit::{Unit, UpstreamBody};

/// How long a finished stream's connection may take to end, so that it can be used again.
const DRAIN: Duration = Duration::from_millis(500);

/// An upstream's body with the decoder that reads it.
pub struct Tap {
    unit: Arc<Unit>,
    body: Pin<Box<UpstreamBody>>,
    decoder: Box<dyn StreamDecoder>,
    pieces: VecDeque<Piece>,
    usage: Option<Usage>,
}

/// What the next step of a stream brought.
#[derive(Debug)]
pub enum Step {
    /// Frames that may wait for content.
    Lead(Bytes),
    /// A sign of life, no content.
    Comment(Bytes),
    /// Content.
    Content(Bytes),
    /// The last frame.
    Done(Bytes),
    /// The stream failed; nothing follows.
    Failed(Failure),
}

impl Tap {
    /// Reads the `body` that came from `unit` with `decoder`.
    pub fn new(unit: Arc<Unit>, body: UpstreamBody, decoder: Box<dyn StreamDecoder>) -> Self {
        Self { unit, body: Box::pin(body), decoder, pieces: VecDeque::new(), usage: None }
    }

    /// The tokens that the stream took, once the upstream has said so.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// The next step. After [`Step::Done`] or [`Step::Failed`] it must not be called again.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            match self.pieces.pop_front() {
                Some(Piece::Lead(bytes)) => return Poll::Ready(Step::Lead(bytes)),
                Some(Piece::Comment(bytes)) => return Poll::Ready(Step::Comment(bytes)),
                Some(Piece::Content(bytes)) => return Poll::Ready(Step::Content(bytes)),
                Some(Piece::Done(bytes)) => return Poll::Ready(Step::Done(bytes)),
                Some(Piece::Failed(failure)) => return Poll::Ready(Step::Failed(self.unit.veil(failure))),
                Some(Piece::Usage(usage)) => self.usage = Some(usage),
                None => match ready!(self.body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(chunk) = frame.into_data() {
                            self.decoder.push(chunk, &mut self.pieces);
                        }
                    }
                    Some(Err(error)) => {
                        let message = format!("The upstream's stream broke: {error}");
                        return Poll::Ready(Step::Failed(Failure::of(Outcome::Truncated, message)));
                    }
                    None => self.decoder.finish(&mut self.pieces),
                },
            }
        }
    }

    /// Lets the body of a finished stream end, so that its connection can be used again.
    pub fn drain(mut self, cx: &mut Context<'_>) {
        let mut rest = move |cx: &mut Context<'_>| {
            while let Some(Ok(_)) = ready!(self.body.as_mut().poll_frame(cx)) {}
            Poll::Ready(())
        };
        if rest(cx).is_pending() {
            tokio::spawn(timeout(DRAIN, poll_fn(rest)));
        }
    }
}
