//! The frame around a stream's chunks: what is the same in each is written once.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::reply::Event;

/// Seconds since 1970, for `created`.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// The chunks of one stream.
pub(crate) struct Envelope {
    head: String,
    tail: &'static str,
    include_usage: bool,
}

impl Envelope {
    pub(crate) fn new(id: &str, object: &str, model: &str, include_usage: bool) -> Self {
        let fields = json!({ "id": id, "object": object, "created": now(), "model": model,
            "service_tier": "default", "system_fingerprint": "fp_sim" });
        let fields = fields.to_string();
        let open = fields.strip_suffix('}').unwrap_or(&fields);
        Self {
            head: format!("data: {open},\"choices\":["),
            tail: if include_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" },
            include_usage,
        }
    }

    /// A chunk with this choice, written as JSON.
    pub(crate) fn chunk(&self, choice: &str) -> String {
        let Self { head, tail, .. } = self;
        let mut chunk = String::with_capacity(head.len() + choice.len() + tail.len());
        chunk.push_str(head);
        chunk.push_str(choice);
        chunk.push_str(tail);
        chunk
    }

    /// The usage chunk, where it was asked for, with `[DONE]`.
    pub(crate) fn close(&self, usage: Option<Value>) -> Vec<Event> {
        let usage = usage.filter(|_| self.include_usage);
        let chunk = usage.map(|usage| format!("{}],\"usage\":{usage}}}\n\n", self.head));
        chunk.into_iter().chain(["data: [DONE]\n\n".to_owned()]).map(Event::close).collect()
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
