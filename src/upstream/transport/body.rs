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

use super::{error::TransportError, extent::Extent, lease::Lease, pool::Pool};

/// The body of a provider's answer.
///
/// Read to its end it frees its connection for the next request; dropped before, it closes the provider's request
/// at once (HTTP/1.1: the connection, HTTP/2: the stream). A reader that stops at its own end mark, like `[DONE]`,
/// should poll once more for the end, or an HTTP/1.1 connection cannot be used again.
pub struct NetworkBody {
    coming: Coming,
    held: Option<(Lease, InFlight)>,
}

/// Where a body comes from.
pub(super) enum Coming {
    /// An HTTP/1.1 connection, which is in the lease.
    One(Extent),
    /// A stream of an HTTP/2 connection.
    Two(Incoming),
}

impl NetworkBody {
    pub(super) fn new(coming: Coming, lease: Lease, in_flight: InFlight) -> Self {
        let mut body = Self { coming, held: Some((lease, in_flight)) };
        body.finish_if_over();
        body
    }

    fn finish(&mut self) {
        if let Some((lease, _in_flight)) = self.held.take() {
            lease.finish();
        }
    }

    fn finish_if_over(&mut self) {
        if self.is_end_stream() {
            self.finish();
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match &mut self.coming {
            Coming::One(extent) => {
                let Some(one) = self.held.as_mut().and_then(|(lease, _)| lease.one()) else {
                    return Poll::Ready(None);
                };
                let data = ready!(one.poll_body(extent, cx));
                Poll::Ready(
                    data.map(|data| {
                        data.map(Frame::data).map_err(|error| TransportError::body_of_one(&error))
                    }),
                )
            }
            Coming::Two(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| TransportError::body(&error))))
            }
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
        let frame = ready!(self.poll_data(cx));
        match &frame {
            Some(Ok(_)) => self.finish_if_over(),
            Some(Err(_)) => self.held = None,
            None => self.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.coming {
            Coming::One(extent) => extent.is_over(),
            Coming::Two(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.coming {
            Coming::One(extent) => extent.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Coming::Two(incoming) => incoming.size_hint(),
        }
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
