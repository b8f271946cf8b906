//! The codec for providers that speak OpenAI's own format: bytes pass through.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Codec, Decoded, Encoded, Expected, Failure, StreamDecoder, UnusableKey, failure, quirks::Shaper,
};
use crate::{
    base::{outcome::Outcome, secret::Secret},
    config::Provider,
    openai::{Ask, BadField, Endpoint, Rewrite, Said, answer, foreign_error},
};

mod stream;

pub use stream::OpenAiStream;

/// OpenAI's format, as OpenAI and many others speak it.
#[derive(Clone, Debug, Default)]
pub struct OpenAi {
    shaper: Shaper,
}

impl OpenAi {
    /// The codec of a provider with its quirks.
    pub fn new(provider: &Provider) -> Self {
        Self { shaper: Shaper::new(provider) }
    }
}

/// The path of an endpoint below the base URL.
pub(super) const fn path(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chat => "/chat/completions",
        Endpoint::Completions => "/completions",
        Endpoint::Embeddings => "/embeddings",
    }
}

impl Codec for OpenAi {
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
        let (body, dropped) = match self.shaper.passes(ask) {
            true => (ask.splice(rewrite), Vec::new()),
            false => self.shaper.shape(ask, rewrite).map(|(body, dropped)| (body.into(), dropped))?,
        };
        let path = path(ask.endpoint()).into();
        Ok(Encoded { path, body, headers: HeaderMap::new(), dropped, answer_tool: None, base64: false })
    }

    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| UnusableKey)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }

    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure> {
        let mut said = expected.keep.map(Said::keeping);
        let facts = match answer::inspect_and_hear(&body, expected.endpoint, said.as_mut()) {
            Ok(facts) if facts.error.is_none() && !facts.is_error => facts,
            Ok(_) => {
                let error = foreign_error::parse_upstream(&body);
                return Err(Failure::new(Outcome::ErrorEvent, error));
            }
            Err(fault) => {
                return Err(Failure::invalid(format!("The provider's answer cannot be read: {fault}.")));
            }
        };
        Ok(Decoded {
            usage: facts.usage.and_then(Result::ok),
            model: facts.model,
            finish_reason: facts.finish_reason,
            said,
            body,
        })
    }

    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder> {
        Box::new(OpenAiStream::new(expected))
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
        failure::read(status, headers, body, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Expected = Expected {
        endpoint: Endpoint::Chat,
        include_usage: false,
        created: 0,
        answer_tool: None,
        model: String::new(),
        base64: false,
        keep: None,
    };

    #[test]
    fn the_key_is_sensitive() {
        let mut headers = HeaderMap::new();
        OpenAi::default().authorize(&Secret::new("sk-canary"), &mut headers).unwrap();
        assert_eq!(headers["authorization"], "Bearer sk-canary");
        assert!(!format!("{headers:?}").contains("canary"));
        assert_eq!(OpenAi::default().authorize(&Secret::new("a\nb"), &mut headers), Err(UnusableKey));
    }

    #[test]
    fn an_answer_passes_as_the_bytes_it_came_in() {
        let body = Bytes::from_static(
            br#" {"choices":[{"finish_reason":"stop"}], "usage":{"prompt_tokens":1,"completion_tokens":2}} "#,
        );
        let decoded = OpenAi::default().decode(&CHAT, body.clone()).unwrap();
        assert_eq!(decoded.body.as_ptr(), body.as_ptr());
        assert_eq!(decoded.usage.unwrap().output, 2);
        assert_eq!(decoded.finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn figures_that_cannot_be_are_no_usage() {
        let body = Bytes::from_static(br#"{"choices":[{}],"usage":{"prompt_tokens":-1}}"#);
        assert_eq!(OpenAi::default().decode(&CHAT, body).unwrap().usage, None);
    }

    #[test]
    fn errors_and_nonsense_are_failures() {
        let outcome = |body: &'static str| OpenAi::default().decode(&CHAT, body.into()).unwrap_err().outcome;
        assert_eq!(outcome(r#"{"error":{"message":"no"}}"#), Outcome::ErrorEvent);
        assert_eq!(outcome("<html></html>"), Outcome::InvalidAnswer);
        assert_eq!(outcome(r#"{"choices":[]}"#), Outcome::InvalidAnswer);
        assert_eq!(outcome(r#"{"choices":[{"message""#), Outcome::InvalidAnswer);
    }
}
