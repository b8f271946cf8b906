//! A small HTTP client: whole answers, streams of events, raw bytes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::sse::{Event, Parser};

/// The longest that a test waits for anything over HTTP.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one server. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {} {}", self.status, self.text()),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The `error.code` of an error envelope; empty where it is absent.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

impl Client {
    /// A client of the server at `base`, like `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        Self { http: http.build().unwrap(), base: base.to_owned(), headers: Vec::new() }
    }

    /// The same client with a header more on each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same client with a key.
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.parse().unwrap(), url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    fn posted(&self, path: &str, body: impl Into<Bytes>) -> reqwest::RequestBuilder {
        let request = self.request("POST", path).header("content-type", "application/json");
        request.body(body.into())
    }

    /// Asks with GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    /// Asks with any method.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    /// Asks with any method.
    ///
    /// # Errors
    /// The connection failed, or broke before the answer's end.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> reqwest::Result<Answer> {
        answer(self.request(method, path).body(body.into())).await
    }

    /// Posts bytes as JSON.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    /// Posts bytes as JSON.
    ///
    /// # Errors
    /// The connection failed, or broke before the answer's end.
    pub async fn try_post(&self, path: &str, body: impl Into<Bytes>) -> reqwest::Result<Answer> {
        answer(self.posted(path, body)).await
    }

    /// Posts JSON.
    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, body.to_string()).await
    }

    /// Posts JSON; the answer's body is read event by event. The head is here when this returns.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        self.try_stream(path, body).await.unwrap()
    }

    /// Posts JSON; the answer's body is read event by event.
    ///
    /// # Errors
    /// The connection failed before the answer's head.
    pub async fn try_stream(&self, path: &str, body: &Value) -> reqwest::Result<EventStream> {
        self.posted(path, body.to_string()).send().await.map(EventStream::of)
    }

    /// Asks with GET; the answer's body is read event by event.
    pub async fn watch(&self, path: &str) -> EventStream {
        EventStream::of(self.request("GET", path).send().await.unwrap())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let mut response = request.send().await?;
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: response.bytes().await?,
    })
}

/// An answer that is read as it comes. Dropping it closes the connection.
pub struct EventStream {
    response: reqwest::Response,
    parser: Parser,
    /// Events already read, the next one last.
    ready: Vec<Event>,
    raw: Vec<u8>,
    broken: bool,
}

impl EventStream {
    fn of(response: reqwest::Response) -> Self {
        Self { response, parser: Parser::default(), ready: Vec::new(), raw: Vec::new(), broken: false }
    }

    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's value; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        header(self.response.headers(), name)
    }

    /// The next event; none at the end, whether clean or broken.
    pub async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            match self.response.chunk().await {
                Ok(Some(bytes)) => {
                    self.raw.extend_from_slice(&bytes);
                    self.ready = self.parser.push(&bytes, Instant::now());
                    self.ready.reverse();
                }
                Ok(None) => return None,
                Err(_) => {
                    self.broken = true;
                    return None;
                }
            }
        }
        self.ready.pop()
    }

    /// All events that are still to come.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Every byte of the body so far.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether the connection broke before the body's end.
    pub fn broken(&self) -> bool {
        self.broken
    }
}

/// The text that the events of a chat stream make together.
pub fn joined(events: &[Event]) -> String {
    events.iter().map(Event::content).collect()
}

/// Writes bytes to `address` on a connection of their own, then reads until the server closes or says nothing more
/// for `quiet`.
pub async fn exchange(address: &str, bytes: &[u8], quiet: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may close before it has taken everything in.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(quiet, stream.read_buf(&mut answer)).await {}
    answer
}
