//! Server-sent events as a test sees them; shares nothing with the code under test.

use std::time::Instant;

use serde_json::Value;

/// One event or comment with the moment of its last byte.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Instant,
    /// The `event:` field, empty where there is none.
    pub name: String,
    /// The `data:` lines, joined by line ends.
    pub data: String,
    /// The comment lines (`: ...`), joined by line ends.
    pub comment: String,
}

impl Event {
    /// The data as JSON; null for `[DONE]` or a comment.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// Whether it is `data: [DONE]`.
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    /// The text that a chat chunk adds.
    pub fn content(&self) -> String {
        let content = &self.json()["choices"][0]["delta"]["content"];
        content.as_str().unwrap_or_default().to_owned()
    }
}

/// Cuts a byte stream into events.
#[derive(Default)]
pub struct Parser {
    rest: Vec<u8>,
}

impl Parser {
    /// Takes in bytes that came at `at`; gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8], at: Instant) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some((end, next)) = border(&self.rest) {
            let block: Vec<u8> = self.rest.drain(..next).collect();
            events.push(event(&String::from_utf8_lossy(&block[..end]), at));
        }
        events
    }

    /// Bytes that belong to no complete event.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

/// The end of the first block and the start of the next.
fn border(bytes: &[u8]) -> Option<(usize, usize)> {
    let find = |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    let unix = find(b"\n\n").map(|at| (at, at + 2));
    let crlf = find(b"\r\n\r\n").map(|at| (at, at + 4));
    [unix, crlf].into_iter().flatten().min()
}

fn event(block: &str, at: Instant) -> Event {
    let field = |name: &str| -> String {
        let values = block.lines().filter_map(|line| line.strip_prefix(name));
        let values: Vec<&str> = values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        values.join("\n")
    };
    Event { at, name: field("event:"), data: field("data:"), comment: field(":") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = b": note\n\ndata: {\"a\":1}\n\nevent: x\r\ndata: b\r\ndata: c\r\n\r\ndata: [DONE]\n\nhalf";
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::default();
            let events: Vec<Event> = text.chunks(size).flat_map(|c| parser.push(c, Instant::now())).collect();
            assert_eq!(events.len(), 4);
            assert_eq!(events[0].comment, "note");
            assert_eq!(events[1].json()["a"], 1);
            assert_eq!((events[2].name.as_str(), events[2].data.as_str()), ("x", "b\nc"));
            assert!(events[3].is_done());
            assert_eq!(parser.rest(), b"half");
        }
    }
}
