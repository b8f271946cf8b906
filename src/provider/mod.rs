//! What providers speak: one codec for each protocol, pure functions without I/O.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    base::{outcome::Outcome, secret::Secret},
    config::{Protocol, Provider},
    openai::{Ask, BadField, Endpoint, ErrorBody, Rewrite, Said, Usage, edit::Spliced},
};

pub mod anthropic;
pub mod azure;
#[cfg(test)]
mod corpus_tests;
mod delay;
mod events;
pub mod failure;
pub mod gemini;
#[cfg(test)]
mod golden;
pub mod openai;
mod quirks;
pub mod quota;
mod tool_id;
#[cfg(test)]
mod usage_tests;

pub use failure::Failure;

/// The paths that most requests go to, below the base URL.
pub const PATHS: [&str; 4] = [
    openai::path(Endpoint::Chat),
    openai::path(Endpoint::Completions),
    openai::path(Endpoint::Embeddings),
    "/messages",
];

/// A protocol that providers speak. Whatever it is, answers come out in OpenAI's format.
pub trait Codec: Send + Sync {
    /// The request as the provider takes it.
    ///
    /// # Errors
    /// The field that the provider cannot take.
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField>;

    /// Headers without which the provider reads no request, beside the credential.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Adds the credential to a request's headers, marked as sensitive.
    ///
    /// # Errors
    /// The credential holds characters that no header can bear.
    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey>;

    /// Reads a whole answer with a success status.
    ///
    /// # Errors
    /// The body is an error, or not in the protocol's format.
    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure>;

    /// A decoder for one stream with a success status.
    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder>;

    /// Reads an answer with any other status. `now` is what dates in `retry-after` are counted from.
    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure;
}

/// The codec of a provider.
pub fn codec(provider: &Provider) -> Box<dyn Codec> {
    match provider.protocol {
        // The simulated provider speaks OpenAI's format inside this process.
        Protocol::Openai | Protocol::Sim => Box::new(openai::OpenAi::new(provider)),
        Protocol::Azure => Box::new(azure::Azure::new(provider)),
        Protocol::Anthropic => Box::new(anthropic::Anthropic),
        Protocol::Gemini if gemini::Vertex::is_at(&provider.base_url) => Box::new(gemini::Vertex),
        Protocol::Gemini => Box::new(gemini::Gemini),
    }
}

/// A request as a provider takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The path below the provider's base URL.
    pub path: Cow<'static, str>,
    /// The body.
    pub body: Spliced,
    /// Headers besides the usual ones.
    pub headers: HeaderMap,
    /// Fields that the provider cannot take and that were left out, as `drop_unsupported` allows or because the
    /// conversation itself leaves no other way.
    pub dropped: Vec<String>,
    /// A tool whose arguments are the answer: how a JSON schema is enforced where a provider knows no other way.
    pub answer_tool: Option<String>,
    /// Whether the client wants embeddings in base64, which the provider does not know.
    pub base64: bool,
}

/// What the answer to a request has to be. Codecs that translate add here what they need to know of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// Whether the client wants a stream's usage chunk.
    pub include_usage: bool,
    /// When the answer came, in seconds since 1970, for providers that do not say it.
    pub created: u64,
    /// See [`Encoded::answer_tool`].
    pub answer_tool: Option<String>,
    /// The upstream's own name of the model, for providers whose answers do not say it.
    pub model: String,
    /// See [`Encoded::base64`].
    pub base64: bool,
    /// So many bytes of what the first choice says are wanted, see [`Decoded::said`].
    pub keep: Option<usize>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The body for the client.
    pub body: Bytes,
    /// What was used; `None` if the answer does not say it, or says something that cannot be.
    pub usage: Option<Usage>,
    /// The provider's own name for the model that answered.
    pub model: Option<String>,
    /// Why the first choice ended, in OpenAI's words.
    pub finish_reason: Option<String>,
    /// What the first choice says, if that was wanted and seen in passing.
    pub said: Option<Said>,
}

/// Turns a provider's stream into pieces for the client, as the bytes come.
pub trait StreamDecoder: Send {
    /// Takes the next bytes and puts the pieces they complete into `out`.
    fn push(&mut self, chunk: Bytes, out: &mut VecDeque<Piece>);

    /// The provider's stream is over: puts the last pieces into `out`, which always end with [`Piece::Done`] or
    /// [`Piece::Failed`], unless one of them came before.
    fn finish(&mut self, out: &mut VecDeque<Piece>);
}

/// A part of a stream. The bytes are whole events, exactly as they go to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A chunk without content: a role, an end, a usage chunk that the client wants. It may be held back until
    /// content or the end comes.
    Lead(Bytes),
    /// A chunk with something to show or use.
    Content(Bytes),
    /// A sign of life without payload.
    Comment(Bytes),
    /// What was used, at most once and before the end.
    Usage(Usage),
    /// The stream failed; nothing comes after it.
    Failed(Failure),
    /// The stream's terminal event; nothing comes after it.
    Done(Bytes),
}

/// A credential that cannot be put into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableKey;

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the API key holds characters that no HTTP header can bear, like a line end")
    }
}

impl std::error::Error for UnusableKey {}

impl Failure {
    /// A failure that the provider did not report with a status of its own.
    pub fn new(outcome: Outcome, error: ErrorBody) -> Self {
        Self { outcome, status: None, error: Box::new(error), retry_after: None::<Duration> }
    }

    /// An answer that is not in the provider's format.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(
            Outcome::InvalidAnswer,
            ErrorBody::new("upstream_error", "upstream_invalid_response", message),
        )
    }

    /// A stream without its terminal event.
    pub fn truncated() -> Self {
        let message = "The provider's stream broke off before its end.";
        Self::new(Outcome::Truncated, ErrorBody::new("upstream_error", "upstream_truncated", message))
    }

    /// A failure that Weir itself noticed, told as a sentence.
    pub fn of(outcome: Outcome, message: impl Into<String>) -> Self {
        Self::new(outcome, ErrorBody::new("upstream_error", outcome.as_str(), message))
    }
}
