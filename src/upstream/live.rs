//! A stream from an upstream: silent until its first content, then passed on frame by frame.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, future::poll_fn};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};

use crate::{
    base::{deadline::Deadline, outcome::Outcome},
    ledger::Unavailable,
    openai::usage::Usage,
    provider::Failure,
    quality::Findings,
    spend::Posted,
};

use super::{
    tap::{Step, Tap},
    watch::Watch,
};

/// The most frames held back before content.
const MAX_HELD_FRAMES: usize = 64;
/// The most bytes held back before content.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// A stream that has content. It ends with `None` after its last frame, or with one [`Cut`].
pub struct Live {
    held: VecDeque<Bytes>,
    tap: Option<Tap>,
    usage: Option<Usage>,
    /// What its checks found, once it is over.
    findings: Findings,
    watch: Option<Box<Watch>>,
    /// The last frame, which waits until what the stream cost is on the disk.
    last: Option<(Posted, Bytes)>,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    over_by: Option<Pin<Box<Sleep>>>,
}

/// Why a stream ended before its end.
#[derive(Debug)]
pub enum Cut {
    /// The upstream failed.
    Upstream(Failure),
    /// The ledger could not record what it cost.
    Ledger,
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// One that others follow.
    Part(Bytes),
    /// The terminal event.
    Last(Bytes),
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("usage", &self.usage).finish_non_exhaustive()
    }
}

/// How long a stream may be silent, and when it has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// By when there has to be content.
    pub content_by: Deadline,
    /// The longest silence between two frames after that.
    pub idle: Duration,
    /// When the whole stream has to be over, if the client said so.
    pub over_by: Option<Deadline>,
}

impl Live {
    /// Waits until the stream has content, holding back what comes before it. From then on it is the answer.
    ///
    /// # Errors
    /// Why there was no content; another target may then answer instead.
    pub async fn begin(mut tap: Tap, mut watch: Box<Watch>, patience: Patience) -> Result<Self, Failure> {
        let mut held = VecDeque::new();
        let mut bytes_held = 0;
        let last = loop {
            let step = match timeout_at(patience.content_by.instant(), poll_fn(|cx| tap.poll_step(cx))).await
            {
                Ok(step) => step,
                Err(_) => {
                    Step::Failed(Failure::of(Outcome::Timeout, "The upstream sent no first token in time."))
                }
            };
            if let Some(usage) = tap.usage() {
                watch.told(usage);
            }
            let (bytes, content) = match step {
                Step::Comment(bytes) => {
                    // Comments never make a stream an answer; past half of the room they are left out.
                    if held.len() < MAX_HELD_FRAMES / 2 && bytes_held + bytes.len() < MAX_HELD_BYTES / 2 {
                        bytes_held += bytes.len();
                        held.push_back(bytes);
                    }
                    continue;
                }
                Step::Lead(bytes) => (bytes, false),
                Step::Content(bytes) => (bytes, true),
                Step::Done(bytes) => break Some(bytes),
                Step::Failed(failure) => {
                    watch.failed(failure.outcome, failure.retry_after);
                    return Err(failure);
                }
            };
            watch.came(&bytes);
            bytes_held += bytes.len();
            held.push_back(bytes);
            if content || held.len() >= MAX_HELD_FRAMES || bytes_held >= MAX_HELD_BYTES {
                break None;
            }
        };
        watch.first_token();
        let mut live = Self {
            held,
            tap: Some(tap),
            usage: None,
            findings: Findings::default(),
            watch: Some(watch),
            last: None,
            idle: patience.idle,
            silence: Box::pin(sleep(patience.idle)),
            over_by: patience.over_by.map(|deadline| Box::pin(sleep_until(deadline.instant()))),
        };
        if let Some(bytes) = last {
            poll_fn(|cx| {
                live.end(bytes.clone(), cx);
                Poll::Ready(())
            })
            .await;
        }
        Ok(live)
    }

    /// The tokens that the stream took; complete after its last frame.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref().or_else(|| self.tap.as_ref()?.usage())
    }

    /// What its checks found; complete with its last frame.
    pub fn findings(&self) -> Findings {
        self.findings
    }

    /// The upstream has said everything; `bytes` are its last frame.
    fn end(&mut self, bytes: Bytes, cx: &mut Context<'_>) {
        if let Some(tap) = self.tap.take() {
            self.usage = tap.usage().copied();
            tap.drain(cx);
        }
        if let Some(mut watch) = self.watch.take() {
            self.findings = watch.judge_stream();
            self.last = Some((watch.answered(|| (0, 0)), bytes));
        }
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Frame, Cut>>> {
        self.usage = self.usage().copied();
        self.tap = None;
        if let Some(watch) = self.watch.take() {
            watch.failed(failure.outcome, failure.retry_after);
        }
        Poll::Ready(Some(Err(Cut::Upstream(failure))))
    }

    /// The last frame, once what the stream cost is on the disk.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Cut>>> {
        let Some((posted, _)) = &mut self.last else {
            return Poll::Ready(None);
        };
        let recorded = ready!(posted.poll_recorded(cx));
        let last = self.last.take().map(|(_, bytes)| bytes);
        Poll::Ready(match recorded {
            Ok(()) => last.map(|bytes| Ok(Frame::Last(bytes))),
            Err(Unavailable { .. }) => Some(Err(Cut::Ledger)),
        })
    }

    /// The failure of a stream that took too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Option<Failure> {
        if self.silence.as_mut().poll(cx).is_ready() {
            return Some(Failure::of(
                Outcome::IdleTimeout,
                "The upstream fell silent in the middle of its answer.",
            ));
        }
        let over = self.over_by.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        over.then(|| Failure::of(Outcome::Timeout, "The deadline of the request is over."))
    }
}

impl Stream for Live {
    type Item = Result<Frame, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(bytes) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::Part(bytes))));
        }
        let Some(tap) = &mut this.tap else {
            return this.poll_last(cx);
        };
        let Poll::Ready(step) = tap.poll_step(cx) else {
            return match this.poll_overdue(cx) {
                Some(failure) => this.fail(failure),
                None => Poll::Pending,
            };
        };
        if let (Some(usage), Some(watch)) = (tap.usage(), &mut this.watch) {
            watch.told(usage);
        }
        match step {
            Step::Lead(bytes) | Step::Comment(bytes) | Step::Content(bytes) => {
                this.silence.as_mut().reset(Instant::now() + this.idle);
                if let Some(watch) = &mut this.watch {
                    watch.came(&bytes);
                }
                Poll::Ready(Some(Ok(Frame::Part(bytes))))
            }
            Step::Done(bytes) => {
                this.end(bytes, cx);
                this.poll_last(cx)
            }
            Step::Failed(failure) => this.fail(failure),
        }
    }
}
