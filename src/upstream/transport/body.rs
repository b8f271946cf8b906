//! The body of an answer, which holds its connection until it ends.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{error::TransportError, lease::Lease, pool::Pool};

/// The body of a provider's answer.
///
/// Read to its end it frees its connection for the next request; dropped before, it closes the provider's request
/// at once (HTTP/1.1: the connection, HTTP/2: the stream). A reader that stops at its own end mark, like `[DONE]`,
/// should poll once more for the end, or an HTTP/1.1 connection cannot be used again.
pub struct NetworkBody {
    incoming: Incoming,
    held: Option<(Lease, InFlight)>,
}

impl NetworkBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, in_flight: InFlight) -> Self {
        let mut body = Self { incoming, held: Some((lease, in_flight)) };
        body.finish_if_over();
        body
    }

    fn finish(&mut self) {
        if let Some((lease, _in_flight)) = self.held.take() {
            lease.finish();
        }
    }

    fn finish_if_over(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}

impl Body for NetworkBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.finish_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.held = None;
                Poll::Ready(Some(Err(TransportError::body(&error))))
            }
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for NetworkBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkBody").field("over", &self.held.is_none()).finish_non_exhaustive()
    }
}

/// Counts a request as under way until it is dropped.
pub(super) struct InFlight(Arc<Pool>);

impl InFlight {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        pool.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(pool.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
