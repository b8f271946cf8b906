//! `/healthz`: the process is alive. `/readyz`: it can answer.

use axum::{extract, http::StatusCode};

use crate::edge::state::State;

/// Alive.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Ready: some provider is on, the ledger can record, and the gateway is not shutting down.
pub async fn ready(extract::State(state): extract::State<State>) -> (StatusCode, &'static str) {
    if state.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if state.0.till.ledger.check().is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot record\n");
    }
    match state.snapshot().book.targets().any(|target| state.snapshot().fleet.is_on(&target.provider)) {
        true => (StatusCode::OK, "ready\n"),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "no target: every provider is off or none is configured\n")
        }
    }
}
