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

/// A place among the requests under way; one that asks a model has it to the end of the answer's body.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit);

/// Takes a place until the answer's head is there, or answers 503 at once.
pub async fn layer(extract::State(state): extract::State<State>, request: Request, next: Next) -> Response {
    match place(&state) {
        Ok(_place) => next.run(request).await,
        Err(refusal) => refuse(&state, &refusal),
    }
}

/// Takes a place.
///
/// # Errors
/// Why there is none.
pub fn place(state: &State) -> Result<Place, Box<Refusal>> {
    if state.is_draining() {
        return Err(full("This gateway is shutting down; another one may answer."));
    }
    let permit = Arc::clone(&state.0.room)
        .try_acquire_owned()
        .map_err(|_| full("This gateway has as many requests under way as it may (server.max_in_flight)."))?;
    Ok(Place(permit))
}

fn full(message: &str) -> Box<Refusal> {
    Refusal::new(Code::Overloaded, message).after(Duration::from_secs(1)).into()
}

/// The answer to a request that has no place, which counts as one.
pub fn refuse(state: &State, refusal: &Refusal) -> Response {
    error::reply(refusal, Record::begin(state).counted())
}
