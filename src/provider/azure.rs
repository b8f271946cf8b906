//! The codec for Azure OpenAI: OpenAI's format behind addresses of Azure's own.

use std::{fmt::Write as _, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    Codec, Decoded, Encoded, Expected, Failure, StreamDecoder, UnusableKey,
    openai::{self, OpenAi},
};
use crate::{
    base::secret::Secret,
    config::Provider,
    openai::{Ask, BadField, Rewrite},
};

/// The last dated version of Azure OpenAI's API that is generally available.
const API_VERSION: &str = "2024-10-21";
/// The version of the model inference API, whose addresses end in `/models`.
const INFERENCE_VERSION: &str = "2024-05-01-preview";

/// Azure's form of OpenAI's format.
#[derive(Clone, Debug)]
pub struct Azure {
    inner: OpenAi,
    form: Form,
    version: Option<String>,
}

/// What the address in the configuration leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A resource, `https://NAME.openai.azure.com`: the deployment stands in the path.
    Resource,
    /// The same with `/openai` behind it.
    Openai,
    /// One deployment, `.../openai/deployments/NAME`.
    Deployment,
    /// The versionless API, `.../openai/v1`: the deployment is named in the body.
    V1,
    /// The model inference API, `.../models`: the model is named in the body.
    Inference,
}

impl Form {
    fn of(base_url: &str) -> Self {
        let base = base_url.trim_end_matches('/');
        match base {
            _ if base.ends_with("/openai/v1") => Self::V1,
            _ if base.ends_with("/models") => Self::Inference,
            _ if base.ends_with("/openai") => Self::Openai,
            _ if base.contains("/openai/deployments/") => Self::Deployment,
            _ => Self::Resource,
        }
    }
}

impl Azure {
    /// The codec of a provider, whose address tells which of Azure's forms it takes.
    pub fn new(provider: &Provider) -> Self {
        let form = Form::of(&provider.base_url);
        let default = match form {
            Form::V1 => None,
            Form::Inference => Some(INFERENCE_VERSION),
            Form::Resource | Form::Openai | Form::Deployment => Some(API_VERSION),
        };
        let version = provider.api_version.clone().or(default.map(str::to_owned));
        Self { inner: OpenAi::new(provider), form, version }
    }

    /// The path below the base URL.
    fn path(&self, ask: &Ask, deployment: &str) -> String {
        let mut path = match self.form {
            Form::Resource => format!("/openai/deployments/{}", Segment(deployment)),
            Form::Openai => format!("/deployments/{}", Segment(deployment)),
            Form::Deployment | Form::V1 | Form::Inference => String::new(),
        };
        path.push_str(openai::path(ask.endpoint()));
        if let Some(version) = &self.version {
            path.push_str("?api-version=");
            path.push_str(version);
        }
        path
    }
}

/// A text as one segment of a path (RFC 3986, 3.3).
struct Segment<'a>(&'a str);

impl std::fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'-' | b'.' | b'_' | b'~' => f.write_char(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => f.write_char(char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

impl Codec for Azure {
    fn encode(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
        let path = self.path(ask, rewrite.model).into();
        Ok(Encoded { path, ..self.inner.encode(ask, rewrite)? })
    }

    fn authorize(&self, key: &Secret, headers: &mut HeaderMap) -> Result<(), UnusableKey> {
        let mut value = HeaderValue::from_str(key.expose()).map_err(|_| UnusableKey)?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("api-key"), value);
        Ok(())
    }

    fn decode(&self, expected: &Expected, body: Bytes) -> Result<Decoded, Failure> {
        self.inner.decode(expected, body)
    }

    fn stream(&self, expected: &Expected) -> Box<dyn StreamDecoder> {
        self.inner.stream(expected)
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Failure {
        self.inner.failure(status, headers, body, now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::{base::outcome::Outcome, openai::Endpoint, provider::Piece};

    fn azure(base_url: &str, version: Option<&str>) -> Azure {
        let provider = Provider {
            base_url: base_url.to_owned(),
            api_version: version.map(str::to_owned),
            ..Provider::default()
        };
        Azure::new(&provider)
    }

    const BODY: &str = r#"{"model":"gpt","messages":[{"role":"user","content":"hi"}], "x":1 }"#;

    fn encoded(azure: &Azure, deployment: &str) -> Encoded {
        let ask = Ask::parse(Endpoint::Chat, BODY.into()).unwrap();
        azure.encode(&ask, &Rewrite { model: deployment, ..Rewrite::default() }).unwrap()
    }

    #[test]
    fn every_form_of_address_has_its_path() {
        let resource = "https://name.openai.azure.com";
        for (base, version, path) in [
            ("", None, "/openai/deployments/my%20dep%2F1/chat/completions?api-version=2024-10-21"),
            ("/", None, "/openai/deployments/my%20dep%2F1/chat/completions?api-version=2024-10-21"),
            (
                "/openai",
                Some("2025-01-01-preview"),
                "/deployments/my%20dep%2F1/chat/completions?api-version=2025-01-01-preview",
            ),
            ("/openai/deployments/other", None, "/chat/completions?api-version=2024-10-21"),
            ("/openai/v1", None, "/chat/completions"),
            ("/openai/v1/", Some("preview"), "/chat/completions?api-version=preview"),
            ("/models", None, "/chat/completions?api-version=2024-05-01-preview"),
        ] {
            let azure = azure(&format!("{resource}{base}"), version);
            assert_eq!(encoded(&azure, "my dep/1").path, path, "{base}");
        }
        let embeddings = Ask::parse(Endpoint::Embeddings, r#"{"model":"e","input":"x"}"#.into()).unwrap();
        assert_eq!(
            azure(resource, None).path(&embeddings, "e"),
            "/openai/deployments/e/embeddings?api-version=2024-10-21"
        );
    }

    #[test]
    fn the_body_passes_save_for_the_model() {
        let azure = azure("https://name.openai.azure.com", None);
        assert_eq!(encoded(&azure, "gpt").body.whole(), BODY);
        assert_eq!(encoded(&azure, "dep").body.whole(), BODY.replace("\"gpt\"", "\"dep\""));
    }

    #[test]
    fn the_key_has_a_header_of_its_own() {
        let mut headers = HeaderMap::new();
        azure("https://x", None).authorize(&Secret::new("canary"), &mut headers).unwrap();
        assert_eq!(headers["api-key"], "canary");
        assert!(headers.get("authorization").is_none() && !format!("{headers:?}").contains("canary"));
        assert_eq!(azure("https://x", None).authorize(&Secret::new("a\nb"), &mut headers), Err(UnusableKey));
    }

    #[test]
    fn errors_have_texts_for_codes() {
        let failure = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            azure("https://x", None).failure(
                status,
                &HeaderMap::new(),
                body.as_bytes(),
                SystemTime::UNIX_EPOCH,
            )
        };
        let denied = failure(
            401,
            r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key."}}"#,
        );
        assert_eq!(
            (denied.outcome, denied.error.code.as_deref()),
            (Outcome::CredentialRejected, Some("401"))
        );
        let unknown = failure(
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}"#,
        );
        assert_eq!(unknown.outcome, Outcome::ModelUnknown);
        let filtered = failure(
            400,
            r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        );
        assert_eq!(
            (filtered.outcome, filtered.error.code.as_deref()),
            (Outcome::Rejected, Some("content_filter"))
        );
    }

    #[test]
    fn a_stream_may_begin_with_nothing_but_filter_results() {
        let stream = concat!(
            r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#,
            "\n\n",
            r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"id":"c","object":"chat.completion.chunk","model":"gpt"}"#,
            "\n\n",
            r#"data: {"choices":[{"index":0,"finish_reason":"stop","content_filter_offsets":{}}],"id":"c","object":"chat.completion.chunk","model":"gpt"}"#,
            "\n\n",
            r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"id":"c","object":"chat.completion.chunk"}"#,
            "\n\n",
            "data: [DONE]\n\n",
        );
        let expected = Expected::default();
        let mut decoder = azure("https://x", None).stream(&expected);
        let mut out = VecDeque::new();
        for byte in stream.as_bytes() {
            decoder.push(Bytes::copy_from_slice(&[*byte]), &mut out);
        }
        decoder.finish(&mut out);
        let kinds: String = out
            .iter()
            .map(|piece| match piece {
                Piece::Lead(_) => 'l',
                Piece::Content(_) => 'c',
                Piece::Comment(_) => ':',
                Piece::Usage(_) => 'u',
                Piece::Failed(_) => 'f',
                Piece::Done(_) => 'd',
            })
            .collect();
        assert_eq!(kinds, "lclud");
        let Some(Piece::Lead(last)) = out.get(2) else { panic!("{out:?}") };
        assert!(std::str::from_utf8(last).unwrap().contains(r#""delta":{}"#), "{last:?}");
    }
}
