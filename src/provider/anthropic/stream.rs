//! A stream of Anthropic's Messages API as chunks of OpenAI's.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        Expected, Failure, Piece,
        events::{EventDecoder, Events},
    },
    blocks::Blocks,
    fault,
    stop::Stop,
    usage::Counts,
};
use crate::openai::{
    sse,
    write::{DONE, Delta, Head},
};

/// What an event becomes that says nothing to the client.
const COMMENT: Bytes = Bytes::from_static(b": ping\n\n");

/// The decoder of one stream. Each event becomes its chunks at once. What is kept is bounded: the event that is being
/// read, and what of an open block can only be told when it ends.
#[derive(Debug)]
pub struct AnthropicEvents {
    include_usage: bool,
    created: u64,
    /// What all chunks begin with, once the message has begun.
    head: Option<Head>,
    blocks: Blocks,
    counts: Counts,
    /// The final figures have come; those at the beginning count only a token or two of the answer.
    counted: bool,
    /// The chunk with the reason of the end is out.
    finished: bool,
    /// The last piece is out.
    over: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    index: Option<u64>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// The decoder of a stream's bytes.
pub type AnthropicStream = Events<AnthropicEvents>;

impl AnthropicStream {
    /// A decoder for one answer.
    pub fn new(expected: &Expected) -> Self {
        Self::with(AnthropicEvents::new(expected), sse::MAX_EVENT)
    }
}

impl AnthropicEvents {
    fn new(expected: &Expected) -> Self {
        Self {
            include_usage: expected.include_usage,
            created: expected.created,
            head: None,
            blocks: Blocks::new(expected.answer_tool.clone()),
            counts: Counts::default(),
            counted: false,
            finished: false,
            over: false,
        }
    }

    /// A comment; or a JSON body, a web page, where a stream should be.
    fn without_data(&mut self, event: &sse::Event, out: &mut VecDeque<Piece>) {
        match event.raw.trim_ascii_start().first() {
            Some(b'{') if self.head.is_none() && is_error(&event.raw) => {
                self.fail(fault::reported(&event.raw), out);
            }
            Some(b'{' | b'[' | b'<') if self.head.is_none() => {
                self.fail(Failure::invalid("The provider's answer is not a stream of events."), out);
            }
            _ => out.push_back(Piece::Comment(COMMENT)),
        }
    }

    fn told(&mut self, event: Event<'_>, out: &mut VecDeque<Piece>) -> Result<(), Failure> {
        match &*event.kind {
            "message_start" => self.start(event.message, out),
            "content_block_start" | "content_block_delta" | "content_block_stop" => {
                let Some(head) = &self.head else {
                    return Err(Failure::invalid("The provider's stream has content before its beginning."));
                };
                let index = event.index.unwrap_or(0);
                let deltas = match (&*event.kind, event.content_block, event.delta) {
                    ("content_block_start", Some(block), _) => self.blocks.start(index, block)?,
                    ("content_block_delta", _, Some(delta)) => self.blocks.delta(index, delta)?,
                    ("content_block_stop", ..) => self.blocks.stop(index),
                    _ => {
                        return Err(Failure::invalid("An event of the provider's stream lacks its content."));
                    }
                };
                out.extend(deltas.iter().map(|delta| Piece::Content(head.chunk(0, delta, None))));
                Ok(())
            }
            "message_delta" => self.ending(event, out),
            "message_stop" => self.stop(out),
            // `ping`, and what may be new one day.
            _ => {
                out.push_back(Piece::Comment(COMMENT));
                Ok(())
            }
        }
    }

    fn start(&mut self, message: Option<&RawValue>, out: &mut VecDeque<Piece>) -> Result<(), Failure> {
        let text = message.map_or("null", RawValue::get);
        let start: Start<'_> =
            serde_json::from_str(text).map_err(|error| fault::unreadable("stream", &error))?;
        let head = Head::new(start.id, self.created, start.model);
        match &self.head {
            // Relays repeat the beginning. Another message inside the first is the second try of a relay whose first
            // one was cut: put together they would be an answer that nobody gave.
            Some(first) if first.id() != head.id() && !self.blocks.is_untouched() => {
                return Err(Failure::invalid(
                    "The provider's stream began another answer before the first was over.",
                ));
            }
            Some(_) => {}
            None => {
                let role =
                    Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
                out.push_back(Piece::Lead(head.chunk(0, &role, None)));
                self.head = Some(head);
            }
        }
        start.usage.into_iter().for_each(|usage| self.counts.update(usage));
        Ok(())
    }

    fn ending(&mut self, event: Event<'_>, out: &mut VecDeque<Piece>) -> Result<(), Failure> {
        if let Some(usage) = event.usage {
            self.counts.update(usage);
            self.counted = true;
        }
        let text = event.delta.map_or("{}", RawValue::get);
        let stop: Stop = serde_json::from_str(text).map_err(|error| fault::unreadable("stream", &error))?;
        if stop.stop_reason.is_some() {
            self.finish_chunk(stop, out)?;
        }
        Ok(())
    }

    fn finish_chunk(&mut self, stop: Stop, out: &mut VecDeque<Piece>) -> Result<(), Failure> {
        let Some(head) = &self.head else {
            return Err(Failure::invalid("The provider's stream ends before its beginning."));
        };
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let rest = self.blocks.stop_all();
        out.extend(rest.iter().map(|delta| Piece::Content(head.chunk(0, delta, None))));
        let reason = stop.finish_reason(self.blocks.answered());
        if let Some(refusal) = stop.refusal() {
            let delta = Delta { refusal: Some(refusal), ..Delta::default() };
            out.push_back(Piece::Content(head.chunk(0, &delta, None)));
        }
        out.push_back(Piece::Lead(head.chunk(0, &Delta::default(), Some(reason))));
        Ok(())
    }

    fn stop(&mut self, out: &mut VecDeque<Piece>) -> Result<(), Failure> {
        if !self.finished {
            // An end without a reason is no end.
            return Err(Failure::truncated());
        }
        if self.include_usage
            && let (Some(head), Some(usage)) = (&self.head, self.counts.usage())
        {
            out.push_back(Piece::Lead(head.usage_chunk(&usage)));
        }
        self.end(Piece::Done(DONE), out);
        Ok(())
    }

    /// Puts the last piece out, with the usage before it if it is known.
    fn end(&mut self, last: Piece, out: &mut VecDeque<Piece>) {
        let known = self.counted || matches!(last, Piece::Done(_));
        out.extend(self.counts.usage().filter(|_| known).map(Piece::Usage));
        out.push_back(last);
        self.over = true;
    }
}

/// Whether a body is an error of the API.
fn is_error(body: &[u8]) -> bool {
    serde_json::from_slice::<Event<'_>>(body).is_ok_and(|event| event.kind == "error")
}

impl EventDecoder for AnthropicEvents {
    fn event(&mut self, event: &sse::Event, out: &mut VecDeque<Piece>) {
        let Some(data) = event.data() else {
            return self.without_data(event, out);
        };
        let payload = data.trim_ascii();
        if event.name() == Some(b"error") {
            return self.fail(fault::reported(payload), out);
        }
        if payload.is_empty() {
            return out.push_back(Piece::Comment(COMMENT));
        }
        let done = match serde_json::from_slice::<Event<'_>>(payload) {
            Ok(event) if event.kind == "error" => Err(fault::reported(payload)),
            Ok(event) => self.told(event, out),
            Err(error) => Err(fault::unreadable("stream", &error)),
        };
        if let Err(failure) = done {
            self.fail(failure, out);
        }
    }

    /// The last event may lack its blank line; half an event is a cut.
    fn tail(&mut self, tail: &sse::Event, out: &mut VecDeque<Piece>) {
        let whole = |data: &[u8]| serde_json::from_slice::<Event<'_>>(data.trim_ascii()).is_ok();
        if tail.data().map_or(!tail.is_comment(), |data| whole(&data)) {
            self.event(tail, out);
        }
    }

    fn end_of_bytes(&mut self, out: &mut VecDeque<Piece>) {
        self.fail(Failure::truncated(), out);
    }

    fn fail(&mut self, failure: Failure, out: &mut VecDeque<Piece>) {
        self.end(Piece::Failed(failure), out);
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::base::outcome::Outcome;
    use crate::provider::StreamDecoder as _;

    fn decode<'a>(expected: &Expected, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
        let mut stream = AnthropicStream::new(expected);
        let mut out = VecDeque::new();
        for chunk in chunks {
            stream.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        stream.finish(&mut out);
        out.into()
    }

    fn sse(events: &[Value]) -> String {
        let event =
            |event: &Value| format!("event: {}\ndata: {event}  \n\n", event["type"].as_str().unwrap());
        events.iter().map(event).collect()
    }

    /// The pieces in short: a letter and the delta or what ended.
    fn short_of(expected: &Expected, text: &str) -> Vec<String> {
        let show = |bytes: &Bytes| {
            let chunk: Value =
                serde_json::from_slice(&sse::Event::new(bytes.clone()).data().unwrap()).unwrap();
            match chunk["choices"].get(0) {
                None => format!("usage {}", chunk["usage"]["total_tokens"]),
                Some(choice) if choice["finish_reason"].is_string() => format!("{}", choice["finish_reason"]),
                Some(choice) => choice["delta"].to_string(),
            }
        };
        decode(expected, [text.as_bytes()])
            .iter()
            .map(|piece| match piece {
                Piece::Lead(bytes) => format!("L {}", show(bytes)),
                Piece::Content(bytes) => format!("C {}", show(bytes)),
                Piece::Comment(_) => ";".to_owned(),
                Piece::Usage(usage) => format!("U {}+{}", usage.prompt(), usage.completion()),
                Piece::Failed(failure) => format!("F {} {}", failure.outcome, failure.error.message),
                Piece::Done(_) => "D".to_owned(),
            })
            .collect()
    }

    fn short(events: &[Value]) -> Vec<String> {
        short_of(&Expected::default(), &sse(events))
    }

    fn begin(id: &str) -> Value {
        json!({"type": "message_start", "message": {"id": id, "model": "claude-x",
            "usage": {"input_tokens": 3, "output_tokens": 1}}})
    }

    fn block(index: u64, block: Value) -> Value {
        json!({"type": "content_block_start", "index": index, "content_block": block})
    }

    fn text(text: &str) -> Value {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    }

    fn delta(index: u64, delta: Value) -> Value {
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    }

    fn close(index: u64) -> Value {
        json!({"type": "content_block_stop", "index": index})
    }

    fn ending(reason: &str) -> Value {
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}})
    }

    fn stop() -> Value {
        json!({"type": "message_stop"})
    }

    fn open_text() -> Value {
        block(0, json!({"type": "text", "text": ""}))
    }

    const ROLE: &str = r#"L {"content":"","role":"assistant"}"#;

    #[test]
    fn a_plain_stream_becomes_chunks() {
        let events = [
            begin("a"),
            open_text(),
            json!({"type": "ping"}),
            text("Hi"),
            close(0),
            ending("end_turn"),
            stop(),
        ];
        let expected = [ROLE, ";", r#"C {"content":"Hi"}"#, "L \"stop\"", "U 3+9", "D"];
        assert_eq!(short(&events), expected);
        let asked = Expected { include_usage: true, ..Expected::default() };
        assert_eq!(short_of(&asked, &sse(&events))[4..], ["L usage 12", "U 3+9", "D"]);
        // The last event lacks its blank line.
        assert_eq!(short_of(&Expected::default(), sse(&events).trim_end()), expected);
    }

    #[test]
    fn tool_calls_are_counted_from_zero() {
        let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
        let json_delta =
            |index, json: &str| delta(index, json!({"type": "input_json_delta", "partial_json": json}));
        let events = [
            begin("a"),
            open_text(),
            close(0),
            block(1, tool("x")),
            json_delta(1, ""),
            json_delta(1, "{\"a\""),
            json_delta(1, ":1}"),
            close(1),
            block(2, tool("y")),
            json_delta(2, ""),
            close(2),
            ending("tool_use"),
            stop(),
        ];
        assert_eq!(
            short(&events)[1..8],
            [
                r#"C {"tool_calls":[{"function":{"arguments":"","name":"f"},"id":"x","index":0,"type":"function"}]}"#,
                r#"C {"tool_calls":[{"function":{"arguments":"{\"a\""},"index":0}]}"#,
                r#"C {"tool_calls":[{"function":{"arguments":":1}"},"index":0}]}"#,
                r#"C {"tool_calls":[{"function":{"arguments":"","name":"f"},"id":"y","index":1,"type":"function"}]}"#,
                r#"C {"tool_calls":[{"function":{"arguments":"{}"},"index":1}]}"#,
                "L \"tool_calls\"",
                "U 3+9",
            ]
        );
    }

    #[test]
    fn the_answers_tool_streams_as_text() {
        let asked = Expected { answer_tool: Some("city".into()), ..Expected::default() };
        let tool = json!({"type": "tool_use", "id": "x", "name": "city", "input": {}});
        let part = delta(0, json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"}));
        let events = [begin("a"), block(0, tool), part, close(0), ending("tool_use"), stop()];
        let pieces = short_of(&asked, &sse(&events));
        assert_eq!(pieces[1..3], [r#"C {"content":"{\"a\":1}"}"#, "L \"stop\""]);
    }

    #[test]
    fn thoughts_are_shown_then_given_whole() {
        let events = [
            begin("a"),
            block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "h"})),
            delta(0, json!({"type": "thinking_delta", "thinking": "m"})),
            delta(0, json!({"type": "signature_delta", "signature": "s"})),
            close(0),
            block(1, json!({"type": "redacted_thinking", "data": "d"})),
            close(1),
            ending("end_turn"),
            stop(),
        ];
        assert_eq!(
            short(&events)[1..5],
            [
                r#"C {"reasoning_content":"h"}"#,
                r#"C {"reasoning_content":"m"}"#,
                r#"C {"thinking_blocks":[{"index":0,"signature":"s","thinking":"hm","type":"thinking"}]}"#,
                r#"C {"thinking_blocks":[{"data":"d","index":1,"type":"redacted_thinking"}]}"#,
            ]
        );
    }

    #[test]
    fn what_has_no_counterpart_is_kept_as_an_extension() {
        let events = [
            begin("a"),
            block(0, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
            delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\":\"x\"}"})),
            close(0),
            block(1, json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []})),
            close(1),
            block(2, json!({"type": "text", "text": "", "citations": []})),
            delta(2, json!({"type": "citations_delta", "citation": {"type": "char_location"}})),
            delta(2, json!({"type": "new_delta", "what": 1})),
            close(2),
            ending("pause_turn"),
            stop(),
        ];
        assert_eq!(
            short(&events)[1..6],
            [
                r#"C {"provider_blocks":[{"id":"s","index":0,"input":{"query":"x"},"name":"web_search","type":"server_tool_use"}]}"#,
                r#"C {"provider_blocks":[{"content":[],"index":1,"tool_use_id":"s","type":"web_search_tool_result"}]}"#,
                r#"C {"citations":[{"index":0,"type":"char_location"}]}"#,
                r#"C {"provider_blocks":[{"index":2,"type":"new_delta","what":1}]}"#,
                "L \"stop\"",
            ]
        );
    }

    #[test]
    fn a_refusal_says_so() {
        let refused = json!({"type": "message_delta", "usage": {"output_tokens": 2},
            "delta": {"stop_reason": "refusal", "stop_details": {"explanation": "No."}}});
        let pieces = short(&[begin("a"), refused, stop()]);
        assert_eq!(pieces[1..], [r#"C {"refusal":"No."}"#, "L \"content_filter\"", "U 3+2", "D"]);
    }

    #[test]
    fn errors_end_the_stream() {
        let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "no"}});
        let cases = [("overloaded_error", "rate_limited"), ("api_error", "error_event")];
        for (kind, outcome) in cases {
            let failed = format!("F {outcome} no");
            assert_eq!(short(std::slice::from_ref(&error(kind))), [failed.as_str()]);
            // What was used so far is not known: the figure at the beginning is not the answer's.
            let pieces = short(&[begin("a"), open_text(), text("x"), error(kind), stop()]);
            assert_eq!(pieces[2..], [failed]);
        }
        assert_eq!(short_of(&Expected::default(), &error("api_error").to_string()), ["F error_event no"]);
        let unnamed = format!("data: {}\n\n", error("api_error"));
        assert_eq!(short_of(&Expected::default(), &unnamed), ["F error_event no"]);
    }

    #[test]
    fn a_cut_is_no_end() {
        let cut = "F truncated The provider's stream broke off before its end.";
        let whole = [begin("a"), open_text(), text("x"), close(0), ending("end_turn"), stop()];
        for length in 0..whole.len() {
            assert_eq!(short(&whole[..length]).last().unwrap(), cut, "{length}");
        }
        let bytes = sse(&whole);
        let half = &bytes[..bytes.len() - 12];
        assert_eq!(short_of(&Expected::default(), half).last().unwrap(), cut);
        assert_eq!(short(&[begin("a"), stop()])[1..], [cut]);
    }

    #[test]
    fn a_repeated_beginning_is_ignored_a_second_answer_is_not() {
        let rest = [open_text(), text("x"), close(0), ending("end_turn"), stop()];
        let once: Vec<_> = [begin("a")].into_iter().chain(rest.clone()).collect();
        for second in ["a", "b"] {
            let twice: Vec<_> = [begin("a"), begin(second)].into_iter().chain(rest.clone()).collect();
            assert_eq!(short(&twice), short(&once), "{second}");
        }
        let spliced = [begin("a"), open_text(), text("x"), begin("b"), open_text(), text("y")];
        assert_eq!(
            short(&spliced).last().unwrap(),
            "F invalid_answer The provider's stream began another answer before the first was over."
        );
        let repeated = [begin("a"), open_text(), text("x"), begin("a"), close(0), ending("end_turn"), stop()];
        assert_eq!(short(&repeated), short(&once));
    }

    #[test]
    fn nonsense_ends_the_stream() {
        for text in [
            "data: oops\n\n",
            "data: [1]\n\n",
            "<html>\n\n",
            "{\"a\":1}",
            &sse(&[open_text()]),
            &sse(&[begin("a"), json!({"type": "content_block_start", "index": 0})]),
            &sse(&[begin("a"), open_text(), open_text()]),
            &sse(&[begin("a"), delta(0, json!({"type": "input_json_delta", "partial_json": "{"}))]),
            &sse(&[ending("end_turn")]),
        ] {
            let pieces = short_of(&Expected::default(), text);
            assert!(pieces.last().unwrap().starts_with("F invalid_answer"), "{text}: {pieces:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(500_000);
        let mut events = vec![begin("a"), block(0, json!({"type": "thinking", "thinking": ""}))];
        let more = delta(0, json!({"type": "thinking_delta", "thinking": long}));
        events.extend(std::iter::repeat_n(more, 12));
        let pieces = decode(&Expected::default(), [sse(&events).as_bytes()]);
        assert!(matches!(pieces.last(), Some(Piece::Failed(f)) if f.outcome == Outcome::InvalidAnswer));
        let mut events = vec![begin("a")];
        events.extend((0..100).map(|index| block(index, json!({"type": "text", "text": ""}))));
        let pieces = decode(&Expected::default(), [sse(&events).as_bytes()]);
        assert!(matches!(pieces.last(), Some(Piece::Failed(f)) if f.outcome == Outcome::InvalidAnswer));
    }

    /// Streams made of events that mean something, in any order, with noise.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let tool = json!({"type": "tool_use", "id": "x", "name": "f", "input": {}});
        let events = vec![
            begin("a"),
            begin("b"),
            open_text(),
            text("é"),
            block(1, tool),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{"})),
            block(2, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(2, json!({"type": "signature_delta", "signature": "s"})),
            block(3, json!({"type": "server_tool_use", "input": {}})),
            delta(3, json!({"type": "input_json_delta", "partial_json": "{"})),
            close(0),
            close(1),
            close(2),
            close(3),
            ending("tool_use"),
            json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": -1}}),
            stop(),
            json!({"type": "error", "error": {}}),
        ];
        let part = prop_oneof![
            12 => prop::sample::select(events).prop_map(|event| sse(&[event]).into_bytes()),
            1 => prop::sample::select(vec!["\n", "\r\n\r\n", "data: ", "event: error", ": c\n\n"])
                .prop_map(|part| part.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ];
        let begun = Just(sse(&[begin("a")]).into_bytes());
        (begun, prop::collection::vec(part, 0..20))
            .prop_map(|(begun, parts)| [begun, parts.concat()].concat())
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_pieces(bytes in streams(), size in 1..40usize, answer: bool) {
            let expected = Expected {
                include_usage: true,
                answer_tool: answer.then(|| "f".to_owned()),
                ..Expected::default()
            };
            let whole = decode(&expected, [&bytes[..]]);
            prop_assert_eq!(&decode(&expected, bytes.chunks(size)), &whole);
            let ends = whole.iter().filter(|piece| matches!(piece, Piece::Done(_) | Piece::Failed(_))).count();
            prop_assert_eq!(ends, 1);
            prop_assert!(matches!(whole.last(), Some(Piece::Done(_) | Piece::Failed(_))));
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let pieces = decode(&Expected::default(), [&bytes[..]]);
            prop_assert!(matches!(pieces.last(), Some(Piece::Failed(_))));
        }
    }
}
