//! The paths that ask a model: chat, completions, embeddings.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{self, Request},
    response::Response,
};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    base::{deadline::Deadline, id::RequestId},
    edge::{
        body, error, layer::auth::Caller, layer::shed::Place, record::Record, reply, state::State, tags,
        told, wishes,
    },
    keys::VirtualKey,
    limit::{concurrency::Permit, registry::KeyLimits, tokens::TokenReservation},
    openai::{Ask, Endpoint, estimate},
    pipeline::{Asked, Code, Job, Refusal},
    trace::Scope,
    upstream::Timing,
};

/// `POST /v1/chat/completions`.
pub async fn chat(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, known(guest), request, Endpoint::Chat).await
}

/// `POST /v1/completions`.
pub async fn completions(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, known(guest), request, Endpoint::Completions).await
}

/// `POST /v1/embeddings`.
pub async fn embeddings(state: extract::State<State>, guest: Guest, request: Request) -> Response {
    ask(state.0, known(guest), request, Endpoint::Embeddings).await
}

/// What the layers before the handlers found out.
type Guest = (Extension<RequestId>, Extension<Caller>, Extension<Place>);

fn known((Extension(id), Extension(caller), Extension(place)): Guest) -> Known {
    (id, caller, place)
}

/// The request's id, who asks, and a place among the requests under way.
pub type Known = (RequestId, Caller, Place);

/// Asks a model.
pub async fn ask(state: State, (id, caller, place): Known, request: Request, endpoint: Endpoint) -> Response {
    let name = caller.0.as_ref().map(|key| Arc::clone(key.name()));
    let mut record = Record::begin(&state.0.metrics).shown(&state.0.board, name);
    let scope = told::begin(&state.0.tracer, request.headers());
    if let Some(scope) = &scope {
        record.log().record("trace_id", tracing::field::display(scope.trace()));
        record.traced(told::open(scope, &id, caller.0.as_deref(), endpoint));
    }
    let meter = Meter::of(&state, &caller);
    let Admitted { permit, requests } = meter.as_ref().map_or_else(Admitted::freely, Meter::admit);
    let answer = match permit {
        Ok(permit) => {
            record.hold((place, permit));
            let came = Came { id, caller, request, endpoint, scope };
            let asked = asked(&state, came, meter.as_ref(), &mut record).await;
            match asked {
                Ok(asked) => state.0.pipeline.clone().oneshot(asked).await,
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = match answer {
        Ok(answer) => {
            let ping = state.0.snapshot.load().config.server.stream_ping.0;
            reply::answer(answer, ping, &state.0.over, record)
        }
        Err(refusal) => error::reply(&refusal, record),
    };
    let tokens = meter.as_ref().and_then(Meter::tokens);
    reply::rate_headers(response.headers_mut(), requests, tokens);
    response
}

/// A request as it came, with its place in a trace.
struct Came {
    id: RequestId,
    caller: Caller,
    request: Request,
    endpoint: Endpoint,
    scope: Option<Scope>,
}

/// Reads the request.
async fn asked(
    state: &State,
    Came { id, caller, request, endpoint, scope }: Came,
    meter: Option<&Meter>,
    record: &mut Record,
) -> Result<Asked, Box<Refusal>> {
    let begun = Instant::now();
    let snapshot = state.snapshot();
    let server = &snapshot.config.server;
    let wishes = wishes::read(request.headers())?;
    let own = caller.0.as_ref().map(|key| Arc::clone(key.tags())).unwrap_or_default();
    let tags = tags::read(request.headers(), &snapshot.config.auth.client_tags, &own)?;
    let (body, room) = body::read(request, server, &state.0.body_room).await?;
    // The body is needed to the end, to count what an upstream does not.
    record.hold(room);
    let ask = Ask::parse(endpoint, body).map_err(Refusal::bad_field)?;
    record.stream(ask.stream());
    if let Some(open) = record.span() {
        told::asked(open, &ask);
    }
    let tokens = meter.map(|meter| meter.reserve(&ask)).transpose()?.flatten();
    let timing = Timing {
        deadline: Deadline::after(
            begun,
            wishes.timeout.unwrap_or(server.request_timeout.0).min(server.request_timeout.0),
        ),
        by_client: wishes.timeout.is_some(),
        bounds_stream: wishes.timeout.is_some(),
        attempt: wishes.attempt_timeout,
    };
    let key = caller.0;
    let ask = Arc::new(ask);
    let job = Job {
        id,
        ask,
        wishes,
        key,
        tags,
        tokens,
        snapshot: Arc::clone(&snapshot),
        timing,
        cache: "bypass",
        trace: scope,
    };
    Ok(Asked(Box::new(job)))
}

/// What a key's limits say to one more request.
struct Admitted {
    /// Leave to go on, for as long as it is held.
    permit: Result<Option<Permit>, Box<Refusal>>,
    /// Where the limit of requests a minute stands, refused or not.
    requests: Option<reply::RateLimit>,
}

impl Admitted {
    /// Without any limit.
    fn freely() -> Self {
        Self { permit: Ok(None), requests: None }
    }
}

/// A key with what it has used of its limits.
struct Meter {
    key: Arc<VirtualKey>,
    limits: Arc<KeyLimits>,
}

impl Meter {
    fn of(state: &State, Caller(key): &Caller) -> Option<Self> {
        let key = Arc::clone(key.as_ref()?);
        let limits = state.0.limits.for_key(&key, Instant::now());
        Some(Self { key, limits })
    }

    /// Takes one request.
    fn admit(&self) -> Admitted {
        let Self { key, limits } = self;
        let Some(permit) = limits.concurrency.try_acquire() else {
            let message =
                format!("The key `{}` has its {} requests under way.", key.name(), key.max_concurrent());
            return Admitted { permit: Err(over(message, Duration::from_secs(1))), requests: None };
        };
        if key.rpm() == 0 {
            return Admitted { permit: Ok(Some(permit)), requests: None };
        }
        match limits.rpm.try_take(1, Instant::now()) {
            Ok(taken) => {
                Admitted { permit: Ok(Some(permit)), requests: Some(reply::RateLimit::taken(&taken)) }
            }
            Err(wait) => {
                let message = format!("The key `{}` may make {} requests a minute.", key.name(), key.rpm());
                Admitted {
                    permit: Err(over(message, wait.retry_after)),
                    requests: Some(reply::RateLimit::spent(&wait)),
                }
            }
        }
    }

    /// Reserves the tokens that the request may take; none where the key has no such limit.
    fn reserve(&self, ask: &Ask) -> Result<Option<TokenReservation>, Box<Refusal>> {
        let Self { key, limits } = self;
        if key.tpm() == 0 {
            return Ok(None);
        }
        let (now, wanted) = (Instant::now(), estimate::tokens(ask));
        TokenReservation::take(limits, wanted, now).map(Some).map_err(|wait| {
            let message = format!(
                "The key `{}` may take {} tokens a minute, and this request may take {wanted}.",
                key.name(),
                key.tpm()
            );
            // The request itself was counted, so coming back takes leave of both limits.
            over(message, wait.retry_after.max(limits.rpm.ready_in(1, now)))
        })
    }

    /// Where the limit of tokens a minute stands now.
    fn tokens(&self) -> Option<reply::RateLimit> {
        let now = Instant::now();
        (self.key.tpm() > 0).then(|| reply::RateLimit::taken(&self.limits.tpm.peek(now)))
    }
}

fn over(message: String, wait: Duration) -> Box<Refusal> {
    Refusal::new(Code::RateLimitExceeded, message).after(wait).into()
}
