//! The record of what a simulated provider was sent, with what became of each answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// How many bytes of bodies and headers are kept in all.
const BYTES: usize = 128 * 1024 * 1024;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finished {
    /// It is under way.
    Open,
    /// It was given whole; also the refusal of a bad request.
    Complete,
    /// The client left before its end.
    ClientLeft,
    /// A fault stood in its place or cut it short.
    Fault,
}

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct LogEntry {
    /// Its number, from 0.
    pub seq: u64,
    /// Its HTTP method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// The model that it names, with what follows a `?`.
    pub model: Option<String>,
    /// The id that its answer carries as `x-request-id`.
    pub request_id: String,
    /// The first 12 hex digits of the SHA-256 of its API key.
    pub key: Option<String>,
    /// Its headers, without the values of those that carry secrets.
    pub headers: Arc<BTreeMap<String, String>>,
    /// The first 64 KiB of its body.
    pub body: Arc<str>,
    /// The length of the whole body, in bytes.
    pub body_bytes: usize,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// The status of its answer, once there is a head.
    pub status: Option<u16>,
    /// The fault that it was shown.
    pub fault: Option<String>,
    /// The content chunks that were sent.
    pub chunks: u32,
    /// The prompt's tokens.
    pub prompt_tokens: u64,
    /// The answer's tokens that were sent.
    pub completion_tokens: u64,
    /// How it ended.
    pub finished: Finished,
    /// When the client left, in ms since the request's start.
    pub client_left_ms: Option<u64>,
}

impl LogEntry {
    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        256 + self.body.len() + headers
    }
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    dropped: u64,
}

/// The latest entries.
pub(crate) struct Log {
    limit: usize,
    kept: Mutex<Kept>,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// Adds an entry; the oldest make room.
    pub(crate) fn add(&self, entry: LogEntry) {
        let mut kept = self.kept();
        kept.bytes += entry.bytes();
        kept.entries.push_back(entry);
        while kept.entries.len() > self.limit || kept.bytes > BYTES {
            let Some(oldest) = kept.entries.pop_front() else {
                break;
            };
            kept.bytes -= oldest.bytes();
            kept.dropped += 1;
        }
    }

    /// Puts an entry in the place of its former self, if that is still kept.
    pub(crate) fn update(&self, entry: LogEntry) {
        let mut kept = self.kept();
        // Requests that end late stand near the back, and those that overtook them are few.
        if let Some(place) = kept.entries.iter_mut().rev().find(|kept| kept.seq == entry.seq) {
            let (before, after) = (place.bytes(), entry.bytes());
            *place = entry;
            kept.bytes = (kept.bytes - before) + after;
        }
    }

    /// Copies of all entries, the oldest first.
    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.kept().entries.iter().cloned().collect()
    }

    /// How many entries had to make room.
    pub(crate) fn dropped(&self) -> u64 {
        self.kept().dropped
    }

    /// Forgets all entries.
    pub(crate) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, body: &str) -> LogEntry {
        LogEntry {
            seq,
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            model: None,
            request_id: String::new(),
            key: None,
            headers: Arc::default(),
            body: body.into(),
            body_bytes: body.len(),
            stream: false,
            status: None,
            fault: None,
            chunks: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            finished: Finished::Open,
            client_left_ms: None,
        }
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let log = Log::new(3);
        (0..5).for_each(|seq| log.add(entry(seq, "")));
        assert_eq!(log.entries().iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(log.dropped(), 2);
        log.update(LogEntry { finished: Finished::Complete, ..entry(3, "x") });
        log.update(entry(0, "gone"));
        assert_eq!(log.entries()[1].finished, Finished::Complete);
        log.clear();
        assert!(log.entries().is_empty());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let log = Log::new(usize::MAX);
        let body = "x".repeat(64 * 1024);
        (0..3000).for_each(|seq| log.add(entry(seq, &body)));
        assert!(log.dropped() > 0);
        assert!(log.kept().bytes <= BYTES);
    }
}
