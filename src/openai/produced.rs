//! Counting what a model produced, for answers that do not say it.

use memchr::memchr2;

use super::{
    alike::Alike,
    fold,
    said::Said,
    texts::{self, Kind},
    unescape::unescape,
};
use crate::base::tokens;

/// Frames are looked at once so many bytes have come.
const BUFFER: usize = 4096;
/// A text that waits for the end of its last word is counted once it is so long, in bytes, save for [`KEPT`].
const PENDING: usize = 1024;
/// So many bytes of texts wait however long they are: most streams are over by then, and tell what they took.
const KEPT: usize = 8192;
/// Texts that may wait at a time; others share the last one's place.
const TEXTS: usize = 256;
/// Tokens around a tool call.
const CALL: u64 = 4;

/// Counts the tokens in a stream of OpenAI's format, a chat's or a completion's. Frames that are unlike the others are only
/// copied until there is enough to count.
#[derive(Debug, Default)]
pub struct Produced {
    frames: Vec<u8>,
    alike: Alike,
    tally: Tally,
}

impl Produced {
    /// A count of nothing, that keeps nothing of what is said.
    pub fn new() -> Self {
        Self::default()
    }

    /// A count of nothing that keeps so many bytes of what the first choice says.
    pub fn keeping(bytes: usize) -> Self {
        Self { tally: Tally { said: Said::keeping(bytes), ..Tally::default() }, ..Self::default() }
    }

    /// What was said so far.
    pub fn said(&mut self) -> &Said {
        self.fold();
        &self.tally.said
    }

    /// Takes whole events as they go to the client. What cannot be read is passed over.
    pub fn push(&mut self, frame: &[u8]) {
        if let Some((choice, word)) = self.alike.word(frame) {
            self.fold();
            return self.tally.add(choice, Kind::Said, word);
        }
        if self.alike.learns() {
            self.alike.learn(frame);
            return self.tally.frames(frame);
        }
        if self.frames.len() + frame.len() > BUFFER {
            self.fold();
        }
        if frame.len() > BUFFER {
            return self.tally.frames(frame);
        }
        if self.frames.capacity() == 0 {
            self.frames.reserve_exact(BUFFER + 2);
        }
        self.frames.extend_from_slice(frame);
        // Should the frame lack its blank line, the next one stays an event of its own.
        self.frames.extend_from_slice(b"\n\n");
    }

    /// The tokens so far: what was shown, what was thought.
    pub fn tokens(&mut self) -> (u64, u64) {
        self.fold();
        self.tally.tokens()
    }

    fn fold(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        self.tally.frames(&self.frames);
        self.frames.clear();
    }
}

/// The tokens in a whole answer of OpenAI's format: what is shown, what was thought.
pub fn count_answer(body: &[u8]) -> (u64, u64) {
    let mut tally = Tally::default();
    tally.payload(body);
    tally.tokens()
}

/// A text whose last word may go on.
#[derive(Debug)]
struct Pending {
    choice: u64,
    kind: Kind,
    text: String,
}

#[derive(Debug, Default)]
struct Tally {
    output: u64,
    reasoning: u64,
    pending: Vec<Pending>,
    /// Bytes of all pending texts.
    kept: usize,
    said: Said,
    /// The payload of an event with several lines of data.
    joined: Vec<u8>,
}

impl Tally {
    fn tokens(&self) -> (u64, u64) {
        let (mut output, mut reasoning) = (self.output, self.reasoning);
        for Pending { kind, text, .. } in &self.pending {
            let count = tokens::count(text) as u64;
            match kind {
                Kind::Thought => reasoning += count,
                _ => output += count,
            }
        }
        (output, reasoning)
    }

    /// Takes events, one after another.
    fn frames(&mut self, frames: &[u8]) {
        let mut joined = std::mem::take(&mut self.joined);
        let (mut rest, mut first): (_, Option<&[u8]>) = (frames, None);
        while !rest.is_empty() {
            let line = line(&mut rest);
            match (line.strip_prefix(b"data:"), first) {
                (Some(data), None) => first = Some(data),
                (Some(data), Some(before)) => {
                    if joined.is_empty() {
                        joined.extend_from_slice(before);
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(data);
                }
                (None, Some(data)) if line.is_empty() => {
                    self.payload(if joined.is_empty() { data } else { &joined });
                    joined.clear();
                    first = None;
                }
                (None, _) => {}
            }
        }
        if let Some(data) = first {
            self.payload(if joined.is_empty() { data } else { &joined });
        }
        joined.clear();
        self.joined = joined;
    }

    /// Takes a chunk or a whole answer.
    fn payload(&mut self, data: &[u8]) {
        texts::each(data, &mut |choice, kind, raw| self.add(choice, kind, raw));
    }

    /// Takes more of a text, as JSON.
    fn add(&mut self, choice: u64, kind: Kind, raw: &str) {
        self.said.add(choice, kind, raw);
        if matches!(kind, Kind::Shown | Kind::Ended) {
            return;
        }
        let Some(json) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return };
        if json.is_empty() {
            return;
        }
        if kind == Kind::Name {
            self.output += tokens::count(&fold::text(raw).unwrap_or_default()) as u64 + CALL;
            return;
        }
        let known = self.pending.iter().position(|text| (text.choice, text.kind) == (choice, kind));
        let at = known.unwrap_or_else(|| {
            if self.pending.len() < TEXTS {
                self.pending.push(Pending { choice, kind, text: String::new() });
            }
            self.pending.len() - 1
        });
        let text = &mut self.pending[at].text;
        let before = text.len();
        unescape(json, text);
        let length = text.len();
        self.kept += length - before;
        if length > PENDING && self.kept > KEPT {
            self.count(at);
        }
    }

    /// Counts a text up to its last word.
    fn count(&mut self, at: usize) {
        let Pending { kind, text, .. } = &mut self.pending[at];
        let end = last_word(text);
        let count = tokens::count(&text[..end]) as u64;
        match kind {
            Kind::Thought => self.reasoning += count,
            _ => self.output += count,
        }
        text.drain(..end);
        self.kept -= end;
    }
}

/// Takes the first line off, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let bytes = *rest;
    let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
    let both = bytes[end..].starts_with(b"\r\n");
    *rest = bytes.get(end + 1 + usize::from(both)..).unwrap_or_default();
    &bytes[..end]
}

/// Where the last word with its space begins; the end where there is none. Tokens never reach across a single space.
fn last_word(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_border = |at: &usize| {
        let around = [bytes[at - 1], bytes[at + 1]];
        bytes[*at] == b' ' && !around.iter().any(u8::is_ascii_whitespace)
    };
    // What is far from the end need not wait for it.
    let nearest = text.len().saturating_sub(PENDING / 2).max(1);
    (nearest..text.len().saturating_sub(1)).rev().find(is_border).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TEXT: &str = "The quick brown fox said: \"naïve 日本語 🦀🦀\",\n\n\tthen it ran 12345 times (really!) over the \
                        lazy dog's back; nobody's perfect, after all...\n";

    fn frame(choice: u64, delta: &serde_json::Value) -> Vec<u8> {
        let chunk = json!({"choices": [{"index": choice, "delta": delta, "finish_reason": null}]});
        format!("data: {chunk}\n\n").into_bytes()
    }

    fn count(text: &str) -> u64 {
        tokens::count(text) as u64
    }

    /// Cuts a text into pieces of so many characters.
    fn pieces(text: &str, size: usize) -> Vec<String> {
        text.chars().collect::<Vec<_>>().chunks(size).map(|piece| piece.iter().collect()).collect()
    }

    #[test]
    fn a_stream_counts_as_its_text_however_it_is_cut() {
        let text = TEXT.repeat(40);
        let exact = count(&text);
        for size in 1..=20 {
            let mut produced = Produced::new();
            for piece in pieces(&text, size) {
                produced.push(&frame(0, &json!({"content": piece})));
            }
            produced.push(b"data: [DONE]\n\n");
            let (output, reasoning) = produced.tokens();
            assert_eq!(reasoning, 0);
            assert!(output.abs_diff(exact) * 100 <= exact, "{size}: {output} of {exact}");
            assert_eq!(produced.tokens().0, output, "asking changes nothing");
        }
    }

    #[test]
    fn a_stream_cut_anywhere_has_what_came() {
        let text = TEXT.repeat(8);
        let mut produced = Produced::new();
        let mut said = String::new();
        for piece in pieces(&text, 3) {
            produced.push(&frame(0, &json!({"content": piece})));
            said.push_str(&piece);
            let (output, _) = produced.tokens();
            assert!(output.abs_diff(count(&said)) <= 3, "{output} of {}: {said}", count(&said));
        }
    }

    #[test]
    fn choices_thoughts_with_calls_are_told_apart() {
        let mut produced = Produced::new();
        for piece in pieces(TEXT, 2) {
            for choice in [0, 1] {
                produced.push(&frame(choice, &json!({"content": piece})));
                produced.push(&frame(choice, &json!({"reasoning": piece, "reasoning_content": piece})));
            }
            let call = |index| json!({"index": index, "function": {"arguments": piece}});
            produced.push(&frame(0, &json!({"tool_calls": [call(0), call(1)]})));
        }
        let call = json!({"tool_calls": [{"index": 2, "id": "c", "function": {"name": "get_weather", "arguments": ""}}]});
        produced.push(&frame(0, &call));
        assert_eq!(produced.tokens(), (4 * count(TEXT) + count("get_weather") + 4, 2 * count(TEXT)));
    }

    #[test]
    fn every_form_of_answer_is_counted() {
        let one = count(TEXT);
        for (body, expected) in [
            (json!({"choices": [{"text": TEXT}, {"index": 1, "text": TEXT}]}), (2 * one, 0)),
            (
                json!({"choices": [{"message": {"content": TEXT, "refusal": null, "reasoning": TEXT}}]}),
                (one, one),
            ),
            (json!({"choices": [{"message": {"content": null, "refusal": TEXT}}]}), (one, 0)),
            (
                json!({"choices": [{"message": {"content": [{"type": "thinking", "thinking": [{"text": TEXT}]},
                    {"type": "text", "text": TEXT}]}}]}),
                (one, one),
            ),
            (
                json!({"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": TEXT}},
                    {"function": {"name": "f", "arguments": TEXT}}]}}]}),
                (2 * one + 2 * (1 + CALL), 0),
            ),
            (json!({"choices": [{"message": {"audio": {"transcript": TEXT, "data": "AAAA"}}}]}), (one, 0)),
            (json!({"error": {"message": "no"}}), (0, 0)),
            (json!({"choices": 7}), (0, 0)),
        ] {
            assert_eq!(count_answer(body.to_string().as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn lines_may_end_in_any_way() {
        for frame in [
            "event: x\r\ndata: {\"choices\":\r\ndata: [{\"text\":\"a b\"}]}\r\n\r\n",
            ": hi\n\ndata: oops\n\ndata:{\"choices\":[{\"text\":\"a b\"}]}",
            "data: {\"choices\":[{\"text\":\"a b\"}]}\r\r",
        ] {
            let mut produced = Produced::new();
            produced.push(frame.as_bytes());
            assert_eq!(produced.tokens().0, 2, "{frame}");
        }
    }

    #[test]
    fn little_is_kept() {
        let mut produced = Produced::new();
        for choice in 0..300 {
            produced.push(&frame(choice, &json!({"content": "日".repeat(500)})));
        }
        let kept: usize = produced.tally.pending.iter().map(|pending| pending.text.len()).sum();
        assert!(kept <= TEXTS * PENDING && produced.frames.capacity() <= 2 * BUFFER, "{kept}");
        let deep = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":{}1{}}}}}]}}\n\n",
            "{\"function\":".repeat(100_000),
            "}".repeat(100_000)
        );
        produced.push(deep.as_bytes());
        produced.tokens();
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let mut produced = Produced::new();
            for frame in &frames {
                produced.push(frame);
            }
            produced.tokens();
            count_answer(&frames.concat());
        }
    }
}
