//! The work of a flight, which ends with the last one who waits for it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::future::poll_fn;

use super::lock;

/// What makes the answer.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the work of a flight is, between two of its steps.
#[derive(Default)]
pub struct Desk(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    work: Option<Work>,
    given_up: bool,
    task: Option<tokio::task::AbortHandle>,
}

impl Desk {
    /// Starts the work as a task; `desk` finds this in what holds it.
    pub fn start<T: Send + Sync + 'static>(holder: &Arc<T>, desk: fn(&T) -> &Self, work: Work) {
        lock(&desk(holder).0).work = Some(work);
        let working = Arc::clone(holder);
        let task = tokio::spawn(poll_fn(move |cx| desk(&working).step(cx)));
        lock(&desk(holder).0).task = Some(task.abort_handle());
    }

    /// One step of the work. It is taken from its place for that, so that whoever gives it up need not wait.
    fn step(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut work) = lock(&self.0).work.take() else { return Poll::Ready(()) };
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut desk = lock(&self.0);
        if desk.given_up {
            drop(desk);
            drop(work);
            return Poll::Ready(());
        }
        desk.work = Some(work);
        Poll::Pending
    }

    /// Nobody waits for the answer any more: what makes it ends now.
    pub fn give_up(&self) {
        let (work, task) = {
            let mut desk = lock(&self.0);
            desk.given_up = true;
            (desk.work.take(), desk.task.take())
        };
        drop(work);
        task.iter().for_each(tokio::task::AbortHandle::abort);
    }
}
