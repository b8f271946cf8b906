//! The errors of OpenAI's API, in its own words.

use http::StatusCode;
use serde_json::json;

use super::super::{
    fault::{Ending, Fault},
    reply::{Content, Reply},
    retry,
};

/// An error, as OpenAI's envelope holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) kind: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

const SERVER: &str = "The server had an error while processing your request. Sorry about that!";

impl Refusal {
    /// A 400 for the field `param`.
    pub(crate) fn bad(message: impl Into<String>, param: impl Into<String>, code: &'static str) -> Self {
        Self { param: Some(param.into()), code: Some(code), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A missing field.
    pub(crate) fn missing(param: &str) -> Self {
        Self::bad(format!("Missing required parameter: '{param}'."), param, "missing_required_parameter")
    }

    /// An error of the request's making.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind: "invalid_request_error", param: None, code: None }
    }

    /// A model that is not there.
    pub(crate) fn no_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self { code: Some("model_not_found"), ..Self::new(StatusCode::NOT_FOUND, message) }
    }

    /// A key that is missing or not known; only its end is told back.
    pub(crate) fn bad_key(key: Option<&str>) -> Self {
        match key {
            None => Self::new(
                StatusCode::UNAUTHORIZED,
                "You didn't provide an API key. You need to provide your API key in an Authorization header \
                 using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            ),
            Some(key) => {
                let length = key.chars().count();
                let end: String = key.chars().skip(length.saturating_sub(4).max(length.min(8))).collect();
                let message = format!("Incorrect API key provided: ****{end}.");
                Self { code: Some("invalid_api_key"), ..Self::new(StatusCode::UNAUTHORIZED, message) }
            }
        }
    }

    /// A prompt that is longer than the model's window.
    pub(crate) fn too_long(window: u64, tokens: u64, param: &str) -> Self {
        let message = format!(
            "This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} \
             tokens. Please reduce the length of the messages."
        );
        Self::bad(message, param, "context_length_exceeded")
    }

    /// The error that a fault puts in the place of an answer, if it does.
    pub(crate) fn of(fault: &Fault, model: &str, key: Option<&str>, stream: bool) -> Option<Self> {
        Some(match fault.ending? {
            Ending::Status(status) => Self::of_status(status),
            Ending::UnknownModel => Self::no_model(model),
            Ending::ContextLength => Self::too_long(8192, 9001, "messages"),
            Ending::BadKey => Self::bad_key(Some(key.unwrap_or_default())),
            Ending::InsufficientQuota => Self {
                kind: "insufficient_quota",
                code: Some("insufficient_quota"),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "You exceeded your current quota, please check your plan and billing details.",
                )
            },
            Ending::Blocked => Self {
                param: Some("prompt".to_owned()),
                code: Some("content_filter"),
                ..Self::new(
                    StatusCode::BAD_REQUEST,
                    "The response was filtered due to the prompt triggering the content management policy. \
                     Please modify your prompt and retry.",
                )
            },
            Ending::ErrorAfter(_) if !stream => Self::of_status(500),
            _ => return None,
        })
    }

    fn of_status(status: u16) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match status {
            401 => Self::bad_key(Some("")),
            404 => Self::no_model("that"),
            429 => Self {
                kind: "requests",
                code: Some("rate_limit_exceeded"),
                ..Self::new(code, "Rate limit reached for requests. Please try again later.")
            },
            503 => Self {
                kind: "service_unavailable_error",
                ..Self::new(code, "The engine is currently overloaded, please try again later.")
            },
            500.. => Self { kind: "server_error", ..Self::new(code, SERVER) },
            _ => Self::new(code, code.canonical_reason().unwrap_or("The request was refused.")),
        }
    }

    /// The envelope.
    pub(crate) fn envelope(&self) -> String {
        let Self { message, kind, param, code, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } }).to_string()
    }

    /// The answer, with the headers that the fault adds.
    pub(crate) fn reply(&self, fault: &Fault) -> Reply {
        Reply {
            status: self.status,
            headers: retry::headers(fault),
            content: Content::Whole { json: self.envelope().into(), tokens: 0 },
            prompt_tokens: 0,
        }
    }
}

/// The event that says, in the middle of a stream, that the rest failed.
pub(crate) fn failure_event() -> String {
    format!("data: {}\n\n", Refusal::of_status(500).envelope())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_back_by_its_end_only() {
        assert!(Refusal::bad_key(Some("sk-1234567890")).message.ends_with("****7890."));
        assert!(Refusal::bad_key(Some("secret")).message.ends_with("****."));
        assert!(Refusal::bad_key(Some("secret789")).message.ends_with("****9."));
    }
}
