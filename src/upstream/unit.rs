//! One provider at work: its codec, its keys, its limits, its connections.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    base::{boxed::boxed, outcome::Outcome, secret::Secret},
    config::{Protocol, Provider},
    metrics::{Metrics, NONE},
    news::Bell,
    openai::{Ask, edit::Spliced},
    provider::{Codec, Encoded, Failure, PATHS, UnusableKey, codec},
    route::Target,
    sim::Sim,
};

use super::{
    allowance::Allowance,
    checkup::Checkup,
    credentials::{Credential, Credentials, Lent, Shut, Standing},
    inflight::{CallError, Guarded, InFlight},
    leaf::{Leaf, LeafBody},
    progress::Progress,
    transport::{Letter, Letterhead, TransportError, TransportErrorKind},
};

/// The body of an upstream's answer.
pub type UpstreamBody = Guarded<LeafBody>;

/// What comes of a call: an answer, or why there is none.
pub type Called = Result<Response<UpstreamBody>, CallError<TransportError>>;

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
    /// The usual paths below it.
    paths: Vec<(&'static str, PathAndQuery)>,
    headers: HeaderMap,
    /// The headers of tries by credential.
    heads: Vec<Result<Heads, UnusableKey>>,
    extra: Vec<(HeaderName, Secret)>,
    bound: InFlight,
    leaf: Leaf,
}

/// The headers of tries with one credential.
struct Heads {
    whole: Arc<Letterhead>,
    stream: Arc<Letterhead>,
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
        let headers = common_headers(&extra)?;
        let codec = codec(&settings);
        let credentials = credentials(&name, &settings, &keys, metrics);
        let heads = credentials.iter().map(|one| Heads::new(&*codec, &headers, one.secret.as_ref()));
        Ok(Self {
            heads: heads.collect(),
            codec,
            credentials: Credentials::new(&name, credentials, bell.clone()),
            allowance: Arc::new(Allowance::new(&settings, Instant::now())),
            checkup: Arc::default(),
            name,
            keys,
            paths: PATHS.into_iter().filter_map(|path| Some((path, address(&base, path)?))).collect(),
            base,
            headers,
            extra,
            bound: InFlight::new(settings.max_concurrent),
            leaf: Leaf::new(&settings)?,
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
        match &self.leaf {
            Leaf::Sim(sim) => Some(sim),
            Leaf::Network(_) => None,
        }
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`CallError`]: no room, or the transport failed.
    pub fn send(
        &self,
        ask: &Ask,
        encoded: Encoded,
        lent: &Lent<'_>,
        progress: &Progress,
    ) -> BoxFuture<'_, Called> {
        self.call(self.letter(ask, encoded, lent.slot(), progress))
    }

    /// Reads what is at a path below its address, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`CallError`]: no room, or the transport failed.
    pub fn get(&self, path: &str, key: Option<&Secret>) -> BoxFuture<'_, Called> {
        let mut headers = self.headers.clone();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let head = complete(headers, &*self.codec, key).map_err(|unusable| unsendable(unusable.to_string()));
        let (method, body) = (Method::GET, Spliced::default());
        self.call(head.and_then(|head| {
            let path = self.address(path)?;
            Ok(Letter { method, path, head, body, progress: None })
        }))
    }

    /// A request with the credential at this place.
    fn letter(
        &self,
        ask: &Ask,
        encoded: Encoded,
        slot: usize,
        progress: &Progress,
    ) -> Result<Letter, CallError<TransportError>> {
        let heads = self.heads[slot].as_ref().map_err(|unusable| unsendable(unusable.to_string()))?;
        let usual = if ask.stream() { &heads.stream } else { &heads.whole };
        let stands_there = |(name, value)| usual.headers().get(name) == Some(value);
        let head = if encoded.headers.iter().all(stands_there) {
            Arc::clone(usual)
        } else {
            let mut headers = usual.headers().clone();
            headers.extend(encoded.headers);
            Arc::new(Letterhead::new(headers))
        };
        let (method, path) = (Method::POST, self.address(&encoded.path)?);
        Ok(Letter { method, path, head, body: encoded.body, progress: Some(progress.clone()) })
    }

    /// A path below its address.
    fn address(&self, path: &str) -> Result<PathAndQuery, CallError<TransportError>> {
        if let Some((_, known)) = self.paths.iter().find(|(known, _)| *known == path) {
            return Ok(known.clone());
        }
        let unusable = "base_url and the path of the request make no valid address";
        address(&self.base, path).ok_or_else(|| unsendable(unusable.to_owned()))
    }

    /// Boxed at once, as all that a try becomes would else carry the room that its call takes.
    fn call(&self, letter: Result<Letter, CallError<TransportError>>) -> BoxFuture<'_, Called> {
        boxed(|| async move {
            let letter = letter?;
            self.bound.call(|| self.leaf.send(&letter)).await
        })
    }
}

impl Heads {
    fn new(codec: &dyn Codec, common: &HeaderMap, key: Option<&Secret>) -> Result<Self, UnusableKey> {
        let head = |accept| {
            let mut headers = common.clone();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            complete(headers, codec, key)
        };
        Ok(Self { whole: head("application/json")?, stream: head("text/event-stream")? })
    }
}

/// Headers with what the protocol and the credential add.
fn complete(
    mut headers: HeaderMap,
    codec: &dyn Codec,
    key: Option<&Secret>,
) -> Result<Arc<Letterhead>, UnusableKey> {
    headers.extend(codec.headers());
    key.map_or(Ok(()), |key| codec.authorize(key, &mut headers))?;
    Ok(Arc::new(Letterhead::new(headers)))
}

/// The address of a path below a base; `None`: they make none.
fn address(base: &str, path: &str) -> Option<PathAndQuery> {
    Uri::try_from(format!("{base}{path}")).ok()?.into_parts().path_and_query
}

/// Nothing was sent.
fn unsendable(message: String) -> CallError<TransportError> {
    CallError::Transport(TransportError { kind: TransportErrorKind::Connect, message })
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
