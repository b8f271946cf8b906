//! The paths that ask a model: chat, completions, embeddings.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, Uri},
    response::Response,
};
use tokio::time::Instant;
use tower::Service as _;

use crate::{
    base::{deadline::Deadline, id::RequestId, whose},
    edge::{
        body::{self, Inbound},
        error,
        layer::auth::Caller,
        layer::shed::Place,
        record::Record,
        reply,
        state::State,
        tags, told, wishes,
    },
    keys::VirtualKey,
    limit::{concurrency::Permit, registry::KeyLimits, tokens::TokenReservation},
    openai::{Ask, Endpoint, estimate},
    pipeline::{Asked, Code, Job, Refusal, Snapshot},
    trace::Scope,
    upstream::Timing,
};

/// What the router has for these paths, to say which method they take. [`Front`](crate::edge::Front) serves them before it.
pub async fn elsewhere(uri: Uri) -> Response {
    error::not_found(uri.path())
}

/// What is known of a request before it is read.
pub struct Known<'a> {
    /// Its id.
    pub id: &'a RequestId,
    /// When it began.
    pub begun: Instant,
    /// The configuration that it sees.
    pub snapshot: Arc<Snapshot>,
    /// Who asks.
    pub caller: Caller,
    /// Its place among the requests under way.
    pub place: Place,
}

/// Asks a model.
pub async fn ask(
    state: &State,
    known: Known<'_>,
    headers: &HeaderMap,
    body: Inbound,
    endpoint: Endpoint,
) -> Response {
    let Known { id, begun, snapshot, caller, place } = known;
    let key = caller.0.as_ref();
    let scope = told::begin(&state.0.tracer, headers);
    if let Some(scope) = &scope {
        whose::traced(scope.trace().number());
    }
    let mut record = Record::since(state, begun).shown(key.map(|key| Arc::clone(key.name())));
    if let Some(scope) = &scope {
        record.traced(told::open(scope, id, key.map(|key| &**key), endpoint));
    }
    let meter = key.map(|key| Meter::of(state, key, begun));
    let Admitted { permit, requests } =
        meter.as_ref().map_or_else(Admitted::freely, |meter| meter.admit(begun));
    let ping = snapshot.config.server.stream_ping.0;
    let answer = match permit {
        Ok(permit) => {
            record.admitted(place, permit);
            let came = Came { id, begun, snapshot, caller, headers, body, endpoint, scope };
            let asked = pin!(asked(state, came, meter.as_ref(), &mut record)).await;
            match asked {
                // Every step of it is always ready.
                Ok(asked) => state.0.pipeline.clone().call(asked).await,
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let now = Instant::now();
    let mut response = match answer {
        Ok(answer) => reply::answer(answer, now, ping, &state.0.over, record),
        Err(refusal) => error::reply(&refusal, record),
    };
    let tokens = meter.as_ref().and_then(|meter| meter.tokens(now));
    reply::rate_headers(response.headers_mut(), requests, tokens);
    response
}

/// A request as it came, with its place in a trace.
struct Came<'a> {
    id: &'a RequestId,
    begun: Instant,
    snapshot: Arc<Snapshot>,
    caller: Caller,
    headers: &'a HeaderMap,
    body: Inbound,
    endpoint: Endpoint,
    scope: Option<Scope>,
}

/// Reads the request.
async fn asked(
    state: &State,
    Came { id, begun, snapshot, caller, headers, body, endpoint, scope }: Came<'_>,
    meter: Option<&Meter>,
    record: &mut Record,
) -> Result<Asked, Box<Refusal>> {
    let server = &snapshot.config.server;
    let wishes = wishes::read(headers)?;
    let own = caller.0.as_ref().map_or_else(|| tags::none(), |key| key.tags());
    let tags = tags::read(headers, &snapshot.config.auth.client_tags, own)?;
    let (body, room) = body::read(headers, body, server, &state.0.body_room).await?;
    // The body is needed to the end, to count what an upstream does not.
    record.came(room);
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
    let (key, ask) = (caller.0, Arc::new(ask));
    let job = Job {
        id: id.clone(),
        ask,
        wishes,
        key,
        tags,
        tokens,
        snapshot,
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
    fn of(state: &State, key: &Arc<VirtualKey>, now: Instant) -> Self {
        Self { key: Arc::clone(key), limits: state.0.limits.for_key(key, now) }
    }

    /// Takes one request.
    fn admit(&self, now: Instant) -> Admitted {
        let Self { key, limits } = self;
        let Some(permit) = limits.concurrency.try_acquire() else {
            let message =
                format!("The key `{}` has its {} requests under way.", key.name(), key.max_concurrent());
            return Admitted { permit: Err(over(message, Duration::from_secs(1))), requests: None };
        };
        if key.rpm() == 0 {
            return Admitted { permit: Ok(Some(permit)), requests: None };
        }
        match limits.rpm.try_take(1, now) {
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
    fn tokens(&self, now: Instant) -> Option<reply::RateLimit> {
        (self.key.tpm() > 0).then(|| reply::RateLimit::taken(&self.limits.tpm.peek(now)))
    }
}

fn over(message: String, wait: Duration) -> Box<Refusal> {
    Refusal::new(Code::RateLimitExceeded, message).after(wait).into()
}
