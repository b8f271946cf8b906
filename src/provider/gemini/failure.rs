//! What Gemini's refusals mean.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    base::outcome::Outcome,
    provider::{Failure, failure},
};

/// The largest error body that is looked into.
const MAX_JSON: usize = 64 * 1024;

/// Reads an answer without success: the common rules, refined by what Google puts into `error.details`.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
    let mut failure = failure::read(status, headers, body, now);
    let body = (body.len() <= MAX_JSON).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    let body = body.unwrap_or_default();
    // Without `alt=sse` a stream's error comes in a list.
    let error = &body.get(0).unwrap_or(&body)["error"];
    failure.outcome = match (status.as_u16(), failure.outcome) {
        (429, Outcome::RateLimited) if is_daily(error) => Outcome::QuotaExhausted,
        (400, Outcome::Rejected) if reason(error, "API_KEY_INVALID") => Outcome::CredentialRejected,
        // The free tier is not offered where the gateway stands, or billing is off: the operator's to cure.
        (400, Outcome::Rejected) if error["status"] == "FAILED_PRECONDITION" => Outcome::Forbidden,
        // Google's CANCELLED.
        (499, _) => Outcome::ServerError,
        (_, outcome) => outcome,
    };
    failure
}

/// Whether a quota of a day is used up, which no short wait gives back.
fn is_daily(error: &Value) -> bool {
    let details = error["details"].as_array().into_iter().flatten();
    let mut violations = details.filter_map(|detail| detail["violations"].as_array()).flatten();
    violations.any(|violation| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
}

/// Whether Google's `ErrorInfo` gives that reason.
fn reason(error: &Value, reason: &str) -> bool {
    let mut details = error["details"].as_array().into_iter().flatten();
    details.any(|detail| detail["reason"] == reason)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn failed(status: u16, error: Value) -> Failure {
        let body = json!({ "error": error }).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        read(status, &HeaderMap::new(), body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_quota_of_a_day_is_exhausted() {
        let limited = |quota: &str| {
            failed(
                429,
                json!({"status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]}),
            )
        };
        let failure = limited("GenerateRequestsPerMinutePerProjectPerModel-FreeTier");
        assert_eq!(failure.outcome, Outcome::RateLimited);
        assert_eq!(failure.retry_after, Some(Duration::from_millis(34_400)));
        let failure = limited("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
        assert_eq!(failure.outcome, Outcome::QuotaExhausted);
    }

    #[test]
    fn every_refusal_has_its_class() {
        use Outcome::*;
        let details = json!([{"reason": "API_KEY_INVALID"}]);
        for (status, error, expected) in [
            (400, json!({"message": "API key expired", "details": details}), CredentialRejected),
            (400, json!({"message": "Key?", "details": details}), CredentialRejected),
            (400, json!({"status": "INVALID_ARGUMENT", "message": "bad"}), Rejected),
            (
                400,
                json!({"status": "FAILED_PRECONDITION", "message": "User location is not supported"}),
                Forbidden,
            ),
            (
                400,
                json!({"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}),
                ContextTooLong,
            ),
            (401, json!({"status": "UNAUTHENTICATED"}), CredentialRejected),
            (403, json!({"status": "PERMISSION_DENIED"}), Forbidden),
            (404, json!({"status": "NOT_FOUND"}), ModelUnknown),
            (429, json!({"status": "RESOURCE_EXHAUSTED"}), RateLimited),
            (499, json!({"status": "CANCELLED"}), ServerError),
            (500, json!({"status": "INTERNAL"}), ServerError),
            (503, json!({"status": "UNAVAILABLE"}), ServerError),
            (504, json!({"status": "DEADLINE_EXCEEDED"}), ServerError),
        ] {
            assert_eq!(failed(status, error.clone()).outcome, expected, "{status} {error}");
        }
        let list = br#"[{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}]"#;
        let failure = read(StatusCode::BAD_REQUEST, &HeaderMap::new(), list, SystemTime::UNIX_EPOCH);
        assert_eq!(failure.outcome, CredentialRejected);
    }
}
