//! Whose request the running task works for, so that what is logged can say so.
//!
//! A span of the log for each request would be made, entered, left, closed, and hardly ever shown. This is a place that a
//! task carries along instead; the log (`cli/log`) makes a span of it when there is a line to write.

use std::{cell::RefCell, future::Future};

use super::id::RequestId;

tokio::task_local! {
    static REQUEST: RefCell<Whose>;
}

/// What is logged of a request with each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Its id.
    pub id: RequestId,
    /// The number of its trace, if it is in one.
    pub trace: Option<u128>,
}

/// What `future` does is done for the request of this id.
pub fn scope<F: Future>(id: RequestId, future: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(RefCell::new(Whose { id, trace: None }), future)
}

/// The request that is worked for now, if it is one.
pub fn current() -> Option<Whose> {
    REQUEST.try_with(|whose| whose.borrow().clone()).ok()
}

/// The request that is worked for now is in this trace.
pub fn traced(trace: u128) {
    // Outside of a request there is nothing to tell.
    let _ = REQUEST.try_with(|whose| whose.borrow_mut().trace = Some(trace));
}

/// Does something for a request that was worked for before, if there was one.
pub fn resume<T>(whose: Option<Whose>, work: impl FnOnce() -> T) -> T {
    match whose {
        Some(whose) => REQUEST.sync_scope(RefCell::new(whose), work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_known_in_its_scope_and_afterwards_where_it_is_kept() {
        assert_eq!(current(), None);
        traced(1);
        let id = RequestId::fresh();
        let kept = scope(id.clone(), async {
            assert_eq!(current().unwrap().trace, None);
            traced(7);
            tokio::task::yield_now().await;
            current()
        });
        let kept = kept.await;
        assert_eq!(kept, Some(Whose { id, trace: Some(7) }));
        assert_eq!(current(), None);
        assert_eq!(resume(kept.clone(), current), kept);
        assert_eq!(resume(None, current), None);
    }
}
