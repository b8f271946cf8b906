//! The codec for Google's Gemini: its chats, streams, embeddings.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Codec, Decoded, Encoded, Expected, Failure, StreamDecoder, UnusableKey};
use crate::{
    base::secret::Secret,
    openai::{Ask, BadField, Endpoint, Rewrite},
};

mod answer;
mod args;
mod candidate;
#[cfg(test)]
mod corpus_tests;
mod embed;
mod encode;
mod failure;
mod fields;
mod finish;
mod logprobs;
mod losses;
mod media;
mod path;
mod request;
mod response;
mod schema;
pub(super) mod signature;
mod stream;
mod thinking;
mod tools;
mod turns;

pub use stream::GeminiStream;

/// `generateContent` and its relatives, as the Gemini API speaks them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

impl Codec for Gemini {
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
        match ask.endpoint() {
            Endpoint::Chat => encode::encode(ask, rewrite, true),
            Endpoint::Embeddings => embed::encode(ask, rewrite),
            Endpoint::Completions => Err(BadField {
                param: Some("model".into()),
                message:
                    "Gemini's models take chats and embeddings, no completions: use /v1/chat/completions."
                        .into(),
            }),
        }
    }

    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        let mut value = HeaderValue::from_str(key.expose()).map_err(|_| UnusableKey)?;
        value.set_sensitive(true);
        headers.insert(KEY, value);
        Ok(())
    }

    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure> {
        match expected.endpoint {
            Endpoint::Embeddings => embed::decode(expected, &body),
            Endpoint::Chat | Endpoint::Completions => answer::decode(expected, &body),
        }
    }

    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder> {
        Box::new(GeminiStream::new(expected))
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
        failure::read(status, headers, body, now)
    }
}

/// The same as Vertex AI speaks it, which knows no ids of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vertex;

impl Vertex {
    /// Whether Vertex AI is at this address, regional or global.
    pub fn is_at(base_url: &str) -> bool {
        let host = base_url.parse::<http::Uri>().ok().and_then(|uri| Some(uri.host()?.to_ascii_lowercase()));
        host.is_some_and(|host| host.ends_with("aiplatform.googleapis.com"))
    }
}

impl Codec for Vertex {
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
        match ask.endpoint() {
            Endpoint::Chat => encode::encode(ask, rewrite, false),
            Endpoint::Completions | Endpoint::Embeddings => Gemini.encode(ask, rewrite),
        }
    }

    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        Gemini.authorize(key, headers)
    }

    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure> {
        Gemini.decode(expected, body)
    }

    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder> {
        Gemini.stream(expected)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
        Gemini.failure(status, headers, body, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_sensitive() {
        let mut headers = HeaderMap::new();
        Gemini.authorize(&Secret::new("AIza-canary"), &mut headers).unwrap();
        assert_eq!(headers["x-goog-api-key"], "AIza-canary");
        assert!(!format!("{headers:?}").contains("canary"));
        assert_eq!(Gemini.authorize(&Secret::new("a\nb"), &mut headers), Err(UnusableKey));
    }

    #[test]
    fn vertex_ai_is_known_by_its_address() {
        for (url, is) in [
            ("https://aiplatform.googleapis.com/v1/projects/p", true),
            ("https://europe-west4-aiplatform.googleapis.com/v1", true),
            ("https://generativelanguage.googleapis.com/v1beta", false),
            ("https://proxy/aiplatform.googleapis.com", false),
        ] {
            assert_eq!(Vertex::is_at(url), is, "{url}");
        }
    }

    #[test]
    fn completions_are_refused() {
        let ask = Ask::parse(Endpoint::Completions, r#"{"model":"m","prompt":"p"}"#.into()).unwrap();
        let rewrite = Rewrite { model: "m", ..Rewrite::default() };
        assert_eq!(Gemini.encode(&ask, &rewrite).unwrap_err().param.as_deref(), Some("model"));
    }
}
