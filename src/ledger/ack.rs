//! Waiting for what was given to the writer to be on the disk.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::Unavailable;

/// Ends when what was posted is durable, or cannot be now. May be dropped without effect.
#[derive(Debug)]
#[must_use = "nothing is known to be durable before it ends; drop it where that does not matter"]
pub struct Ack(State);

#[derive(Debug)]
enum State {
    Known(Result<(), Unavailable>),
    Waits(oneshot::Receiver<Result<(), Unavailable>>),
}

/// The writer's end of an [`Ack`]. Dropped, it says that the ledger is unavailable.
pub(super) type Waiter = oneshot::Sender<Result<(), Unavailable>>;

impl Ack {
    /// One that ended.
    pub(super) fn known(result: Result<(), Unavailable>) -> Self {
        Self(State::Known(result))
    }

    /// One that waits.
    pub(super) fn pair() -> (Waiter, Self) {
        let (waiter, receiver) = oneshot::channel();
        (waiter, Self(State::Waits(receiver)))
    }

    /// Waits on a thread that may block.
    ///
    /// # Errors
    /// It could not be written now.
    pub fn wait(self) -> Result<(), Unavailable> {
        match self.0 {
            State::Known(result) => result,
            State::Waits(receiver) => receiver.blocking_recv().unwrap_or(Err(Unavailable)),
        }
    }
}

impl Future for Ack {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Known(result) => Poll::Ready(*result),
            State::Waits(receiver) => {
                Pin::new(receiver).poll(cx).map(|said| said.unwrap_or(Err(Unavailable)))
            }
        }
    }
}
