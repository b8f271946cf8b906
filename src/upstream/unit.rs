//! One provider at work: its codec, its keys, its limits, its connections.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body_util::Full;
use tower::{Layer as _, Service as _};

use crate::{
    base::secret::Secret,
    config::{Protocol, Provider},
    openai::Ask,
    provider::{Codec, Encoded, codec},
};

use super::{
    credentials::Credentials,
    inflight::{CallError, Guarded, InFlight, InFlightLayer},
    leaf::{Leaf, LeafBody},
    transport::{TransportError, TransportErrorKind},
};

/// The body of an upstream's answer.
pub type UpstreamBody = Guarded<LeafBody>;

/// A provider at work.
pub struct Unit {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub settings: Provider,
    /// Its wire format.
    pub codec: Box<dyn Codec>,
    /// Its keys.
    pub credentials: Credentials,
    keys: Vec<Secret>,
    base: String,
    headers: HeaderMap,
    extra: Vec<(HeaderName, Secret)>,
    stack: InFlight<Leaf>,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Unit {
    /// Sets a provider up; nothing is connected yet.
    ///
    /// # Errors
    /// Which setting cannot be used, and why.
    pub fn new(name: &str, settings: Provider, keys: Vec<Secret>) -> Result<Self, String> {
        let base = match settings.protocol {
            Protocol::Sim => "/v1".to_owned(),
            Protocol::Openai => base_path(&settings.base_url)?,
        };
        let extra = extra_headers(&settings)?;
        Ok(Self {
            name: name.into(),
            codec: codec(settings.protocol),
            credentials: Credentials::new(keys.clone()),
            keys,
            base,
            headers: common_headers(&extra)?,
            extra,
            stack: InFlightLayer::new(settings.max_concurrent).layer(Leaf::new(&settings)?),
            settings,
        })
    }

    /// Whether it was set up with these settings and keys.
    pub fn is_same(&self, settings: &Provider, keys: &[Secret]) -> bool {
        // Settings compare by what is written, so a header whose secret has changed is looked at by its value.
        let written = |settings| serde_json::to_value(settings).ok();
        written(&self.settings) == written(settings)
            && self.keys == keys
            && extra_headers(settings).is_ok_and(|extra| extra == self.extra)
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`CallError`]: no room, or the transport failed.
    pub async fn send(
        &self,
        ask: &Ask,
        encoded: Encoded,
        key: Option<&Secret>,
    ) -> Result<http::Response<UpstreamBody>, CallError<TransportError>> {
        let uri = Uri::try_from(format!("{}{}", self.base, encoded.path)).map_err(|_| {
            let message = "base_url and the path of the request make no valid address".to_owned();
            CallError::Transport(TransportError { kind: TransportErrorKind::Connect, message })
        })?;
        let mut request = http::Request::new(Full::new(encoded.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let accept = if ask.stream() { "text/event-stream" } else { "application/json" };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.extend(encoded.headers);
        if let Some(key) = key {
            self.codec.authorize(key, headers).map_err(|unusable| {
                let message = unusable.to_string();
                CallError::Transport(TransportError { kind: TransportErrorKind::Connect, message })
            })?;
        }
        self.stack.clone().call(request).await
    }
}

/// The path of a base URL, without the slash at its end.
fn base_path(base_url: &str) -> Result<String, String> {
    let uri: Uri = base_url.parse().map_err(|_| format!("base_url `{base_url}` is not a URL"))?;
    Ok(uri.path().trim_end_matches('/').to_owned())
}

fn extra_headers(settings: &Provider) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut extra = Vec::new();
    for (name, source) in &settings.headers {
        let parsed =
            HeaderName::try_from(name).map_err(|_| format!("headers.{name} is not a header name"))?;
        // A header whose variable is unset is left out, like a key.
        if let Some(value) = source.resolve()? {
            extra.push((parsed, value));
        }
    }
    Ok(extra)
}

fn common_headers(extra: &[(HeaderName, Secret)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let agent = concat!("weir/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in extra {
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("headers.{name} holds characters that no header may hold"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The bytes of a request body.
pub type RequestBody = Full<Bytes>;
