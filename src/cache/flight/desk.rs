//! The work of a flight, which ends with the last one who waits for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_util::future::poll_fn;
use tracing::{Instrument as _, Span};

use super::lock;

/// What makes the answer.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the work of a flight is, between two of its steps. Who leads takes them as long as nobody follows; from then on a
/// task does, so that no one who follows depends on how fast another one reads.
#[derive(Default)]
pub struct Desk(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    work: Option<Work>,
    /// Who leads is in the middle of a step.
    busy: bool,
    given_up: bool,
    /// A task takes the steps, or will once there is work.
    shared: bool,
    task: Option<tokio::task::AbortHandle>,
    /// The task, which waits until the step of who leads is over.
    next: Option<Waker>,
    /// The span in which the work began.
    log: Option<Span>,
}

impl Desk {
    /// Puts the work on the desk; `desk` finds this in what holds it.
    pub fn start<T: Send + Sync + 'static>(holder: &Arc<T>, desk: fn(&T) -> &Self, work: Work) {
        let shared = {
            let mut inner = lock(&desk(holder).0);
            (inner.work, inner.log) = (Some(work), Some(Span::current()));
            inner.shared
        };
        if shared {
            Self::spawn(holder, desk);
        }
    }

    /// Somebody follows: from now on a task takes the steps.
    pub fn share<T: Send + Sync + 'static>(holder: &Arc<T>, desk: fn(&T) -> &Self) {
        let starts = {
            let mut inner = lock(&desk(holder).0);
            !std::mem::replace(&mut inner.shared, true) && (inner.busy || inner.work.is_some())
        };
        if starts {
            Self::spawn(holder, desk);
        }
    }

    fn spawn<T: Send + Sync + 'static>(holder: &Arc<T>, desk: fn(&T) -> &Self) {
        let log = lock(&desk(holder).0).log.take().unwrap_or_else(Span::none);
        let working = Arc::clone(holder);
        let steps = poll_fn(move |cx| desk(&working).step(cx)).instrument(log);
        let task = tokio::spawn(steps).abort_handle();
        let mut inner = lock(&desk(holder).0);
        if inner.given_up {
            task.abort();
        }
        inner.task = Some(task);
    }

    /// One step of the work, as the task takes it. The work is taken from its place for that, so that whoever gives it up
    /// need not wait.
    fn step(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut work = {
            let mut inner = lock(&self.0);
            if inner.busy {
                inner.next = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let Some(work) = inner.work.take() else { return Poll::Ready(()) };
            work
        };
        match work.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending if self.put_back(work) => Poll::Pending,
            Poll::Pending => Poll::Ready(()),
        }
    }

    /// One step of the work for who leads, unless a task takes them.
    pub fn step_alone(&self, cx: &mut Context<'_>) {
        let mut work = {
            let mut inner = lock(&self.0);
            if inner.shared {
                return;
            }
            let Some(work) = inner.work.take() else { return };
            inner.busy = true;
            work
        };
        // A fault in it ends the flight as it does in a task; it is not the fault of who waits.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => drop(self.put_back(work)),
            Ok(Poll::Ready(())) | Err(_) => {
                drop(work);
                self.rise();
            }
        }
    }

    /// Work that is not over goes back to its place; false: it was given up meanwhile, and is dropped.
    fn put_back(&self, work: Work) -> bool {
        let (given_up, next) = {
            let mut inner = lock(&self.0);
            inner.busy = false;
            if inner.given_up {
                (Some(work), inner.next.take())
            } else {
                inner.work = Some(work);
                (None, inner.next.take())
            }
        };
        next.into_iter().for_each(Waker::wake);
        given_up.is_none()
    }

    /// The step of who leads was the last one.
    fn rise(&self) {
        let next = {
            let mut inner = lock(&self.0);
            inner.busy = false;
            inner.next.take()
        };
        next.into_iter().for_each(Waker::wake);
    }

    /// Nobody waits for the answer any more: what makes it ends now.
    pub fn give_up(&self) {
        let (work, task) = {
            let mut inner = lock(&self.0);
            inner.given_up = true;
            (inner.work.take(), inner.task.take())
        };
        drop(work);
        task.iter().for_each(tokio::task::AbortHandle::abort);
    }
}
