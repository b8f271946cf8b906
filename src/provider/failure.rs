//! What a provider's refusal means.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::delay;
use crate::{
    base::outcome::Outcome,
    openai::{ErrorBody, foreign_error},
};

/// A try that did not bring an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class that policies look at.
    pub outcome: Outcome,
    /// The provider's status, where it answered with one.
    pub status: Option<StatusCode>,
    /// What it said.
    pub error: Box<ErrorBody>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Reads an answer without success. `now` is what dates in `retry-after` are counted from.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
    let error = foreign_error::parse_upstream(body);
    let retry_after = delay::retry_after(status, headers, body, &error, now);
    let hinted = headers.contains_key("retry-after") || headers.contains_key("retry-after-ms");
    Failure {
        outcome: classify(status, hinted, &error),
        status: Some(status),
        error: Box::new(error),
        retry_after,
    }
}

/// The class of a status and what was said with it. `hinted`: there is a `retry-after` header.
pub fn classify(status: StatusCode, hinted: bool, error: &ErrorBody) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::ErrorEvent,
        100..=199 | 300..=399 => Outcome::InvalidAnswer,
        401 => Outcome::CredentialRejected,
        402 => Outcome::QuotaExhausted,
        403 if said(error, &["input was flagged"]) => Outcome::Rejected,
        403 => Outcome::Forbidden,
        404 => Outcome::ModelUnknown,
        408 | 409 => Outcome::ServerError,
        429 if is_quota(error) => Outcome::QuotaExhausted,
        429 | 529 => Outcome::RateLimited,
        503 if hinted => Outcome::RateLimited,
        400..=499 => rejected(status, error),
        _ => Outcome::ServerError,
    }
}

/// A refusal of the request. Some providers use these statuses for what is not the client's fault.
fn rejected(status: StatusCode, error: &ErrorBody) -> Outcome {
    if is_context(status, error) {
        Outcome::ContextTooLong
    } else if is_credential(error) {
        Outcome::CredentialRejected
    } else if is_quota(error) || said(error, &["credit balance is too low"]) {
        Outcome::QuotaExhausted
    } else if is_model(error) {
        Outcome::ModelUnknown
    } else {
        Outcome::Rejected
    }
}

fn is_context(status: StatusCode, error: &ErrorBody) -> bool {
    // Groq refuses a request that is larger than all tokens of a minute with 413: waiting cannot help.
    let over_limit = status == StatusCode::PAYLOAD_TOO_LARGE && named(error, &["rate_limit_exceeded"]);
    over_limit || named(error, CONTEXT_NAMES) || said(error, CONTEXT_PHRASES)
}

/// Codes and types of a prompt that is too long: OpenAI, llama.cpp, Perplexity.
const CONTEXT_NAMES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "too_many_prompt_tokens",
    "context_window_exceeded",
];

/// What providers without such a code say, in lower case.
const CONTEXT_PHRASES: &[&str] = &[
    // OpenAI, DeepSeek, OpenRouter, vLLM, Together, Mistral
    "maximum context length",
    // Ollama
    "max context length",
    // Anthropic
    "prompt is too long",
    "exceed context limit",
    // Gemini
    "exceeds the maximum number of tokens allowed",
    // xAI
    "maximum prompt length",
    // vLLM
    "longer than the maximum model length",
    "reduce the length of the messages",
    "reduce the length of the input",
    // llama.cpp, Mistral
    "exceeds the available context size",
    "too large for model with",
    // Moonshot, Z.ai, Alibaba
    "exceeded model token limit",
    "prompt exceeds max length",
    "range of input length should be",
    // Cohere, Perplexity, text-generation-inference, Bedrock
    "too many tokens: total number of tokens",
    "total length of all messages is too long",
    "`inputs` must have less than",
    "`inputs` tokens + `max_new_tokens` must be",
    "input is too long for requested model",
    "exceeds the context window",
];

/// Gemini and xAI refuse a bad key with 400.
fn is_credential(error: &ErrorBody) -> bool {
    named(error, &["invalid_api_key", "API_KEY_INVALID", "authentication_error"])
        || ["api key not valid", "incorrect api key", "invalid api key", "api key expired"]
            .iter()
            .any(|phrase| starts(&error.message, phrase))
}

fn is_quota(error: &ErrorBody) -> bool {
    named(
        error,
        &[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            // Moonshot, Alibaba
            "exceeded_current_quota_error",
            "Arrearage",
        ],
    )
}

/// The model is unknown there, which is the operator's fault: the name comes from the configuration.
fn is_model(error: &ErrorBody) -> bool {
    named(error, &["model_not_found", "invalid_model", "DeploymentNotFound", "model_not_supported"])
        || said(error, &["is not a valid model id"])
        || starts(&error.message, "model not exist")
}

/// Whether the code or the type is one of `names`.
fn named(error: &ErrorBody, names: &[&str]) -> bool {
    let is = |name: &Option<_>| name.as_deref().is_some_and(|name: &str| names.contains(&name));
    is(&error.code) || is(&error.kind)
}

/// Whether the message contains one of `phrases`, which are in lower case.
fn said(error: &ErrorBody, phrases: &[&str]) -> bool {
    let message = error.message.to_lowercase();
    phrases.iter().any(|phrase| message.contains(phrase))
}

fn starts(message: &str, phrase: &str) -> bool {
    message.get(..phrase.len()).is_some_and(|start| start.eq_ignore_ascii_case(phrase))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn outcome(status: u16, hinted: bool, body: &str) -> Outcome {
        let mut headers = HeaderMap::new();
        if hinted {
            headers.insert("retry-after", HeaderValue::from_static("7"));
        }
        let status = StatusCode::from_u16(status).unwrap();
        read(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH).outcome
    }

    #[test]
    fn every_status_has_its_class() {
        use Outcome::*;
        let cases = [
            (ServerError, &[500, 501, 502, 503, 504, 520, 523, 526, 408, 409][..]),
            (RateLimited, &[429, 529]),
            (QuotaExhausted, &[402]),
            (CredentialRejected, &[401]),
            (Forbidden, &[403]),
            (ModelUnknown, &[404]),
            (Rejected, &[400, 413, 422, 405, 415, 451]),
            (InvalidAnswer, &[301, 302, 307, 304]),
            (ErrorEvent, &[200]),
        ];
        for (expected, statuses) in cases {
            for status in statuses {
                assert_eq!(outcome(*status, false, "{}"), expected, "{status}");
            }
        }
        assert_eq!(outcome(503, true, ""), RateLimited);
        assert_eq!(outcome(502, true, ""), ServerError);
    }

    #[test]
    fn what_was_said_refines_the_class() {
        use Outcome::*;
        let cases = [
            (429, "code", "insufficient_quota", QuotaExhausted),
            (429, "type", "exceeded_current_quota_error", QuotaExhausted),
            (429, "message", "You exceeded your current quota, please check your plan.", RateLimited),
            (400, "code", "context_length_exceeded", ContextTooLong),
            (400, "type", "exceed_context_size_error", ContextTooLong),
            (413, "code", "rate_limit_exceeded", ContextTooLong),
            (400, "message", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
            (
                400,
                "message",
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).",
                ContextTooLong,
            ),
            (
                422,
                "message",
                "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                ContextTooLong,
            ),
            (400, "message", "max_tokens is too large: 5", Rejected),
            (400, "message", "API key not valid. Please pass a valid API key.", CredentialRejected),
            (400, "message", "Incorrect API key provided. You can obtain one.", CredentialRejected),
            (400, "message", "Your credit balance is too low to access the Anthropic API.", QuotaExhausted),
            (400, "type", "invalid_model", ModelUnknown),
            (400, "message", "Model Not Exist", ModelUnknown),
            (400, "code", "content_filter", Rejected),
            (403, "message", "Your input was flagged for violence", Rejected),
            (500, "code", "context_length_exceeded", ServerError),
        ];
        for (status, field, text, expected) in cases {
            let body = serde_json::json!({ "error": { field: text } }).to_string();
            assert_eq!(outcome(status, false, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_delay_comes_with_it() {
        let headers = [("retry-after", "7")]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let failure = read(StatusCode::TOO_MANY_REQUESTS, &headers, b"", SystemTime::UNIX_EPOCH);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(failure.status, Some(StatusCode::TOO_MANY_REQUESTS));
    }
}
