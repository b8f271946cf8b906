//! Lets only operators in: by the admin token, or where there is none by a loopback address.

use std::net::SocketAddr;

use axum::{
    extract::{self, ConnectInfo, Request},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use crate::{
    config::SecretSource,
    edge::{error, layer::auth::bearer, state::State},
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
        Err(refusal) => error::refused(&state.0.metrics, &refusal),
    }
}

fn check(state: &State, peer: SocketAddr, request: &Request) -> Result<(), Box<Refusal>> {
    let now = Instant::now();
    if let Some(wait) = state.0.failures.blocked(peer.ip(), now) {
        return Err(Refusal::new(Code::RateLimitExceeded, "Too many failed authentications.")
            .after(wait)
            .into());
    }
    let snapshot = state.snapshot();
    let Some(source) = &snapshot.config.server.admin_token else {
        return match peer.ip().to_canonical().is_loopback() {
            // Any page that a browser on this machine shows could send this.
            true if is_cross_site(request) => Err(Refusal::new(
                Code::InvalidApiKey,
                "Without `server.admin_token` the admin paths take nothing from other web sites.",
            )
            .into()),
            true => Ok(()),
            false => Err(Refusal::new(
                Code::InvalidApiKey,
                "Without `server.admin_token` the admin paths answer only to loopback addresses.",
            )
            .into()),
        };
    };
    let token = SecretSource::resolve(source).ok().flatten();
    match (token, bearer(request.headers())) {
        (Some(token), Some(presented)) if token.matches(presented) => Ok(()),
        _ => {
            state.0.failures.record(peer.ip(), now);
            let message = "The admin paths need the admin token as `Authorization: Bearer TOKEN`.";
            Err(Refusal::new(Code::InvalidApiKey, message).into())
        }
    }
}

/// Whether a browser says that another site's page sends this. Other clients send no such header.
fn is_cross_site(request: &Request) -> bool {
    request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}
