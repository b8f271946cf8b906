//! The paths that ask a model: chat, completions, embeddings.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{self, Request},
    response::Response,
};
use tokio::time::Instant;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{
    base::{deadline::Deadline, id::RequestId},
    edge::{
        body, error, layer::auth::Caller, layer::shed::Place, record::Record, reply, state::State, wishes,
    },
    limit::concurrency::Permit,
    openai::{Ask, Endpoint},
    pipeline::{Answer, Asked, Code, Job, Refusal},
    upstream::Timing,
};

/// `POST /v1/chat/completions`.
pub async fn chat(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, guest, request, Endpoint::Chat).await
}

/// `POST /v1/completions`.
pub async fn completions(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, guest, request, Endpoint::Completions).await
}

/// `POST /v1/embeddings`.
pub async fn embeddings(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, guest, request, Endpoint::Embeddings).await
}

/// What the layers before the handlers found out.
type Guest = (Extension<RequestId>, Extension<Caller>, Extension<Place>);

async fn ask(state: State, guest: Guest, request: Request, endpoint: Endpoint) -> Response {
    let (Extension(id), Extension(caller), Extension(place)) = guest;
    let span = tracing::info_span!("request", %id);
    async move {
        let mut record = Record::begin(&state.0.metrics);
        let limits = match admit(&state, &caller) {
            Ok(admitted) => admitted,
            Err(refusal) => return error::reply(&refusal, record),
        };
        record.hold((place, limits.permit));
        let answer = answer(&state, caller, request, endpoint, &mut record).await;
        let mut response = match answer {
            Ok(answer) => reply::answer(answer, record),
            Err(refusal) => error::reply(&refusal, record),
        };
        reply::rate_headers(response.headers_mut(), limits.requests);
        response
    }
    .instrument(span)
    .await
}

async fn answer(
    state: &State,
    caller: Caller,
    request: Request,
    endpoint: Endpoint,
    record: &mut Record,
) -> Result<Answer, Box<Refusal>> {
    let begun = Instant::now();
    let snapshot = state.snapshot();
    let server = &snapshot.config.server;
    let wishes = wishes::read(request.headers())?;
    let (body, _room) = body::read(request, server, &state.0.body_room).await?;
    let ask = Ask::parse(endpoint, body).map_err(Refusal::bad_field)?;
    record.stream(ask.stream());
    let timing = Timing {
        deadline: Deadline::after(
            begun,
            wishes.timeout.unwrap_or(server.request_timeout.0).min(server.request_timeout.0),
        ),
        by_client: wishes.timeout.is_some(),
        attempt: wishes.attempt_timeout,
    };
    let job = Box::new(Job { ask, wishes, key: caller.0, snapshot: Arc::clone(&snapshot), timing });
    state.0.pipeline.clone().oneshot(Asked(job)).await
}

/// What a key's limits say to one more request.
struct Admitted {
    permit: Option<Permit>,
    requests: Option<reply::RateLimit>,
}

fn admit(state: &State, Caller(key): &Caller) -> Result<Admitted, Box<Refusal>> {
    let Some(key) = key else {
        return Ok(Admitted { permit: None, requests: None });
    };
    let now = Instant::now();
    let limits = state.0.limits.for_key(key, now);
    let Some(permit) = limits.concurrency.try_acquire() else {
        let message =
            format!("The key `{}` has its {} requests under way.", key.name(), key.max_concurrent());
        return Err(Box::new(
            Refusal::new(Code::RateLimitExceeded, message).after(std::time::Duration::from_secs(1)),
        ));
    };
    if key.rpm() == 0 {
        return Ok(Admitted { permit: Some(permit), requests: None });
    }
    match limits.rpm.try_take(1, now) {
        Ok(taken) => {
            Ok(Admitted { permit: Some(permit), requests: Some(reply::RateLimit::new(key.rpm(), &taken)) })
        }
        Err(wait) => {
            let message = format!("The key `{}` may make {} requests a minute.", key.name(), key.rpm());
            Err(Box::new(Refusal::new(Code::RateLimitExceeded, message).after(wait.retry_after)))
        }
    }
}
