//! Writing errors in the envelope that OpenAI's clients read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::sse;
use crate::base::outcome::Outcome;

/// What an error tells a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What went wrong, as a sentence.
    pub message: String,
    /// The kind of error, `type` on the wire.
    #[serde(rename = "type")]
    pub kind: Option<Cow<'static, str>>,
    /// The request's field at fault.
    pub param: Option<String>,
    /// The error's name for programs.
    pub code: Option<Cow<'static, str>>,
}

/// One try of a chain that failed, without secrets or texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptNote {
    /// The configured model that was tried.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// What became of it.
    #[serde(serialize_with = "outcome_name")]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What the model lacks, where it was passed over for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

fn outcome_name<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    #[serde(flatten)]
    body: &'a ErrorBody,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [AttemptNote],
}

impl ErrorBody {
    /// An error of a kind and code of ours.
    pub fn new(kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Some(kind.into()), param: None, code: Some(code.into()) }
    }

    /// The envelope `{"error": {...}}` as a body. `attempts` is left out if empty.
    pub fn to_json(&self, attempts: &[AttemptNote]) -> Bytes {
        let envelope = Envelope { error: Inner { body: self, attempts } };
        serde_json::to_vec(&envelope).expect("texts and numbers always serialize").into()
    }

    /// The envelope as an event of a stream.
    pub fn to_event(&self, attempts: &[AttemptNote]) -> Bytes {
        sse::frame(&self.to_json(attempts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_envelope_with_all_four_fields() {
        let error = ErrorBody::new("upstream_error", "upstream_timeout", "a \"quoted\"\nline\u{0}");
        assert_eq!(
            error.to_json(&[]),
            r#"{"error":{"message":"a \"quoted\"\nline\u0000","type":"upstream_error","param":null,"code":"upstream_timeout"}}"#
        );
        let event = sse::Event::new(error.to_event(&[]));
        assert_eq!(event.data().unwrap(), &error.to_json(&[])[..]);
    }

    #[test]
    fn lists_the_attempts() {
        let attempt = AttemptNote {
            model: "a".into(),
            provider: "p".into(),
            outcome: Outcome::ServerError,
            ms: 12,
            lacks: None,
        };
        let body = ErrorBody::default().to_json(&[attempt]);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            value["error"]["attempts"],
            serde_json::json!([{"model": "a", "provider": "p", "outcome": "server_error", "ms": 12}])
        );
        assert!(value["error"]["code"].is_null());
    }
}
