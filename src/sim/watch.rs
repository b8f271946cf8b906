//! The guard of one request: whatever becomes of it, the log hears of it once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, header, request};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    dice::Dice,
    log::{Finished, Log, LogEntry},
    text,
};

const BODY: usize = 64 * 1024;
const HEADERS: usize = 64;
const HEADER_VALUE: usize = 1024;
const SECRET: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

/// What goes on at a simulated provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests since its start.
    pub requests: u64,
    /// Requests under way.
    pub open_requests: u64,
    /// Streams under way.
    pub open_streams: u64,
    /// The most streams that ever were at a time.
    pub peak_open_streams: u64,
    /// Connections that are open, where it is served.
    pub connections: u64,
    /// Connections since its start, where it is served.
    pub accepted_connections: u64,
    /// Log entries that had to make room.
    pub log_dropped: u64,
}

/// The counts behind [`Stats`].
#[derive(Default)]
pub(crate) struct Gauges {
    requests: AtomicU64,
    open: AtomicU64,
    streams: AtomicU64,
    peak: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) accepted: AtomicU64,
}

/// Where requests are recorded.
pub(crate) struct Record {
    pub(crate) log: Log,
    pub(crate) gauges: Gauges,
    pub(crate) seed: u64,
}

impl Record {
    pub(crate) fn stats(&self) -> Stats {
        let gauges = &self.gauges;
        let get = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        Stats {
            requests: get(&gauges.requests),
            open_requests: get(&gauges.open),
            open_streams: get(&gauges.streams),
            peak_open_streams: get(&gauges.peak),
            connections: get(&gauges.connections),
            accepted_connections: get(&gauges.accepted),
            log_dropped: self.log.dropped(),
        }
    }
}

/// The guard of one request.
pub(crate) struct Watch {
    record: Arc<Record>,
    start: Instant,
    logged: bool,
    streaming: bool,
    /// What the log is told; `finished` by [`Watch::finish`] only.
    pub(crate) entry: LogEntry,
}

impl Watch {
    /// Begins with a request's head and its API key.
    pub(crate) fn begin(record: &Arc<Record>, head: &request::Parts, key: Option<&str>) -> Self {
        let seq = record.gauges.requests.fetch_add(1, Ordering::Relaxed);
        record.gauges.open.fetch_add(1, Ordering::Relaxed);
        let entry = LogEntry {
            seq,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            model: None,
            request_id: Dice::of(record.seed, &[b"request", &seq.to_le_bytes()]).id("req_", 24),
            key: key.map(key_mark),
            headers: Arc::new(shown_headers(&head.headers)),
            body: "".into(),
            body_bytes: 0,
            stream: false,
            status: None,
            fault: None,
            chunks: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            finished: Finished::Open,
            client_left_ms: None,
        };
        Self { record: Arc::clone(record), start: Instant::now(), logged: false, streaming: false, entry }
    }

    /// When the request began.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Enters the request in the log, now that its body is here.
    pub(crate) fn received(&mut self, body: &Bytes, model: Option<&str>) {
        self.entry.model = model.map(|model| text::head(model, HEADER_VALUE).to_owned());
        self.entry.body_bytes = body.len();
        self.entry.body = String::from_utf8_lossy(&body[..body.len().min(BODY)]).into();
        self.log();
    }

    /// Counts the answer among the open streams.
    pub(crate) fn streams(&mut self) {
        if !self.streaming {
            self.streaming = true;
            let open = self.record.gauges.streams.fetch_add(1, Ordering::Relaxed) + 1;
            self.record.gauges.peak.fetch_max(open, Ordering::Relaxed);
        }
    }

    /// Ends the request as it should be.
    pub(crate) fn finish(mut self, finished: Finished) {
        self.entry.finished = finished;
    }

    /// Writes the entry as it is now.
    pub(crate) fn log(&mut self) {
        if self.logged {
            self.record.log.update(self.entry.clone());
        } else {
            self.logged = true;
            self.record.log.add(self.entry.clone());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.entry.finished == Finished::Open {
            self.entry.finished = Finished::ClientLeft;
            self.entry.client_left_ms = u64::try_from(self.start.elapsed().as_millis()).ok();
        }
        self.log();
        let gauges = &self.record.gauges;
        gauges.open.fetch_sub(1, Ordering::Relaxed);
        if self.streaming {
            gauges.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The token of a request's `authorization`, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// What stands for an API key in the log: the first 12 hex digits of its SHA-256.
pub fn key_mark(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn shown_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let shown = headers.iter().take(HEADERS).map(|(name, value)| {
        let value = if SECRET.contains(&name.as_str()) {
            "[redacted]".to_owned()
        } else {
            text::head(&String::from_utf8_lossy(value.as_bytes()), HEADER_VALUE).to_owned()
        };
        (name.to_string(), value)
    });
    shown.collect()
}
