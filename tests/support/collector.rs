//! A collector of traces: takes OTLP over HTTP in JSON, tells which spans came.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    raw::{RawUpstream, wait_for},
    script::Script,
    wire::RawRequest,
};

/// A collector on a free port of 127.0.0.1.
pub struct Collector(RawUpstream);

/// A span as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where it is part of none.
    pub parent: String,
    pub name: String,
    /// 2: a server's, 3: a client's.
    pub kind: u64,
    pub begun: u128,
    pub ended: u128,
    /// Numbers as numbers, lists as lists.
    pub attributes: BTreeMap<String, Value>,
    pub failed: bool,
}

impl Span {
    /// An attribute; null where it is absent.
    pub fn get(&self, key: &str) -> Value {
        self.attributes.get(key).cloned().unwrap_or_default()
    }

    /// A text among the attributes; empty where it is absent.
    pub fn text(&self, key: &str) -> &str {
        self.attributes.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is that of a request, not of a try.
    pub fn is_request(&self) -> bool {
        self.kind == 2
    }
}

impl Collector {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::with(vec![Script::json(200, "{}")]).await
    }

    /// Starts one that does what it is told.
    pub async fn with(scripts: Vec<Script>) -> Self {
        Self(RawUpstream::start(scripts).await)
    }

    /// Lines of `[telemetry]` that send traces here.
    pub fn lines(&self) -> String {
        format!("otlp_endpoint = \"http://{}\"\n", self.0.address())
    }

    /// Where it listens, like `127.0.0.1:40001`.
    pub fn address(&self) -> &str {
        self.0.address()
    }

    /// Every request with spans so far; what comes to other paths is none.
    pub fn requests(&self) -> Vec<RawRequest> {
        let all = self.0.requests().into_iter();
        all.filter(|request| request.line().ends_with("/v1/traces HTTP/1.1")).collect()
    }

    /// The bodies of everything that came, to whatever path.
    pub fn bodies(&self) -> String {
        self.0.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }

    /// Every span so far, in the order in which they ended.
    pub fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|request| spans(&request.json())).collect()
    }

    /// Waits for so many requests' spans; gives all spans, those of requests first.
    pub async fn traced(&self, requests: usize) -> (Vec<Span>, Vec<Span>) {
        let all = wait_for(|| {
            let spans = self.spans();
            (spans.iter().filter(|span| span.is_request()).count() >= requests).then_some(spans)
        });
        all.await.into_iter().partition(Span::is_request)
    }
}

fn spans(body: &Value) -> Vec<Span> {
    let scopes = body["resourceSpans"].as_array().unwrap().iter();
    let scopes = scopes.flat_map(|resource| resource["scopeSpans"].as_array().unwrap());
    let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
    spans
        .map(|span| Span {
            trace: text(&span["traceId"]),
            id: text(&span["spanId"]),
            parent: text(&span["parentSpanId"]),
            name: text(&span["name"]),
            kind: span["kind"].as_u64().unwrap(),
            begun: text(&span["startTimeUnixNano"]).parse().unwrap(),
            ended: text(&span["endTimeUnixNano"]).parse().unwrap(),
            attributes: attributes(&span["attributes"]),
            failed: span["status"]["code"] == 2,
        })
        .collect()
}

/// The attributes of a resource or a span; each stands there once.
pub fn attributes(list: &Value) -> BTreeMap<String, Value> {
    let mut attributes = BTreeMap::new();
    for attribute in list.as_array().unwrap() {
        let key = text(&attribute["key"]);
        let before = attributes.insert(key.clone(), value_of(&attribute["value"]));
        assert_eq!(before, None, "{key} stands there twice: {list}");
    }
    attributes
}

fn value_of(value: &Value) -> Value {
    let (kind, told) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "intValue" => told.as_str().unwrap().parse::<i64>().unwrap().into(),
        "arrayValue" => told["values"].as_array().unwrap().iter().map(value_of).collect(),
        _ => told.clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
