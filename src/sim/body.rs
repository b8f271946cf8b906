//! The body of a simulated answer: frames at their time, faults included.

use std::{
    collections::VecDeque,
    error, fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{log::Finished, watch::Watch};

/// The connection was reset, before a head came or in the middle of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimBroken;

impl fmt::Display for SimBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated provider reset the connection")
    }
}

impl error::Error for SimBroken {}

/// How long what was sent before a break has to get away: a broken connection takes along what still waits in it.
const BEFORE_BREAK: Duration = Duration::from_millis(5);

/// What a body does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send these bytes at this time.
    Send {
        due: Instant,
        bytes: Bytes,
        /// How many of the answer's tokens are in them.
        tokens: u64,
        /// Whether they are a content chunk.
        content: bool,
    },
    /// Break the connection.
    Break,
    /// Send nothing more, ever.
    Hang,
}

/// The body of a simulated answer.
pub struct SimBody {
    steps: VecDeque<Step>,
    /// What is left of a dripping frame.
    rest: Bytes,
    drip: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    breaking: bool,
    /// The length of the whole, where a head may tell it.
    length: Option<u64>,
    /// How the request ends when all steps are done.
    finished: Finished,
    watch: Option<Watch>,
}

impl fmt::Debug for SimBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBody").field("steps_left", &self.steps.len()).finish_non_exhaustive()
    }
}

impl SimBody {
    /// A body of these bytes, of which nobody keeps a record.
    pub(crate) fn full(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        let step = Step::Send { due: Instant::now(), bytes, tokens: 0, content: false };
        Self { length, ..Self::new(vec![step], None, Finished::Complete, None) }
    }

    /// A body of these steps, that ends as `finished`.
    pub(crate) fn new(
        steps: Vec<Step>,
        drip: Option<Duration>,
        finished: Finished,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            steps: steps.into(),
            rest: Bytes::new(),
            drip,
            timer: None,
            breaking: false,
            length: None,
            finished,
            watch,
        }
    }

    /// Lets the head tell the length; only for steps that all send.
    pub(crate) fn sized(mut self) -> Self {
        let length = |step: &Step| match step {
            Step::Send { bytes, .. } => Some(bytes.len() as u64),
            Step::Break | Step::Hang => None,
        };
        self.length = self.steps.iter().map(length).sum();
        self
    }

    fn wait(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() && Instant::now() >= due {
            return Poll::Ready(());
        }
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => none.insert(Box::pin(sleep_until(due))),
        };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }

    fn poll_drip(&mut self, drip: Duration, cx: &mut Context<'_>) -> Poll<Bytes> {
        let due = match &self.timer {
            Some(timer) => timer.deadline(),
            None => Instant::now() + drip,
        };
        ready!(self.wait(due, cx));
        let byte = self.rest.split_to(1);
        self.end_if_done();
        Poll::Ready(byte)
    }

    fn end_if_done(&mut self) {
        if self.steps.is_empty() && self.rest.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.finish(self.finished);
        }
    }

    fn poll_break(&mut self, cx: &mut Context<'_>) -> Poll<SimBroken> {
        if !self.breaking {
            self.breaking = true;
            self.timer = Some(Box::pin(sleep_until(Instant::now() + BEFORE_BREAK)));
        }
        if self.timer.is_some() {
            ready!(self.wait(Instant::now(), cx));
        }
        self.steps.clear();
        self.finish();
        Poll::Ready(SimBroken)
    }

    /// Takes the step at the front, which sends.
    fn send(&mut self) -> Bytes {
        let Some(Step::Send { mut bytes, tokens, content, .. }) = self.steps.pop_front() else {
            return Bytes::new();
        };
        if let Some(watch) = &mut self.watch {
            watch.entry.completion_tokens += tokens;
            watch.entry.chunks += u32::from(content);
        }
        if self.drip.is_some() && bytes.len() > 1 {
            self.rest = bytes.split_off(1);
        }
        self.end_if_done();
        bytes
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = SimBroken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SimBroken>>> {
        let this = &mut *self;
        if let (Some(drip), false) = (this.drip, this.rest.is_empty()) {
            let byte = ready!(this.poll_drip(drip, cx));
            return Poll::Ready(Some(Ok(Frame::data(byte))));
        }
        match this.steps.front() {
            None => {
                this.finish();
                Poll::Ready(None)
            }
            Some(Step::Hang) => Poll::Pending,
            Some(Step::Break) => Poll::Ready(Some(Err(ready!(this.poll_break(cx))))),
            Some(&Step::Send { due, .. }) => {
                ready!(this.wait(due, cx));
                Poll::Ready(Some(Ok(Frame::data(this.send()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.rest.is_empty() && !self.breaking
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            // The hint is of what is left, but it is asked for before the first frame only where it counts.
            Some(length) if !self.steps.is_empty() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn send(due: Instant, text: &'static str) -> Step {
        Step::Send { due, bytes: Bytes::from_static(text.as_bytes()), tokens: 1, content: true }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_come_at_their_time() {
        let start = Instant::now();
        let steps = vec![send(start, "a"), send(start + Duration::from_secs(2), "b")];
        let mut body = SimBody::new(steps, None, Finished::Complete, None);
        body.frame().await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        body.frame().await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_one_byte_a_frame() {
        let start = Instant::now();
        let steps = vec![send(start, "abc"), send(start, "de")];
        let mut body = SimBody::new(steps, Some(Duration::from_millis(100)), Finished::Complete, None);
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let bytes = frame.unwrap().into_data().unwrap();
            assert_eq!(bytes.len(), 1);
            text.extend_from_slice(&bytes);
        }
        assert_eq!(text, b"abcde");
        assert_eq!(start.elapsed(), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_is_an_error_after_what_came_before() {
        let steps = vec![send(Instant::now(), "a"), Step::Break];
        let mut body = SimBody::new(steps, None, Finished::Fault, None);
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap_err(), SimBroken);
        assert!(body.frame().await.is_none());
    }
}
