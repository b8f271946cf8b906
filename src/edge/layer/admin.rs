//! Lets only operators in: by the admin token, or where there is none from this machine.

use std::net::SocketAddr;

use axum::{
    extract::{self, ConnectInfo, Request},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use crate::{
    config::SecretSource,
    edge::{
        error,
        layer::{
            auth::bearer,
            local::{self, Door},
        },
        state::State,
    },
    pipeline::{Code, Refusal},
};

/// Refuses whoever is no operator.
pub async fn layer(
    extract::State(state): extract::State<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match check(&state, peer, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => error::refused(&state, &refusal),
    }
}

/// The same for pages without figures, which ask for the token themselves: with a token anybody may read them, without one
/// only this machine.
pub async fn page(
    extract::State(state): extract::State<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let snapshot = state.snapshot();
    let server = &snapshot.config.server;
    let token = server.admin_token.as_ref().map(SecretSource::resolve);
    if matches!(token, None | Some(Ok(None)))
        && let Err(refusal) = local::check(Door::Admin, server, peer, request.uri(), request.headers())
    {
        return error::refused(&state, &refusal);
    }
    next.run(request).await
}

fn check(state: &State, peer: SocketAddr, request: &Request) -> Result<(), Box<Refusal>> {
    let now = Instant::now();
    if let Some(wait) = state.0.failures.blocked(peer.ip(), now) {
        return Err(Refusal::new(Code::RateLimitExceeded, "Too many failed authentications.")
            .after(wait)
            .into());
    }
    let snapshot = state.snapshot();
    let server = &snapshot.config.server;
    let token = match server.admin_token.as_ref().map(SecretSource::resolve).transpose() {
        Ok(token) => token.flatten(),
        Err(problem) => {
            state.0.failures.record(peer.ip(), now);
            tracing::warn!("server.admin_token: {problem}");
            return Err(refused());
        }
    };
    // One that is named and not set is no token.
    let Some(token) = token else {
        return local::check(Door::Admin, server, peer, request.uri(), request.headers());
    };
    match bearer(request.headers()) {
        Some(presented) if token.matches(presented) => Ok(()),
        _ => {
            state.0.failures.record(peer.ip(), now);
            Err(refused())
        }
    }
}

fn refused() -> Box<Refusal> {
    let message = "The admin paths need the admin token as `Authorization: Bearer TOKEN`.";
    Refusal::new(Code::InvalidApiKey, message).into()
}
