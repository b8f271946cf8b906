//! `/admin/live`: what happens, as events, for as long as somebody looks.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract,
    http::{HeaderName, HeaderValue, Response, header},
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{
    config::Config,
    edge::{error, state::State},
    pipeline::{Code, Refusal},
};

use super::moment;

/// When it is worth asking again.
const RETRY: Duration = Duration::from_secs(5);

/// `GET /admin/live`: server-sent events. First `hour`, the last hour with the last requests, then `moment` at once, later
/// each second. It ends when the gateway drains, and when its configuration changes: who looks then asks anew.
pub async fn live(extract::State(state): extract::State<State>) -> Response<Body> {
    let board = &state.0.board;
    let Some(place) = board.place().filter(|_| !state.is_draining()) else {
        let message = "As many dashboards are open as may be, or the gateway is shutting down.";
        return error::plain(&Refusal::new(Code::Overloaded, message).after(RETRY));
    };
    let moments = board.moments();
    let first = [moment::event("hour", &board.all()), moment::event("moment", &moment::now(&state))].concat();
    let config = Arc::clone(&state.snapshot().config);
    let look = Look { first: Some(first.into()), moments, state, config, _place: place };
    let body = Body::from_stream(stream::unfold(look, async |mut look| Some((look.next().await?, look))));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Somebody who looks.
struct Look {
    first: Option<Bytes>,
    moments: watch::Receiver<Bytes>,
    state: State,
    /// The configuration that let them in.
    config: Arc<Config>,
    _place: OwnedSemaphorePermit,
}

impl Look {
    async fn next(&mut self) -> Option<Result<Bytes, Infallible>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        tokio::select! {
            biased;
            () = self.state.0.board.closed.cancelled() => None,
            changed = self.moments.changed() => {
                changed.ok()?;
                // The token may be another one now.
                let same = Arc::ptr_eq(&self.config, &self.state.snapshot().config);
                same.then(|| Ok(self.moments.borrow_and_update().clone()))
            }
        }
    }
}
