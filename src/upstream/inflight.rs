//! A layer that bounds how many requests a provider has under way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

/// Bounds the requests under way; one that finds no room fails at once with [`CallError::Full`].
///
/// The permit rides in the answer's body: a request is under way until its last byte, not its head.
#[derive(Clone, Debug)]
pub struct InFlightLayer(Arc<Semaphore>);

impl InFlightLayer {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight { inner, room: Arc::clone(&self.0) }
    }
}

/// The service made by [`InFlightLayer`].
#[derive(Clone, Debug)]
pub struct InFlight<S> {
    inner: S,
    room: Arc<Semaphore>,
}

impl<S> InFlight<S> {
    /// The service whose requests are bounded.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
pub enum CallError<E> {
    /// The provider has as many requests under way as it may.
    Full,
    /// The transport failed.
    Transport(E),
}

impl<S, R, B> Service<R> for InFlight<S>
where
    S: Service<R, Response = http::Response<B>>,
{
    type Response = http::Response<Guarded<B>>;
    type Error = CallError<S::Error>;
    type Future = InFlightFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(CallError::Transport)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok();
        let inner = permit.is_some().then(|| self.inner.call(request));
        InFlightFuture { inner, permit }
    }
}

pin_project! {
    /// The future of [`InFlight`].
    pub struct InFlightFuture<F> {
        #[pin]
        inner: Option<F>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F, B, E> Future for InFlightFuture<F>
where
    F: Future<Output = Result<http::Response<B>, E>>,
{
    type Output = Result<http::Response<Guarded<B>>, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Err(CallError::Full));
        };
        let permit = this.permit;
        inner.poll(cx).map(|result| {
            result
                .map(|response| response.map(|body| Guarded { body, _permit: permit.take() }))
                .map_err(CallError::Transport)
        })
    }
}

pin_project! {
    /// A body that gives its permit back when it is dropped.
    #[derive(Debug)]
    pub struct Guarded<B> {
        #[pin]
        body: B,
        _permit: Option<OwnedSemaphorePermit>,
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
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn the_permit_rides_in_the_body() {
        let answer = |(): ()| async { Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from("x")))) };
        let service = InFlightLayer::new(1).layer(service_fn(answer));
        let first = service.clone().oneshot(()).await.unwrap();
        assert!(matches!(service.clone().oneshot(()).await, Err(CallError::Full)));
        drop(first);
        assert!(service.oneshot(()).await.is_ok());
    }
}
