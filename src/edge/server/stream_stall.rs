//! The HTTP/2 streams whose client leaves them unread.
//!
//! Such a client keeps its connection flowing and only withholds the stream's window, so the socket shows
//! nothing. What shows it is the stream's task: it waits, yet neither for the handler nor for the body. The
//! marks of those two are compared after each turn of the task.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// What the handler or the body said in the current turn of a stream's task.
    static TURN: Cell<Turn>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Neither was asked: the stream waits for its client.
    Unasked,
    /// One of them gave something.
    Gave,
    /// One of them has nothing yet: the stream waits for us.
    Waits,
}

fn mark<T>(outcome: &Poll<T>) {
    let turn = if outcome.is_pending() { Turn::Waits } else { Turn::Gave };
    // Without a stream's task around it (HTTP/1) nobody asks for the mark.
    let _ = TURN.try_with(|cell| cell.set(turn));
}

/// Spawns the tasks of streams, each under watch.
#[derive(Clone, Debug)]
pub struct StreamSpawner {
    tasks: TaskTracker,
    timeout: Duration,
}

impl StreamSpawner {
    /// Counts its tasks in `tasks`; drops a stream that its client left unread for `timeout`.
    pub fn new(tasks: TaskTracker, timeout: Duration) -> Self {
        Self { tasks, timeout }
    }
}

impl<F> Executor<F> for StreamSpawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.tasks.spawn(Watched { stream, timeout: self.timeout, timer: None });
    }
}

pin_project! {
    /// A stream's task that ends early when its client does not read.
    struct Watched<F> {
        #[pin]
        stream: F,
        timeout: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (outcome, turn) = TURN.sync_scope(Cell::new(Turn::Unasked), || {
            let outcome = this.stream.poll(cx);
            (outcome, TURN.with(Cell::get))
        });
        if outcome.is_ready() {
            return outcome;
        }
        if turn == Turn::Waits {
            *this.timer = None;
            return Poll::Pending;
        }
        let timeout = *this.timeout;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if turn == Turn::Gave {
            timer.as_mut().reset(Instant::now() + timeout);
        }
        // Ending the task drops the stream, which resets it.
        timer.as_mut().poll(cx)
    }
}

pin_project! {
    /// A handler's future that leaves its mark.
    pub struct MarkedHandler<F> {
        #[pin]
        future: F,
    }
}

impl<F> MarkedHandler<F> {
    /// Marks each turn of a handler.
    pub fn new(future: F) -> Self {
        Self { future }
    }
}

impl<F: Future> Future for MarkedHandler<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let outcome = self.project().future.poll(cx);
        mark(&outcome);
        outcome
    }
}

/// A body that leaves its mark.
#[derive(Debug)]
pub struct MarkedBody(Body);

impl MarkedBody {
    /// Marks each turn of a body.
    pub fn new(body: Body) -> Self {
        Self(body)
    }
}

impl http_body::Body for MarkedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let outcome = Pin::new(&mut self.get_mut().0).poll_frame(cx);
        mark(&outcome);
        outcome
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    async fn ended_after(stream: impl Future<Output = ()> + Send + 'static) -> Option<u64> {
        let tasks = TaskTracker::new();
        let begin = Instant::now();
        StreamSpawner::new(tasks.clone(), TIMEOUT).execute(stream);
        tasks.close();
        let ended = tokio::time::timeout(20 * TIMEOUT, tasks.wait()).await;
        ended.ok().map(|()| begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_client_ends() {
        assert_eq!(ended_after(pending()).await, Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_us_goes_on() {
        assert_eq!(ended_after(MarkedHandler::new(pending())).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_that_moves_begins_the_time_anew() {
        let mut ticks = tokio::time::interval(Duration::from_secs(50));
        let mut left = 5;
        let stream = poll_fn(move |cx| {
            while ticks.poll_tick(cx).is_ready() {
                mark(&Poll::Ready(()));
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        assert_eq!(ended_after(stream).await, Some(200));
    }
}
