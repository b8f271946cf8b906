//! What a protocol gives to be sent, without time or faults.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// An answer in some protocol's format.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
    pub(crate) prompt_tokens: u64,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// One piece of JSON, with the tokens in it.
    Whole { json: Bytes, tokens: u64 },
    /// Events, and the one that says that the rest failed.
    Stream { events: Vec<Event>, failure: Bytes },
}

/// One event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    /// The answer's tokens in it; 0 for what frames the answer.
    pub(crate) tokens: u32,
    pub(crate) part: Part,
}

/// Which part of a stream an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What comes before the answer, like the role.
    Open,
    /// A bit of the answer.
    Content,
    /// What comes after it, like the finish.
    Close,
}

impl Reply {
    /// A whole answer under 200.
    pub(crate) fn whole(json: impl Into<Bytes>, prompt_tokens: u64, tokens: u64) -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            content: Content::Whole { json: json.into(), tokens },
            prompt_tokens,
        }
    }

    /// A stream under 200.
    pub(crate) fn stream(events: Vec<Event>, failure: Bytes, prompt_tokens: u64) -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            content: Content::Stream { events, failure },
            prompt_tokens,
        }
    }
}

impl Event {
    /// An event before the answer.
    pub(crate) fn open(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), tokens: 0, part: Part::Open }
    }

    /// An event with a bit of the answer.
    pub(crate) fn content(bytes: impl Into<Bytes>, tokens: u32) -> Self {
        Self { bytes: bytes.into(), tokens, part: Part::Content }
    }

    /// An event after the answer.
    pub(crate) fn close(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), tokens: 0, part: Part::Close }
    }
}
