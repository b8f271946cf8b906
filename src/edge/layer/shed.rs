//! Turns requests away when the gateway is full or draining.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{self, Request},
    middleware::Next,
    response::Response,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    edge::{error, record::Record, state::State},
    pipeline::{Code, Refusal},
};

/// A place among the requests under way; it rides to the end of the answer's body.
#[derive(Clone, Debug)]
pub struct Place(#[expect(dead_code, reason = "held, never read")] Arc<OwnedSemaphorePermit>);

/// Takes a place, or answers 503 at once.
pub async fn layer(
    extract::State(state): extract::State<State>,
    mut request: Request,
    next: Next,
) -> Response {
    if state.is_draining() {
        return refuse(&state, "This gateway is shutting down; another one may answer.");
    }
    let Ok(permit) = Arc::clone(&state.0.room).try_acquire_owned() else {
        return refuse(
            &state,
            "This gateway has as many requests under way as it may (server.max_in_flight).",
        );
    };
    request.extensions_mut().insert(Place(Arc::new(permit)));
    next.run(request).await
}

fn refuse(state: &State, message: &str) -> Response {
    let refusal = Refusal::new(Code::Overloaded, message).after(Duration::from_secs(1));
    error::reply(&refusal, Record::begin(&state.0.metrics).shown(&state.0.board, None))
}
