//! The paths that ask a model: chat, completions, embeddings.

use std::{sync::Arc, time::Duration};

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
        let Admitted { permit, requests } = admit(&state, &caller);
        let answer = match permit {
            Ok(permit) => {
                record.hold((place, permit));
                answer(&state, caller, request, endpoint, &mut record).await
            }
            Err(refusal) => Err(refusal),
        };
        let mut response = match answer {
            Ok(answer) => reply::answer(answer, record),
            Err(refusal) => error::reply(&refusal, record),
        };
        reply::rate_headers(response.headers_mut(), requests);
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
    /// Leave to go on, for as long as it is held.
    permit: Result<Option<Permit>, Box<Refusal>>,
    /// Where the limit of requests a minute stands, refused or not.
    requests: Option<reply::RateLimit>,
}

fn admit(state: &State, Caller(key): &Caller) -> Admitted {
    let Some(key) = key else {
        return Admitted { permit: Ok(None), requests: None };
    };
    let refuse = |message: String, wait: Duration| {
        Err(Box::new(Refusal::new(Code::RateLimitExceeded, message).after(wait)))
    };
    let now = Instant::now();
    let limits = state.0.limits.for_key(key, now);
    let Some(permit) = limits.concurrency.try_acquire() else {
        let message =
            format!("The key `{}` has its {} requests under way.", key.name(), key.max_concurrent());
        return Admitted { permit: refuse(message, Duration::from_secs(1)), requests: None };
    };
    if key.rpm() == 0 {
        return Admitted { permit: Ok(Some(permit)), requests: None };
    }
    match limits.rpm.try_take(1, now) {
        Ok(taken) => Admitted { permit: Ok(Some(permit)), requests: Some(reply::RateLimit::taken(&taken)) },
        Err(wait) => {
            let message = format!("The key `{}` may make {} requests a minute.", key.name(), key.rpm());
            Admitted {
                permit: refuse(message, wait.retry_after),
                requests: Some(reply::RateLimit::spent(&wait)),
            }
        }
    }
}
