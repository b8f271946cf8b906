//! Tells many at once: one task is woken for all who wait for the same commit.
//!
//! To wake a task from outside of its runtime may cost a system call, from inside it costs next to nothing.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::runtime::Handle;

use super::{Unavailable, ack::Waiter};

/// What one who waits is told.
type News = (Waiter, Result<(), Unavailable>);

/// Tells those who wait. What it does not come to tell is told by [`Herald::look_after`].
#[derive(Debug, Default)]
pub(super) struct Herald {
    state: Mutex<State>,
    /// Whether its task is there, for a quick look.
    here: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    here: bool,
    /// Whether nothing will be told any more.
    over: bool,
    news: Vec<News>,
    waker: Option<Waker>,
}

/// The task's own; dropped when it ends, also with its runtime.
struct Task(Arc<Herald>);

impl Drop for Task {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.here = false;
        state.waker = None;
        let left = mem::take(&mut state.news);
        drop(state);
        self.0.here.store(false, Ordering::Release);
        say(left);
    }
}

impl Herald {
    /// Begins the task in the runtime that this is called in, where there is none yet.
    pub(super) fn appoint(self: &Arc<Self>) {
        if self.here.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        if state.here || state.over {
            return;
        }
        state.here = true;
        drop(state);
        self.here.store(true, Ordering::Release);
        let task = Task(self.clone());
        runtime.spawn(poll_fn(move |cx| task.0.poll(cx)));
    }

    /// Tells them, sooner or later: one alone at once.
    pub(super) fn tell(&self, waiters: Vec<Waiter>, result: Result<(), Unavailable>) {
        let news = waiters.into_iter().map(|waiter| (waiter, result));
        let mut state = self.lock();
        if news.len() < 2 || !state.here {
            drop(state);
            return say(news);
        }
        state.news.extend(news);
        let waker = state.waker.take();
        drop(state);
        // Without one it is about to look.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells what the task has not told yet: its runtime may have stopped.
    pub(super) fn look_after(&self) {
        let news = mem::take(&mut self.lock().news);
        say(news);
    }

    /// Ends the task; those who come later are told at once.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        let (news, waker) = (mem::take(&mut state.news), state.waker.take());
        drop(state);
        say(news);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        loop {
            let mut state = self.lock();
            let news = mem::take(&mut state.news);
            if news.is_empty() {
                if state.over {
                    return Poll::Ready(());
                }
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            say(news);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say(news: impl IntoIterator<Item = News>) {
    for (waiter, result) in news {
        // Whoever does not wait any more need not know.
        let _ = waiter.send(result);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Ack, *};

    fn three() -> (Vec<Waiter>, Vec<Ack>) {
        (0..3).map(|_| Ack::pair()).unzip()
    }

    #[tokio::test]
    async fn its_task_tells_many() {
        let herald = Arc::new(Herald::default());
        herald.appoint();
        for result in [Ok(()), Err(Unavailable)] {
            let (waiters, acks) = three();
            herald.tell(waiters, result);
            for ack in acks {
                assert_eq!(ack.await, result);
            }
        }
    }

    #[test]
    fn nobody_waits_for_a_runtime_that_stopped() {
        let herald = Arc::new(Herald::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { herald.appoint() });
        let (waiters, acks) = three();
        herald.tell(waiters, Ok(()));
        herald.look_after();
        assert!(acks.into_iter().all(|ack| ack.wait().is_ok()), "it is not driven any more");
        let (waiters, acks) = three();
        herald.tell(waiters, Ok(()));
        drop(runtime);
        assert!(acks.into_iter().all(|ack| ack.wait().is_ok()), "it is gone");
        let (waiters, acks) = three();
        herald.tell(waiters, Ok(()));
        assert!(acks.into_iter().all(|ack| ack.wait().is_ok()), "there is none");
    }

    #[tokio::test]
    async fn without_a_writer_there_is_no_task() {
        let herald = Arc::new(Herald::default());
        herald.appoint();
        herald.end();
        while Arc::strong_count(&herald) > 1 {
            tokio::task::yield_now().await;
        }
        herald.appoint();
        assert_eq!(Arc::strong_count(&herald), 1);
    }
}
