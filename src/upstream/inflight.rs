//! A bound on how many requests a provider has under way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds the requests under way; one that finds no room fails at once with [`CallError::Full`].
///
/// The permit rides in the answer's body: a request is under way until its last byte, not its head.
#[derive(Debug)]
pub struct InFlight(Arc<Semaphore>);

/// Why a call came to nothing.
#[derive(Debug)]
pub enum CallError<E> {
    /// The provider has as many requests under way as it may.
    Full,
    /// The transport failed.
    Transport(E),
}

impl InFlight {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// Makes a call if there is room for it. Its future is made where it stays: one that is handed in takes its room twice.
    ///
    /// # Errors
    /// There is no room, or the call failed.
    pub async fn call<B, E, F>(&self, call: impl FnOnce() -> F) -> Result<Response<Guarded<B>>, CallError<E>>
    where
        F: Future<Output = Result<Response<B>, E>>,
    {
        let permit = Arc::clone(&self.0).try_acquire_owned().map_err(|_| CallError::Full)?;
        let response = call().await.map_err(CallError::Transport)?;
        Ok(response.map(|body| Guarded { body, _permit: permit }))
    }
}

pin_project! {
    /// A body that gives its permit back when it is dropped.
    #[derive(Debug)]
    pub struct Guarded<B> {
        #[pin]
        body: B,
        _permit: OwnedSemaphorePermit,
    }
}

impl<B: Body<Data = Bytes>> Body for Guarded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn the_permit_rides_in_the_body() {
        let answer = || async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("x")))) };
        let bound = InFlight::new(1);
        let first = bound.call(answer).await.unwrap();
        assert!(matches!(bound.call(answer).await, Err(CallError::Full)));
        drop(first);
        assert!(bound.call(answer).await.is_ok());
    }
}
