//! A stream that was read to its end, as a client sees it.

use std::time::Instant;

use serde_json::Value;

use super::{client::EventStream, sse::Event};

/// The path of chat requests.
pub const CHAT: &str = "/v1/chat/completions";

/// What came.
#[derive(Debug)]
pub struct Transcript {
    /// The text of all chunks.
    pub text: String,
    /// How many chunks had text.
    pub contents: usize,
    /// How many chunks named a role.
    pub roles: usize,
    /// How many `[DONE]` there were.
    pub dones: usize,
    /// The errors in the stream.
    pub errors: Vec<Value>,
    /// Whether the connection broke.
    pub broken: bool,
    /// When the last event came.
    pub ended: Instant,
    /// All events.
    pub events: Vec<Event>,
}

impl Transcript {
    /// Reads what is left of a stream.
    pub async fn of(stream: &mut EventStream) -> Self {
        let events = stream.rest().await;
        let has = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        Self {
            text: events.iter().map(Event::content).collect(),
            contents: has(|event| !event.content().is_empty()),
            roles: has(|event| event.json()["choices"][0]["delta"].get("role").is_some()),
            dones: has(Event::is_done),
            errors: events
                .iter()
                .map(|event| event.json()["error"].clone())
                .filter(|error| !error.is_null())
                .collect(),
            broken: stream.broken(),
            ended: Instant::now(),
            events,
        }
    }

    /// Whether it is a whole answer: one role, one `[DONE]` at its end, no error.
    pub fn is_clean(&self) -> bool {
        let last = self.events.last().is_some_and(Event::is_done);
        last && self.dones == 1 && self.roles <= 1 && self.errors.is_empty() && !self.broken
    }

    /// Whether it broke off as it should: an error event at its end, no `[DONE]`.
    pub fn is_cut(&self) -> bool {
        let last = self.events.last().is_some_and(|event| !event.json()["error"].is_null());
        last && self.errors.len() == 1 && self.dones == 0 && !self.broken
    }
}
