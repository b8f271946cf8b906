//! The short way to the paths that ask a model: the same guards as the table's, without a router between them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
    http::{Method, Request, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use crate::{base::id::RequestId, openai::Endpoint};

use super::{
    error, handler,
    layer::{auth, identify, shed},
    state::State,
};

/// Everything that is served. What the router does for any path (a box for each layer, a copy of each for each request)
/// costs as much as the answer of a model itself, so requests to models pass it by.
#[derive(Clone)]
pub struct Front {
    state: State,
    /// The paths that ask a model, where they are served.
    asks: &'static [(&'static str, Endpoint)],
    router: Router,
}

impl Front {
    pub(super) fn new(state: &State, asks: &'static [(&'static str, Endpoint)], router: Router) -> Self {
        Self { state: state.clone(), asks, router }
    }

    fn asked<B>(&self, request: &Request<B>) -> Option<(SocketAddr, Endpoint)> {
        let path = request.uri().path();
        let (_, endpoint) = self.asks.iter().find(|(served, _)| *served == path)?;
        let ConnectInfo(peer) = request.extensions().get()?;
        (request.method() == Method::POST).then_some((*peer, *endpoint))
    }
}

impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asked = self.asked(&request);
        let request = request.map(Body::new);
        match asked {
            Some((peer, endpoint)) => Box::pin(ask(self.state.clone(), peer, request, endpoint)),
            None => Box::pin(self.router.clone().oneshot(request)),
        }
    }
}

async fn ask(
    state: State,
    peer: SocketAddr,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Result<Response<Body>, Infallible> {
    let id = identify::name(request.headers());
    let span = identify::span(&id);
    // What a panic leaves behind is shared by no other request, but for counters and locks that bear it.
    let answer = AssertUnwindSafe(guarded(state, id.clone(), peer, request, endpoint).instrument(span));
    let mut response = answer.catch_unwind().await.unwrap_or_else(error::panicked);
    identify::tell(&id, &mut response);
    Ok(response)
}

/// First whether there is room, then who it is.
async fn guarded(
    state: State,
    id: RequestId,
    peer: SocketAddr,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response<Body> {
    let place = match shed::place(&state) {
        Ok(place) => place,
        Err(refusal) => return shed::refuse(&state, &refusal),
    };
    match auth::caller(&state, &state.snapshot(), peer, request.uri(), request.headers()) {
        Ok(caller) => handler::ask::ask(state, (id, caller, place), request, endpoint).await,
        Err(refusal) => shed::refuse(&state, &refusal),
    }
}
