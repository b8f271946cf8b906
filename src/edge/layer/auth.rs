//! Finds out who asks; nobody else gets in.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{self, ConnectInfo, Request},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use crate::{
    config::AuthMode,
    edge::{
        error,
        layer::local::{self, Door},
        record::Record,
        state::State,
    },
    keys::VirtualKey,
    pipeline::{Code, Refusal, Snapshot},
};

/// Who asks: a key's holder, or anybody where no key is needed.
#[derive(Clone, Debug)]
pub struct Caller(pub Option<Arc<VirtualKey>>);

/// Puts a [`Caller`] into the request, or refuses it.
pub async fn layer(
    extract::State(state): extract::State<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&state, &state.snapshot(), peer, Instant::now(), request.uri(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => error::reply(&refusal, Record::begin(&state).counted()),
    }
}

/// Finds out who asks.
///
/// # Errors
/// Why nobody is let in.
pub fn caller(
    state: &State,
    snapshot: &Snapshot,
    peer: SocketAddr,
    now: Instant,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Box<Refusal>> {
    let config = &snapshot.config;
    let only_here = |door| local::check(door, &config.server, peer, uri, headers).map(|()| Caller(None));
    if config.auth.mode == AuthMode::Open {
        // Who lets the whole network in keeps nobody out.
        return if config.auth.allow_open_network { Ok(Caller(None)) } else { only_here(Door::Open) };
    }
    // Keys whose variables are unset still count, and revoked ones: a key that is missing must not open the door.
    if snapshot.has_no_keys() {
        return only_here(Door::Keyless);
    }
    if let Some(wait) = state.0.failures.blocked(peer.ip(), now) {
        let message = "Too many failed authentications from this address.";
        return Err(Refusal::new(Code::RateLimitExceeded, message).after(wait).into());
    }
    match bearer(headers).map(|presented| snapshot.keys.find(presented)) {
        Some(Some(key)) => Ok(Caller(Some(key))),
        Some(None) => {
            state.0.failures.record(peer.ip(), now);
            Err(Refusal::new(Code::InvalidApiKey, "The API key is unknown here.").into())
        }
        None => Err(Refusal::new(
            Code::InvalidApiKey,
            "No API key: send a key of this gateway as `Authorization: Bearer KEY`.",
        )
        .into()),
    }
}

/// The token of the only `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_bearer_token() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer a"]).as_deref(), Some("a"));
        assert_eq!(with(&["bearer  a "]).as_deref(), Some("a"));
        for bad in [&["Basic a"][..], &["Bearer"], &[], &["Bearer a", "Bearer b"]] {
            assert_eq!(with(bad), None, "{bad:?}");
        }
    }
}
