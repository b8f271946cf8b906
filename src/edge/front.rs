//! The short way to the paths that ask a model: the same guards as the table's, without a router between them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    task::{Context, Poll},
};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
    http::{Method, Request, Response, request::Parts},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use crate::{
    base::{boxed::boxed, id::RequestId, whose},
    openai::Endpoint,
};

use super::{
    body::Inbound,
    error, handler,
    layer::{auth, identify, shed},
    state::State,
};

type Answering = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// Everything that is served. What the router does for any path (a box for each layer, a copy of each for each request)
/// costs as much as the answer of a model itself, so requests to models pass it by.
#[derive(Clone)]
pub struct Front {
    state: State,
    /// The paths that ask a model, where they are served.
    asks: &'static [(&'static str, Endpoint)],
    router: Router,
}

/// What serves one client's connection.
#[derive(Clone)]
pub struct Desk {
    front: Front,
    peer: SocketAddr,
}

impl Front {
    pub(super) fn new(state: &State, asks: &'static [(&'static str, Endpoint)], router: Router) -> Self {
        Self { state: state.clone(), asks, router }
    }

    /// What serves the connection of this client.
    pub fn desk(&self, peer: SocketAddr) -> Desk {
        Desk { front: self.clone(), peer }
    }

    fn asked<B>(&self, request: &Request<B>) -> Option<Endpoint> {
        let path = request.uri().path();
        let (_, endpoint) = self.asks.iter().find(|(served, _)| *served == path)?;
        (request.method() == Method::POST).then_some(*endpoint)
    }

    fn ask(&self, peer: SocketAddr, request: Request<Inbound>, endpoint: Endpoint) -> Answering {
        let (state, (head, body)) = (self.state.clone(), request.into_parts());
        boxed(|| async move { ask(&state, peer, &head, body, endpoint).await })
    }

    fn route(&self, request: Request<Body>) -> Answering {
        Box::pin(self.router.clone().oneshot(request))
    }
}

impl hyper::service::Service<Request<Incoming>> for Desk {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        match self.front.asked(&request) {
            Some(endpoint) => self.front.ask(self.peer, request.map(Inbound::Wire), endpoint),
            None => {
                request.extensions_mut().insert(ConnectInfo(self.peer));
                self.front.route(request.map(Body::new))
            }
        }
    }
}

/// Serves whoever stands in the request's extensions, as `ConnectInfo<SocketAddr>`.
impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let peer = request.extensions().get().map(|ConnectInfo(peer)| *peer);
        let request = request.map(Body::new);
        match (peer, self.asked(&request)) {
            (Some(peer), Some(endpoint)) => self.ask(peer, request.map(Inbound::Other), endpoint),
            _ => self.route(request),
        }
    }
}

async fn ask(
    state: &State,
    peer: SocketAddr,
    head: &Parts,
    body: Inbound,
    endpoint: Endpoint,
) -> Result<Response<Body>, Infallible> {
    let id = identify::name(&head.headers);
    // Boxed where it is made: handed on as it is, it would be copied each time. The scope owns it, so that what is left
    // behind by a client that leaves is logged as its own.
    let answer = boxed(|| guarded(state, &id, peer, head, body, endpoint));
    let answer = whose::scope(id.clone(), answer);
    // What a panic leaves behind is shared by no other request, but for counters and locks that bear it.
    let mut response = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(error::panicked);
    identify::tell(&id, &mut response);
    Ok(response)
}

/// First whether there is room, then who it is.
async fn guarded(
    state: &State,
    id: &RequestId,
    peer: SocketAddr,
    head: &Parts,
    body: Inbound,
    endpoint: Endpoint,
) -> Response<Body> {
    let place = match shed::place(state) {
        Ok(place) => place,
        Err(refusal) => return shed::refuse(state, &refusal),
    };
    let (begun, snapshot) = (Instant::now(), state.snapshot());
    match auth::caller(state, &snapshot, peer, begun, &head.uri, &head.headers) {
        Ok(caller) => {
            let known = handler::ask::Known { id, begun, snapshot, caller, place };
            pin!(handler::ask::ask(state, known, &head.headers, body, endpoint)).await
        }
        Err(refusal) => shed::refuse(state, &refusal),
    }
}
