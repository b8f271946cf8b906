//! The errors of Gemini's API, in its own words.

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::proto::Violation;
use crate::sim::{
    fault::{Ending, Fault},
    reply::{Content, Reply},
    retry,
};

const BAD_KEY: &str = "API key not valid. Please pass a valid API key.";

/// An error, as Google's envelope holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: Vec::new() }
    }

    /// A request that is not as it should be.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// What is wrong with a field of `GenerateContentRequest`.
    pub(crate) fn at(place: &str, message: &str) -> Self {
        Self::bad(format!("* GenerateContentRequest.{place}: {message}\n"))
    }

    /// Fields that are unknown or of the wrong type.
    pub(crate) fn of_violations(violations: Vec<Violation>) -> Self {
        let message = violations.iter().map(|violation| violation.description.as_str()).collect::<Vec<_>>();
        let told = violations
            .iter()
            .map(|violation| json!({ "field": violation.field, "description": violation.description }));
        let details = json!({ "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": told.collect::<Vec<_>>() });
        Self { details: vec![details], ..Self::bad(message.join("\n")) }
    }

    /// A model that is not there.
    pub(crate) fn no_model(model: &str, method: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!(
                "models/{model} is not found for API version v1beta, or is not supported for {method}. Call ListModels \
                 to see the list of available models and their supported methods."
            ),
        )
    }

    /// A key that is missing or not known.
    pub(crate) fn bad_key(key: Option<&str>) -> Self {
        if key.is_none() {
            return Self::new(
                StatusCode::FORBIDDEN,
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or \
                 other form of API consumer identity to call this API.",
            );
        }
        let reason = json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
            "domain": "googleapis.com", "metadata": { "service": "generativelanguage.googleapis.com" } });
        let words = json!({ "@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US",
            "message": BAD_KEY });
        Self { details: vec![reason, words], ..Self::bad(BAD_KEY) }
    }

    /// A prompt that is longer than the model's window.
    fn too_long() -> Self {
        Self::bad("The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).")
    }

    /// The error that a fault puts in the place of an answer, if it does.
    pub(crate) fn of(fault: &Fault, model: &str, method: &str, stream: bool) -> Option<Self> {
        Some(match fault.ending? {
            Ending::UnknownModel | Ending::Status(404) => Self::no_model(model, method),
            Ending::BadKey => Self::bad_key(Some("")),
            Ending::Status(429) => {
                Self::over_quota(fault, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
            }
            Ending::InsufficientQuota => {
                Self::over_quota(fault, "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
            }
            Ending::Status(status) => Self::of_status(status),
            Ending::ContextLength => Self::too_long(),
            Ending::ErrorAfter(_) if !stream => Self::of_status(503),
            _ => return None,
        })
    }

    fn over_quota(fault: &Fault, quota: &str) -> Self {
        let failure = json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{ "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                "quotaId": quota }] });
        let mut details = vec![failure];
        if let Some(span) = retry::span(fault) {
            let delay = format!("{}s", span.as_secs_f64());
            details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }));
        }
        let message = "You exceeded your current quota, please check your plan and billing details.";
        Self { details, ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    fn of_status(status: u16) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = match status {
            401 => "Request had invalid authentication credentials.",
            403 => "The caller does not have permission",
            503 | 529 => "The model is overloaded. Please try again later.",
            504 => "Deadline expired before operation could complete.",
            500.. => "An internal error has occurred. Please retry.",
            _ => code.canonical_reason().unwrap_or("Request contains an invalid argument."),
        };
        Self::new(code, message)
    }

    fn word(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            501 => "UNIMPLEMENTED",
            503 | 529 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            500.. => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        }
    }

    /// The envelope.
    pub(crate) fn envelope(&self) -> Value {
        let mut error =
            json!({ "code": self.status.as_u16(), "message": self.message, "status": self.word() });
        if !self.details.is_empty() {
            error["details"] = Value::from(self.details.clone());
        }
        json!({ "error": error })
    }

    /// The answer; where a stream was asked for, its type is a stream's, as with real ones.
    pub(crate) fn reply(&self, stream: bool) -> Reply {
        Reply {
            status: self.status,
            headers: vec![content_type(stream)],
            content: Content::Whole { json: self.envelope().to_string().into(), tokens: 0 },
            prompt_tokens: 0,
        }
    }
}

/// The type of an answer, as Google writes it.
pub(crate) fn content_type(stream: bool) -> (HeaderName, HeaderValue) {
    let kind = if stream { "text/event-stream" } else { "application/json; charset=UTF-8" };
    (header::CONTENT_TYPE, HeaderValue::from_static(kind))
}

/// The event that says, in the middle of a stream, that the rest failed.
pub(crate) fn failure_event() -> String {
    format!("data: {}\r\n\r\n", Refusal::of_status(503).envelope())
}
