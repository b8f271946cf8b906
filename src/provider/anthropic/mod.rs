//! The codec for Anthropic's Messages API: everything is translated, both ways.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Codec, Decoded, Encoded, Expected, Failure, StreamDecoder, UnusableKey};
use crate::{
    base::secret::Secret,
    openai::{Ask, BadField, Rewrite},
};

mod block;
mod blocks;
#[cfg(test)]
mod corpus_tests;
mod decode;
mod encode;
mod fault;
mod fields;
mod gap;
mod model;
mod parts;
mod request;
mod schema;
mod stop;
mod stream;
mod thinking;
mod tools;
mod turns;
mod usage;

pub use stream::AnthropicStream;
pub use thinking::DEFAULT_MAX_TOKENS;

/// The header that bears the credential.
const KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Anthropic's Messages API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl Codec for Anthropic {
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
        encode::encode(ask, rewrite)
    }

    fn headers(&self) -> HeaderMap {
        encode::headers()
    }

    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        let mut value = HeaderValue::from_str(key.expose()).map_err(|_| UnusableKey)?;
        value.set_sensitive(true);
        headers.insert(KEY, value);
        Ok(())
    }

    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure> {
        decode::decode(expected, &body)
    }

    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder> {
        Box::new(AnthropicStream::new(expected))
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
        fault::read(status, headers, body, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_sensitive() {
        let mut headers = HeaderMap::new();
        Anthropic.authorize(&Secret::new("sk-ant-canary"), &mut headers).unwrap();
        assert_eq!(headers["x-api-key"], "sk-ant-canary");
        assert!(!format!("{headers:?}").contains("canary"));
        assert_eq!(Anthropic.authorize(&Secret::new("a\nb"), &mut headers), Err(UnusableKey));
    }
}
