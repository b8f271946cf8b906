//! What goes wrong in an answer of Anthropic's API.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::super::{Failure, failure};
use crate::{
    base::outcome::Outcome,
    openai::{ErrorBody, foreign_error},
};

/// The longest that a reset is believed to be away.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// The limits that headers tell of, by the part of their names.
const LIMITS: &[&str] = &["requests", "tokens", "input-tokens", "output-tokens"];

/// Reads an answer without success. `now` is what dates are counted from.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
    let mut failure = failure::read(status, headers, body, now);
    if failure.outcome == Outcome::ServerError && is_overload(&failure.error) {
        failure.outcome = Outcome::RateLimited;
    }
    if status == StatusCode::TOO_MANY_REQUESTS && failure.retry_after.is_none() {
        failure.retry_after = reset(headers, now);
    }
    failure
}

/// An error that was told under a success status.
pub fn reported(body: &[u8]) -> Failure {
    let error = foreign_error::parse_upstream(body);
    let outcome = if is_overload(&error) { Outcome::RateLimited } else { Outcome::ErrorEvent };
    Failure::new(outcome, error)
}

/// A part of an answer that cannot be read. What it says is not told: it may be a prompt's text.
pub fn unreadable(what: &str, error: &serde_json::Error) -> Failure {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "it is not what the API defines",
        _ => "it is no JSON",
    };
    Failure::invalid(format!("The provider's {what} cannot be read: {kind}."))
}

fn is_overload(error: &ErrorBody) -> bool {
    matches!(error.kind.as_deref(), Some("overloaded_error" | "rate_limit_error"))
}

/// When the limits that are used up are full again; if none says so, when the first one is.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |limit: &str, what: &str| {
        headers.get(format!("anthropic-ratelimit-{limit}-{what}"))?.to_str().ok().map(str::trim)
    };
    let delays = LIMITS.iter().filter_map(|limit| {
        let at = humantime::parse_rfc3339(text(limit, "reset")?).ok()?;
        let delay = at.duration_since(now).unwrap_or_default().min(MAX_DELAY);
        Some((text(limit, "remaining") == Some("0"), delay))
    });
    let delays: Vec<_> = delays.collect();
    let spent = delays.iter().filter(|(spent, _)| *spent).map(|(_, delay)| *delay).max();
    spent.or_else(|| delays.iter().map(|(_, delay)| *delay).min())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn failure(status: u16, headers: &[(&'static str, &'static str)], kind: &str, message: &str) -> Failure {
        let body = serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let now = humantime::parse_rfc3339("2026-08-19T14:34:00Z").unwrap();
        read(StatusCode::from_u16(status).unwrap(), &headers, body.to_string().as_bytes(), now)
    }

    #[test]
    fn every_error_has_its_class() {
        use Outcome::*;
        for (status, kind, message, expected) in [
            (401, "authentication_error", "invalid x-api-key", CredentialRejected),
            (403, "permission_error", "no", Forbidden),
            (404, "not_found_error", "model: claude-sonet-4-5", ModelUnknown),
            (413, "request_too_large", "Request exceeds the maximum size", Rejected),
            (400, "invalid_request_error", "max_tokens: Field required", Rejected),
            (
                400,
                "invalid_request_error",
                "prompt is too long: 210000 tokens > 200000 maximum",
                ContextTooLong,
            ),
            (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API.",
                QuotaExhausted,
            ),
            (402, "billing_error", "no", QuotaExhausted),
            (429, "rate_limit_error", "slower", RateLimited),
            (500, "api_error", "no", ServerError),
            (500, "overloaded_error", "Overloaded", RateLimited),
            (504, "timeout_error", "no", ServerError),
            (529, "overloaded_error", "Overloaded", RateLimited),
        ] {
            let failure = failure(status, &[], kind, message);
            assert_eq!(failure.outcome, expected, "{status} {kind}");
            assert_eq!(failure.error.message, message);
            assert_eq!(failure.error.kind.as_deref(), Some(kind));
        }
    }

    #[test]
    fn resets_stand_in_for_a_missing_delay() {
        let requests = ("anthropic-ratelimit-requests-reset", "2026-08-19T14:34:07Z");
        let tokens = ("anthropic-ratelimit-tokens-reset", "2026-08-19T14:34:30Z");
        let spent = ("anthropic-ratelimit-tokens-remaining", "0");
        let delay = |status, headers: &[_]| {
            failure(status, headers, "rate_limit_error", "").retry_after.map(|delay| delay.as_secs())
        };
        assert_eq!(delay(429, &[requests, tokens]), Some(7));
        assert_eq!(delay(429, &[requests, tokens, spent]), Some(30));
        assert_eq!(delay(429, &[requests, tokens, ("retry-after", "3")]), Some(3));
        assert_eq!(delay(529, &[requests]), None);
        let odd = ("anthropic-ratelimit-requests-reset", "soon");
        assert_eq!(delay(429, &[odd]), None);
        let far = ("anthropic-ratelimit-requests-reset", "9999-01-01T00:00:00Z");
        assert_eq!(delay(429, &[far]), Some(24 * 3600));
    }
}
