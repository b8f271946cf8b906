//! The protocol that a request speaks, told by its path.

use http::{HeaderMap, HeaderName, HeaderValue, Method, request::Parts};

use super::{
    anthropic, azure, choice::Chosen, gemini, openai, prefix::Prefixes, reply::Reply, watch::bearer,
};

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    OpenAi,
    Azure,
    Anthropic,
    Gemini,
}

/// A request with its body read.
pub(crate) enum Request<'a> {
    OpenAi(openai::Request<'a>),
    Azure(azure::Request<'a>),
    Anthropic(anthropic::Request<'a>),
    Gemini(gemini::Request<'a>),
}

/// What an answer is made with, beside the request.
pub(crate) struct Call<'a> {
    pub(crate) seed: u64,
    /// The request's number.
    pub(crate) seq: u64,
    /// The id that the answer's head carries.
    pub(crate) request_id: &'a str,
    /// The model's name without a fault behind it.
    pub(crate) model: &'a str,
    pub(crate) chosen: &'a Chosen,
    /// The models that are listed.
    pub(crate) models: &'a [String],
    /// The API key that was sent.
    pub(crate) key: Option<&'a str>,
    /// The prompts that were cached.
    pub(crate) prefixes: &'a Prefixes,
}

impl Protocol {
    /// The protocol of a request with this head.
    pub(crate) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        let is_anthropic = |headers: &HeaderMap| {
            headers.contains_key("anthropic-version") || headers.contains_key("x-api-key")
        };
        if azure::is_path(path) {
            Self::Azure
        } else if gemini::is_path(path) {
            Self::Gemini
        } else if anthropic::is_path(path) || (head.method == Method::GET && is_anthropic(&head.headers)) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// The API key of a request, where this protocol has it.
    pub(crate) fn key(self, head: &Parts) -> Option<&str> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::OpenAi => bearer(&head.headers),
            Self::Azure => header("api-key").or_else(|| bearer(&head.headers)),
            Self::Anthropic => header("x-api-key").or_else(|| bearer(&head.headers)),
            Self::Gemini => {
                let query = head.uri.query().and_then(|query| parameter(query, "key"));
                header("x-goog-api-key").or(query).or_else(|| bearer(&head.headers))
            }
        }
    }

    /// Whether a request without a key is refused, whatever keys the settings list.
    pub(crate) fn needs_key(self) -> bool {
        self != Self::OpenAi
    }

    /// The headers that every answer has, beside its length and type.
    pub(crate) fn headers(self, request_id: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let mut fixed = |name, value| {
            headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        };
        let id = match self {
            Self::OpenAi => {
                fixed("openai-version", "2020-10-01");
                Some("x-request-id")
            }
            Self::Azure => {
                fixed("x-ms-region", "East US 2");
                Some("apim-request-id")
            }
            Self::Anthropic => {
                fixed("x-robots-tag", "none");
                Some("request-id")
            }
            Self::Gemini => {
                fixed("server", "scaffolding on HTTPServer2");
                fixed("vary", "Origin, X-Origin, Referer");
                None
            }
        };
        if let (Some(name), Ok(id)) = (id, HeaderValue::from_str(request_id)) {
            headers.push((HeaderName::from_static(name), id));
        }
        headers
    }

    /// The refusal of a key that is missing or not among those accepted.
    pub(crate) fn bad_key(self, key: Option<&str>, request_id: &str) -> Reply {
        match self {
            Self::OpenAi => openai::bad_key(key),
            Self::Azure => azure::bad_key(),
            Self::Anthropic => anthropic::bad_key(key, request_id),
            Self::Gemini => gemini::bad_key(key),
        }
    }

    /// The refusal of a fault that a model's name spells wrong.
    pub(crate) fn bad_fault(self, error: &str, request_id: &str) -> Reply {
        let message = format!("The simulated provider cannot read the fault in the model's name: {error}.");
        match self {
            Self::OpenAi | Self::Azure => openai::bad_fault(message),
            Self::Anthropic => anthropic::bad_fault(message, request_id),
            Self::Gemini => gemini::bad_fault(message),
        }
    }

    /// The refusal of a body past the limit.
    pub(crate) fn too_large(self, limit: usize, request_id: &str) -> Reply {
        match self {
            Self::OpenAi | Self::Azure => openai::too_large(limit),
            Self::Anthropic => anthropic::too_large(request_id),
            Self::Gemini => gemini::too_large(limit),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a request; what is wrong with it is told in its answer.
    pub(crate) fn read(protocol: Protocol, head: &'a Parts, body: &[u8]) -> Self {
        match protocol {
            Protocol::OpenAi => Self::OpenAi(openai::Request::read(&head.method, head.uri.path(), body)),
            Protocol::Azure => Self::Azure(azure::Request::read(head, body)),
            Protocol::Anthropic => Self::Anthropic(anthropic::Request::read(head, body)),
            Protocol::Gemini => Self::Gemini(gemini::Request::read(head, body)),
        }
    }

    /// The model that it names.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::OpenAi(request) => request.model(),
            Self::Azure(request) => request.model(),
            Self::Anthropic(request) => request.model(),
            Self::Gemini(request) => request.model(),
        }
    }

    /// Whether it asks for an answer, and not only what there is.
    pub(crate) fn asks(&self) -> bool {
        match self {
            Self::OpenAi(request) => request.asks(),
            Self::Azure(request) => request.asks(),
            Self::Anthropic(request) => request.asks(),
            Self::Gemini(request) => request.asks(),
        }
    }

    /// Answers it.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Reply {
        match self {
            Self::OpenAi(request) => request.answer(call),
            Self::Azure(request) => request.answer(call),
            Self::Anthropic(request) => request.answer(call),
            Self::Gemini(request) => request.answer(call),
        }
    }
}

/// The value of a query's parameter, as it was sent.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|pair| pair.1)
}

/// A text with its `%XX` read; what is no UTF-8 then is replaced.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str, header: Option<&'static str>) -> Protocol {
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(name) = header {
            request = request.header(name, "x");
        }
        Protocol::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_path_tells_the_protocol() {
        assert_eq!(of("POST", "/v1/chat/completions", None), Protocol::OpenAi);
        assert_eq!(of("GET", "/v1/models", None), Protocol::OpenAi);
        assert_eq!(of("GET", "/v1/models", Some("anthropic-version")), Protocol::Anthropic);
        assert_eq!(of("POST", "/v1/messages?beta=true", None), Protocol::Anthropic);
        assert_eq!(of("POST", "/v1/messages/count_tokens", None), Protocol::Anthropic);
        assert_eq!(of("GET", "/v1beta/models", None), Protocol::Gemini);
        assert_eq!(of("POST", "/v1/models/gemini-2.5-pro:generateContent", None), Protocol::Gemini);
        let vertex = "/v1/projects/p/locations/global/publishers/google/models/g:generateContent";
        assert_eq!(of("POST", vertex, None), Protocol::Gemini);
        let azure = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21";
        assert_eq!(of("POST", azure, None), Protocol::Azure);
        assert_eq!(of("POST", "/v1beta/openai/chat/completions", None), Protocol::OpenAi);
    }

    #[test]
    fn escapes_are_read_where_they_are_whole() {
        assert_eq!(decoded("m%3Fstatus%3d500"), "m?status=500");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%4"), "%zz%4");
        assert_eq!(decoded("%+1"), "%+1");
        assert_eq!(parameter("alt=sse&key=abc", "key"), Some("abc"));
    }
}
