//! The errors of Anthropic's API, in its own words.

use http::StatusCode;
use serde_json::json;

use crate::sim::{
    fault::{Ending, Fault},
    reply::{Content, Reply},
    retry,
};

/// The status of a provider that has too much to do, which HTTP does not name.
const OVERLOADED: u16 = 529;

/// An error, as Anthropic's envelope holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    /// A request that is not as it should be.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// What is wrong with the value at a place.
    pub(crate) fn at(place: &str, message: &str) -> Self {
        Self::bad(format!("{place}: {message}"))
    }

    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// A model that is not there.
    pub(crate) fn no_model(model: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", format!("model: {model}"))
    }

    /// A path that is not there.
    pub(crate) fn no_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", "Not Found")
    }

    /// A key that is missing or not known.
    pub(crate) fn bad_key(key: Option<&str>) -> Self {
        let message = match key {
            None => "x-api-key header is required",
            Some(_) => "invalid x-api-key",
        };
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
    }

    /// A body past the limit.
    pub(crate) fn too_large() -> Self {
        let message = "Request exceeds the maximum size";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// A prompt that is longer than the model's window.
    pub(crate) fn too_long(tokens: u64, window: u64) -> Self {
        Self::bad(format!("prompt is too long: {tokens} tokens > {window} maximum"))
    }

    /// The error that a fault puts in the place of an answer, if it does.
    pub(crate) fn of(fault: &Fault, model: &str, stream: bool) -> Option<Self> {
        Some(match fault.ending? {
            Ending::Status(404) | Ending::UnknownModel => Self::no_model(model),
            Ending::Status(status) => Self::of_status(status),
            Ending::ContextLength => Self::too_long(212_032, 200_000),
            Ending::BadKey => Self::bad_key(Some("")),
            Ending::InsufficientQuota => Self::bad(
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
                 purchase credits.",
            ),
            Ending::Blocked => Self::bad("Output blocked by content filtering policy"),
            Ending::ErrorAfter(_) if !stream => Self::of_status(OVERLOADED),
            _ => return None,
        })
    }

    fn of_status(status: u16) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, message) = match status {
            401 => return Self::bad_key(Some("")),
            413 => return Self::too_large(),
            402 => ("billing_error", "There is an issue with your billing or payment information."),
            403 => {
                ("permission_error", "Your API key does not have permission to use the specified resource.")
            }
            429 => (
                "rate_limit_error",
                "This request would exceed your organization's rate limit. Please try again later.",
            ),
            504 => ("timeout_error", "Request timed out"),
            529 => ("overloaded_error", "Overloaded"),
            500.. => ("api_error", "Internal server error"),
            _ => ("invalid_request_error", code.canonical_reason().unwrap_or("Bad request")),
        };
        Self::new(code, kind, message)
    }

    /// The answer, with the headers that the fault adds.
    pub(crate) fn reply(&self, fault: &Fault, request_id: &str) -> Reply {
        let error = json!({ "type": self.kind, "message": self.message });
        let body = json!({ "type": "error", "error": error, "request_id": request_id }).to_string();
        Reply {
            status: self.status,
            headers: retry::headers(fault),
            content: Content::Whole { json: body.into(), tokens: 0 },
            prompt_tokens: 0,
        }
    }
}

/// The event that says, in the middle of a stream, that the rest failed.
pub(crate) fn failure_event() -> String {
    let refusal = Refusal::of_status(OVERLOADED);
    let error = json!({ "details": null, "type": refusal.kind, "message": refusal.message });
    format!("event: error\ndata: {{\"type\":\"error\",\"error\":{error}              }}\n\n")
}
