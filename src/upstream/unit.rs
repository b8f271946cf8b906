//! One provider at work: its codec, its keys, its limits, its connections.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer as _, Service as _};

use crate::{
    base::{outcome::Outcome, secret::Secret},
    config::{Protocol, Provider},
    metrics::{Metrics, NONE},
    news::Bell,
    openai::Ask,
    provider::{Codec, Encoded, Failure, codec},
    route::Target,
    sim::Sim,
};

use super::{
    allowance::Allowance,
    checkup::Checkup,
    credentials::{Credential, Credentials, Shut, Standing},
    inflight::{CallError, Guarded, InFlight, InFlightLayer},
    leaf::{Leaf, LeafBody},
    progress::Progress,
    transport::{TransportError, TransportErrorKind},
};

/// The body of an upstream's answer.
pub type UpstreamBody = Guarded<LeafBody>;

/// A shorter secret is not looked for in texts: it would match words that are none.
const SHORTEST_SECRET: usize = 8;

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
    /// What it may be sent a minute.
    pub allowance: Arc<Allowance>,
    /// What its health checks showed.
    pub checkup: Arc<Checkup>,
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
    pub fn new(
        name: &str,
        settings: Provider,
        keys: Vec<Secret>,
        metrics: &Metrics,
        bell: &Bell,
    ) -> Result<Self, String> {
        let name: Arc<str> = name.into();
        let base = match settings.protocol {
            Protocol::Sim => "/v1".to_owned(),
            _ => base_path(&settings.base_url)?,
        };
        let extra = extra_headers(&settings)?;
        Ok(Self {
            codec: codec(&settings),
            credentials: Credentials::new(&name, credentials(&name, &settings, &keys, metrics), bell.clone()),
            allowance: Arc::new(Allowance::new(&settings, Instant::now())),
            checkup: Arc::default(),
            name,
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

    /// Goes on with what was known of the same provider under other settings.
    pub fn inherit(&mut self, before: &Self) {
        if self.settings.base_url == before.settings.base_url {
            self.credentials.inherit(&before.credentials);
        }
        self.checkup = Arc::clone(&before.checkup);
        if self.allowance.is_same(&before.allowance) {
            self.allowance = Arc::clone(&before.allowance);
        }
    }

    /// How long the settings let one of its targets take to its first token (`stream`), or to its end.
    pub fn patience(&self, target: &Target, stream: bool) -> Duration {
        match stream {
            true => target.first_byte_timeout.unwrap_or(self.settings.first_byte_timeout.0),
            false => self.settings.answer_timeout.0,
        }
    }

    /// Whether one of its models may be asked now, as far as credentials and limits of requests and tokens say.
    /// `model` is the provider's own name for it.
    pub fn standing(&self, model: &str, now: Instant) -> Standing {
        let wait = self.allowance.ready_in(now);
        match self.credentials.standing(model, now) {
            Standing::Usable if wait.is_zero() => Standing::Usable,
            Standing::Usable => Standing::Shut(Shut { why: Outcome::RateLimited, until: now + wait }),
            // Both have to be over.
            Standing::Shut(shut) => Standing::Shut(Shut { until: shut.until.max(now + wait), ..shut }),
        }
    }

    /// Takes this provider's secrets out of what it said: one that repeats a request's headers in its errors would
    /// show them to clients.
    pub fn veil(&self, mut failure: Failure) -> Failure {
        let secrets = self.keys.iter().chain(self.extra.iter().map(|(_, value)| value));
        for secret in secrets.map(Secret::expose).filter(|secret| secret.len() >= SHORTEST_SECRET) {
            let error = &mut *failure.error;
            let param = error.param.as_mut();
            let names = [&mut error.kind, &mut error.code].into_iter().flatten().map(Cow::to_mut);
            for text in names.chain(param).chain([&mut error.message]) {
                if text.contains(secret) {
                    *text = text.replace(secret, "[redacted]");
                }
            }
        }
        failure
    }

    /// The simulated provider behind it, if it is one inside this process.
    pub fn sim(&self) -> Option<&Sim> {
        match self.stack.inner() {
            Leaf::Sim(sim) => Some(sim),
            Leaf::Network(_) => None,
        }
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
        progress: &Progress,
    ) -> Result<http::Response<UpstreamBody>, CallError<TransportError>> {
        let mut request = self.request(Method::POST, &encoded.path, encoded.body)?;
        let headers = request.headers_mut();
        let accept = if ask.stream() { "text/event-stream" } else { "application/json" };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.extend(encoded.headers);
        request.extensions_mut().insert(progress.clone());
        self.call(request, key).await
    }

    /// Reads what is at a path below its address, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`CallError`]: no room, or the transport failed.
    pub async fn get(
        &self,
        path: &str,
        key: Option<&Secret>,
    ) -> Result<http::Response<UpstreamBody>, CallError<TransportError>> {
        let mut request = self.request(Method::GET, path, Bytes::new())?;
        let headers = request.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.codec.headers());
        self.call(request, key).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Request<RequestBody>, CallError<TransportError>> {
        let uri = Uri::try_from(format!("{}{path}", self.base)).map_err(|_| {
            let message = "base_url and the path of the request make no valid address".to_owned();
            CallError::Transport(TransportError { kind: TransportErrorKind::Connect, message })
        })?;
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&self.headers);
        Ok(request)
    }

    async fn call(
        &self,
        mut request: http::Request<RequestBody>,
        key: Option<&Secret>,
    ) -> Result<http::Response<UpstreamBody>, CallError<TransportError>> {
        if let Some(key) = key {
            self.codec.authorize(key, request.headers_mut()).map_err(|unusable| {
                let message = unusable.to_string();
                CallError::Transport(TransportError { kind: TransportErrorKind::Connect, message })
            })?;
        }
        self.stack.clone().call(request).await
    }
}

/// The credentials in the order in which they take turns; one without a secret where there is no key.
fn credentials(name: &str, settings: &Provider, keys: &[Secret], metrics: &Metrics) -> Vec<Credential> {
    let one = |secret: Option<Secret>, place: String| {
        let metrics = metrics.credential(name, &place);
        Credential { secret, place: place.into(), metrics }
    };
    if keys.is_empty() {
        return vec![one(None, NONE.to_owned())];
    }
    // Those that are unset have no turn, but the others keep their places.
    let written = settings.api_keys.iter().flatten().enumerate();
    let set = written.filter(|(_, source)| matches!(source.resolve(), Ok(Some(_)))).map(|(at, _)| at);
    let places: Vec<usize> = set.collect();
    let place = |at| if places.len() == keys.len() { places[at] } else { at };
    let all = keys.iter().enumerate();
    all.map(|(at, key)| one(Some(key.clone()), format!("api_keys[{}]", place(at)))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SecretSource, openai::ErrorBody};

    #[test]
    fn what_a_provider_says_is_shown_without_its_secrets() {
        let mut settings = Provider { base_url: "http://127.0.0.1:1/v1".into(), ..Provider::default() };
        settings.headers.insert("x-team".into(), SecretSource::parse("header-canary"));
        let keys = vec![Secret::new("key-canary"), Secret::new("the")];
        let metrics = Metrics::new().unwrap();
        let unit = Unit::new("p", settings, keys, &metrics, &Bell::unheard(&metrics)).unwrap();
        let error = ErrorBody {
            message: "You sent key-canary and the header-canary, key-canary".into(),
            kind: Some("key-canary".into()),
            param: Some("header-canary".into()),
            code: None,
        };
        let failure = unit.veil(Failure::new(Outcome::Rejected, error));
        let shown = String::from_utf8(failure.error.to_json(&[]).to_vec()).unwrap();
        assert!(!shown.contains("canary") && shown.contains("and the [redacted], [redacted]"), "{shown}");
    }
}
