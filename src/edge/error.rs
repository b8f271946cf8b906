//! Turns a refusal into HTTP; the only place that knows which status each has.

use std::{any::Any, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use tokio::time::Instant;

use crate::{
    base::outcome::Outcome,
    openai::error::{AttemptNote, ErrorBody},
    pipeline::{Code, Refusal},
    route::Target,
};

use super::{record::Record, reply, state::State};

/// Status and type of each refusal: section 4 of the contract.
fn row(code: Code) -> (StatusCode, &'static str) {
    const INVALID: &str = "invalid_request_error";
    const UPSTREAM: &str = "upstream_error";
    const QUOTA: &str = "insufficient_quota";
    const RATE: &str = "rate_limit_error";
    const OVERLOADED: &str = "overloaded_error";
    match code {
        Code::InvalidRequest | Code::UnsupportedParameter | Code::InvalidHeader | Code::ModelUnpriced => {
            (StatusCode::BAD_REQUEST, INVALID)
        }
        Code::InvalidApiKey => (StatusCode::UNAUTHORIZED, INVALID),
        Code::RouteNotAllowed => (StatusCode::FORBIDDEN, "permission_error"),
        Code::ModelNotFound | Code::NotFound => (StatusCode::NOT_FOUND, INVALID),
        Code::Conflict => (StatusCode::CONFLICT, INVALID),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, INVALID),
        Code::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, INVALID),
        Code::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, INVALID),
        Code::IdempotencyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, INVALID),
        Code::RateLimitExceeded | Code::UpstreamRateLimited => (StatusCode::TOO_MANY_REQUESTS, RATE),
        Code::BudgetExceeded | Code::QuotaExceeded => (StatusCode::TOO_MANY_REQUESTS, QUOTA),
        Code::CacheMiss => (StatusCode::GATEWAY_TIMEOUT, INVALID),
        Code::UpstreamInvalidResponse | Code::UpstreamStreamBroken | Code::UpstreamCredentialsRejected => {
            (StatusCode::BAD_GATEWAY, UPSTREAM)
        }
        Code::UpstreamUnavailable => (StatusCode::SERVICE_UNAVAILABLE, UPSTREAM),
        Code::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, UPSTREAM),
        Code::Overloaded | Code::LedgerUnavailable => (StatusCode::SERVICE_UNAVAILABLE, OVERLOADED),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
        Code::Passed(status) => (status, INVALID),
    }
}

/// The refusal of a request that has a record.
pub fn reply(refusal: &Refusal, mut record: Record) -> Response<Body> {
    let mut response = plain(refusal);
    record.refused(refusal.code.as_str());
    let overhead =
        record.answered(Instant::now(), response.status().as_u16(), refusal.facts.clone().map(Box::new));
    reply::overhead_header(response.headers_mut(), overhead);
    response
}

/// A refusal before a request had a record: it is counted here.
pub fn refused(state: &State, refusal: &Refusal) -> Response<Body> {
    reply(refusal, Record::begin(state))
}

/// A refusal that is not counted among the requests to models.
pub fn plain(refusal: &Refusal) -> Response<Body> {
    let (status, kind) = row(refusal.code);
    let code = refusal.code.as_str();
    let ours = ErrorBody { param: refusal.param.clone(), ..ErrorBody::new(kind, code, &refusal.message) };
    let error = match &refusal.passed {
        Some(passed) => ErrorBody {
            kind: passed.kind.clone().or(ours.kind),
            code: passed.code.clone().or(ours.code),
            ..passed.clone()
        },
        None => ours,
    };
    let mut response = Response::new(Body::from(error.to_json(&attempts(refusal))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(facts) = &refusal.facts {
        reply::fact_headers(headers, facts);
    }
    if let Some(wait) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, seconds(wait).into());
    }
    if !worth_a_retry(refusal) {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    response
}

/// Every target that was passed over, then every try.
fn attempts(refusal: &Refusal) -> Vec<AttemptNote> {
    let note = |target: &Target, outcome, ms| AttemptNote {
        model: target.name.to_string(),
        provider: target.provider.to_string(),
        outcome,
        ms,
        lacks: None,
    };
    let skipped = refusal.skipped.iter().map(|(target, missing)| AttemptNote {
        lacks: Some(missing.as_str().to_owned()),
        ..note(target, Outcome::Skipped, 0)
    });
    let tried =
        refusal.tried.iter().map(|tried| note(&tried.target, tried.outcome, tried.took.as_millis() as u64));
    skipped.chain(tried).collect()
}

/// Whole seconds, rounded up, at least one: earlier would be too early.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Whether the client's own retry can help: not where the request is at fault, and not where all tries are spent.
fn worth_a_retry(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        Code::RateLimitExceeded
            | Code::Overloaded
            | Code::RequestTimeout
            | Code::LedgerUnavailable
            // A stream that broke is not made up for by another target.
            | Code::UpstreamStreamBroken
    )
}

/// No such path.
pub fn not_found(path: &str) -> Response<Body> {
    let shown: String = path.chars().take(100).collect();
    plain(&Refusal::new(Code::NotFound, format!("There is nothing at `{shown}`; the API is at /v1.")))
}

/// The path does not take this method.
pub fn method_not_allowed(method: &Method) -> Response<Body> {
    let shown: String = method.as_str().chars().take(20).collect();
    plain(&Refusal::new(Code::MethodNotAllowed, format!("This path does not take {shown}.")))
}

/// A panic was caught; its message may hold anything, so it is neither shown nor logged.
pub fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    tracing::error!("a handler panicked; please report this");
    plain(&Refusal::new(Code::Internal, "The gateway failed at this request. This is a fault of Weir's."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(7)), 7);
        assert_eq!(seconds(Duration::from_millis(7001)), 8);
    }

    #[test]
    fn a_refusal_says_whether_to_retry() {
        let header = |code| {
            let response = plain(&Refusal::new(code, "x"));
            response.headers().get("x-should-retry").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(Code::InvalidRequest).as_deref(), Some("false"));
        assert_eq!(header(Code::UpstreamUnavailable).as_deref(), Some("false"));
        assert_eq!(header(Code::RateLimitExceeded), None);
    }
}
