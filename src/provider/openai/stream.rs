//! Watching a stream in OpenAI's format pass by.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        Piece,
        events::{EventDecoder, Events},
    },
    Expected, Failure,
};
use crate::{
    base::outcome::Outcome,
    openai::{
        Endpoint, Usage,
        alike::Alike,
        chunk::{self, ChunkFacts, ToolCallIndex},
        foreign_error,
        repair::{ToolNumbers, repair},
        sse::{self, Event},
    },
};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// The decoder of one stream. Events pass as slices of the bytes they came in; only those that clients cannot
/// digest are written anew.
#[derive(Debug)]
pub struct OpenAiEvents {
    endpoint: Endpoint,
    include_usage: bool,
    /// The latest figures: some providers send them in every chunk.
    usage: Option<Usage>,
    /// A chunk has come.
    begun: bool,
    /// A choice said why it ended.
    finished: bool,
    /// A choice did so some time: calls after it may be those of another answer.
    ended: bool,
    /// Which events bring nothing but more text.
    alike: Alike,
    /// How tool calls are numbered, once the first has come.
    tools: Option<Numbering>,
    /// The last piece is out.
    over: bool,
}

#[derive(Debug)]
enum Numbering {
    /// The provider's own, with the calls that began.
    Theirs(ToolNumbers),
    /// From 0.
    Ours(ToolNumbers),
}

/// The decoder of a stream's bytes.
pub type OpenAiStream = Events<OpenAiEvents>;

impl OpenAiStream {
    /// A decoder for one answer.
    pub fn new(expected: &Expected) -> Self {
        Self::with(OpenAiEvents::new(expected), sse::MAX_EVENT)
    }
}

impl OpenAiEvents {
    fn new(expected: &Expected) -> Self {
        Self {
            endpoint: expected.endpoint,
            include_usage: expected.include_usage,
            usage: None,
            begun: false,
            finished: false,
            ended: false,
            alike: Alike::default(),
            tools: None,
            over: false,
        }
    }

    /// An event without a payload: a comment, or something that only looks like an event.
    fn without_data(&mut self, event: &Event, out: &mut VecDeque<Piece>) {
        if !self.is_failure(event, out) {
            out.push_back(Piece::Comment(event.raw.clone()));
        }
    }

    /// Whether text that is no event says that the stream has failed, which then is its last piece.
    fn is_failure(&mut self, event: &Event, out: &mut VecDeque<Piece>) -> bool {
        if let Some(error) = event.field("error") {
            // llama.cpp and GPUStack; readers of events drop such lines without a word.
            self.reported(error, out);
            return true;
        }
        let body = event.raw.trim_ascii();
        let is_error = || chunk::inspect(body).is_ok_and(|facts| facts.error.is_some() || facts.is_error);
        match body.first() {
            Some(b'{' | b'[' | b'<') if !self.begun => self.no_stream(body, out),
            Some(b'{') if is_error() => self.reported(body, out),
            _ => return false,
        }
        true
    }

    /// A JSON body or a web page where a stream should be.
    fn no_stream(&mut self, body: &[u8], out: &mut VecDeque<Piece>) {
        match chunk::inspect(body) {
            Ok(facts) if facts.error.is_some() || facts.is_error => self.reported(body, out),
            _ => {
                self.fail(Failure::invalid("The provider's answer is not a stream of events."), out);
            }
        }
    }

    fn chunk(&mut self, event: &Event, payload: &[u8], facts: &ChunkFacts<'_>, out: &mut VecDeque<Piece>) {
        self.begun = true;
        if let Some(Ok(usage)) = facts.usage {
            self.usage = Some(usage);
        }
        if facts.error.is_some() || facts.is_error {
            return self.reported(payload, out);
        }
        // With several choices one may go on after another has ended.
        self.finished = facts.finished || (self.finished && !facts.content);
        self.ended |= facts.finished;
        let usage_only = facts.usage.is_some() && facts.choices.unwrap_or(0) == 0;
        if usage_only && !self.include_usage {
            return;
        }
        if facts.word().is_some() {
            self.alike.learn(&event.raw);
        }
        let bytes = self.digestible(event, payload, facts);
        out.push_back(match facts.content {
            true => Piece::Content(bytes),
            false => Piece::Lead(bytes),
        });
    }

    /// The event as clients can read it.
    fn digestible(&mut self, event: &Event, payload: &[u8], facts: &ChunkFacts<'_>) -> Bytes {
        if let (None, Some(first)) = (&self.tools, facts.tool_call) {
            self.tools = Some(match first {
                ToolCallIndex::At(0) => Numbering::Theirs(ToolNumbers::default()),
                _ => Numbering::Ours(ToolNumbers::default()),
            });
        }
        if let Some(Numbering::Theirs(numbers)) = &mut self.tools
            && facts.tool_id
            && !self.ended
            && numbers.clash(payload)
        {
            self.tools = Some(Numbering::Ours(std::mem::take(numbers)));
        }
        let tools = match &mut self.tools {
            Some(Numbering::Ours(numbers)) if facts.tool_call.is_some() => Some(numbers),
            _ => None,
        };
        let chat = self.endpoint == Endpoint::Chat;
        let strange = facts.missing_object || (chat && (facts.missing_delta || facts.content_list));
        if !strange && tools.is_none() {
            return event.raw.clone();
        }
        sse::frame(&repair(&Bytes::copy_from_slice(payload), self.endpoint, tools))
    }

    /// The provider reported an error inside the stream.
    fn reported(&mut self, error: &[u8], out: &mut VecDeque<Piece>) {
        let failure = Failure::new(Outcome::ErrorEvent, foreign_error::parse_upstream(error));
        self.end(Piece::Failed(failure), out);
    }

    /// Puts the last piece out, with the usage before it.
    fn end(&mut self, last: Piece, out: &mut VecDeque<Piece>) {
        out.extend(self.usage.take().map(Piece::Usage));
        out.push_back(last);
        self.over = true;
    }

    fn truncated(&mut self, out: &mut VecDeque<Piece>) {
        self.fail(Failure::truncated(), out);
    }
}

impl EventDecoder for OpenAiEvents {
    fn event(&mut self, event: &Event, out: &mut VecDeque<Piece>) {
        if self.alike.word(&event.raw).is_some() {
            self.finished = false;
            return out.push_back(Piece::Content(event.raw.clone()));
        }
        let (name, data) = event.name_and_data();
        if name == Some(b"error") {
            return self.reported(data.as_deref().unwrap_or_default(), out);
        }
        let Some(data) = data else {
            return self.without_data(event, out);
        };
        let payload = data.trim_ascii();
        if payload == b"[DONE]" {
            return self.end(Piece::Done(event.raw.clone()), out);
        }
        if payload.is_empty() {
            // Clients would try to read it as JSON.
            return out.push_back(Piece::Comment(Bytes::from_static(b":\n\n")));
        }
        match chunk::inspect(payload) {
            Ok(facts) => self.chunk(event, payload, &facts, out),
            Err(fault) => {
                let message = format!("A chunk of the provider's stream cannot be read: {fault}.");
                self.fail(Failure::invalid(message), out);
            }
        }
    }

    /// A whole event gets the blank line that it lacks.
    fn tail(&mut self, tail: &Event, out: &mut VecDeque<Piece>) {
        let data = tail.data();
        let payload = data.as_deref().unwrap_or_default().trim_ascii();
        let whole = payload == b"[DONE]" || (!payload.is_empty() && chunk::inspect(payload).is_ok());
        if whole {
            let ending: &[u8] = match tail.raw.last() {
                Some(b'\n') => b"\n",
                // After a carriage return the first line feed belongs to it.
                _ => b"\n\n",
            };
            let raw = [&tail.raw[..], ending].concat();
            self.event(&Event::new(raw.into()), out);
        } else if data.is_some() {
            self.truncated(out);
        } else if tail.name() == Some(b"error") {
            self.reported(b"", out);
        } else if !tail.is_comment() {
            // Anything else is left out: without a line end it would swallow the event that follows it.
            self.is_failure(tail, out);
        }
    }

    fn end_of_bytes(&mut self, out: &mut VecDeque<Piece>) {
        match self.finished {
            true => self.end(Piece::Done(Bytes::from_static(DONE)), out),
            false => self.truncated(out),
        }
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

    use super::*;
    use crate::provider::StreamDecoder as _;

    fn decode<'a>(include_usage: bool, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
        let mut stream = OpenAiStream::new(&Expected { include_usage, ..Expected::default() });
        let mut out = VecDeque::new();
        for chunk in chunks {
            stream.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        stream.finish(&mut out);
        out.into()
    }

    /// The pieces in short: a letter and the bytes.
    fn short(text: &str) -> Vec<String> {
        let show = |bytes: &Bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
        decode(false, [text.as_bytes()])
            .iter()
            .map(|piece| match piece {
                Piece::Lead(bytes) => format!("L {}", show(bytes)),
                Piece::Content(bytes) => format!("C {}", show(bytes)),
                Piece::Comment(bytes) => format!("; {}", show(bytes)),
                Piece::Usage(usage) => format!("U {}+{}", usage.prompt(), usage.completion()),
                Piece::Failed(failure) => format!("F {} {}", failure.outcome, failure.error.message),
                Piece::Done(bytes) => format!("D {}", show(bytes)),
            })
            .collect()
    }

    const ROLE: &str = r#"data: {"object":"o","choices":[{"delta":{"role":"assistant","content":""}}]}"#;
    const TEXT: &str = r#"data: {"object":"o","choices":[{"delta":{"content":"a"}}]}"#;
    const STOP: &str = r#"data: {"object":"o","choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str =
        r#"data: {"object":"o","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;

    #[test]
    fn a_plain_stream_passes() {
        let text = format!(": hi\n\n{ROLE}\n\n{TEXT}\n\n{STOP}\n\n{USAGE}\n\ndata: [DONE]\n\n{TEXT}\n\n");
        let expected = [
            "; : hi",
            &format!("L {ROLE}"),
            &format!("C {TEXT}"),
            &format!("L {STOP}"),
            "U 3+1",
            "D data: [DONE]",
        ];
        assert_eq!(short(&text), expected);
    }

    #[test]
    fn the_usage_chunk_passes_if_asked_for() {
        let text = format!("{TEXT}\n\n{USAGE}\n\ndata: [DONE]\n\n");
        let pieces = decode(true, [text.as_bytes()]);
        assert!(matches!(&pieces[1], Piece::Lead(bytes) if bytes.starts_with(USAGE.as_bytes())));
        assert!(matches!(pieces[2], Piece::Usage(_)));
    }

    #[test]
    fn whole_events_are_slices_of_the_chunk() {
        let chunk = Bytes::from(format!("{ROLE}\n\n{TEXT}\n\n"));
        let mut stream = OpenAiStream::new(&Expected::default());
        let mut out = VecDeque::new();
        stream.push(chunk.clone(), &mut out);
        let Some(Piece::Content(bytes)) = out.back() else { panic!("no content") };
        assert_eq!(bytes.as_ptr(), chunk[ROLE.len() + 2..].as_ptr());
    }

    #[test]
    fn an_end_is_told_from_a_cut() {
        // A missing terminal event after a finish reason is added; the last usage counts.
        let more = r#"data: {"object":"o","choices":[{"delta":{}}],"usage":{"prompt_tokens":9}}"#;
        let pieces = short(&format!("{TEXT}\n\n{USAGE}\n\n{STOP}\n\n{more}\n\n"));
        assert_eq!(pieces[3..], ["U 9+0", "D data: [DONE]"]);
        // The last event lacks its blank line.
        assert_eq!(short(&format!("{TEXT}\n\ndata: [DONE]"))[1], "D data: [DONE]");
        assert_eq!(short(&format!("{TEXT}\n\n{STOP}\r"))[2], "D data: [DONE]");
        let cut = "F truncated The provider's stream broke off before its end.";
        assert_eq!(short(&format!("{TEXT}\n\n"))[1], cut);
        assert_eq!(short(&format!("{STOP}\n\ndata: {{\"cho"))[1], cut);
        assert_eq!(short(""), [cut]);
        assert_eq!(short(&format!("{TEXT}\n\n: ping"))[1], cut);
        // Half a line would swallow the error event behind it.
        assert_eq!(short(&format!("{TEXT}\n\n{{\"half"))[1..], [cut]);
    }

    #[test]
    fn errors_end_the_stream() {
        let cases = [
            "event: error\ndata: {\"error\":{\"message\":\"no\"}}",
            "data: {\"error\":{\"message\":\"no\"},\"choices\":[{\"delta\":{\"content\":\"\"}}]}",
            "data: {\"error\":\"no\"}",
            "data: {\"object\":\"error\",\"message\":\"no\"}",
            "error: {\"code\":500,\"message\":\"no\"}",
        ];
        for case in cases {
            let pieces = short(&format!("{TEXT}\n\n{USAGE}\n\n{case}\n\ndata: [DONE]\n\n"));
            assert_eq!(pieces[1..], ["U 3+1", "F error_event no"], "{case}");
        }
        for tail in [
            "error: {\"message\":\"no\"}",
            "event: error\ndata: {\"message\":\"no\"}\n",
            "{\"error\":{\"message\":\"no\"}}",
            "{\"error\":{\"message\":\"no\"}}\n\n",
        ] {
            assert_eq!(short(&format!("{TEXT}\n\n{tail}"))[1], "F error_event no", "{tail}");
        }
    }

    #[test]
    fn nonsense_ends_the_stream() {
        for text in
            ["data: {\"choices\":\n\n", "data: oops\n\n", "data: [1]\n\n", "data: {\"a\":\"\u{1}\"}\n\n"]
        {
            let pieces = short(text);
            assert!(pieces[0].starts_with("F invalid_answer"), "{text}: {pieces:?}");
        }
        // No stream at all.
        assert_eq!(short("{\n \"error\": {\"message\": \"no\"}\n}\n"), ["F error_event no"]);
        assert_eq!(short("{\"error\":{\"message\":\"no\"}}\n\n"), ["F error_event no"]);
        assert!(short("<html>\n\n<body>x</body></html>")[0].starts_with("F invalid_answer"));
        assert!(short("{\"choices\":[{}]}")[0].starts_with("F invalid_answer"));
    }

    #[test]
    fn of_several_choices_one_may_end_before_another() {
        let choice = |index: u8, rest: &str| {
            format!(r#"data: {{"object":"x","choices":[{{"index":{index},{rest}}}]}}"#)
        };
        let ended = choice(0, r#""delta":{},"finish_reason":"stop""#);
        let talking = choice(1, r#""delta":{"content":"on"}"#);
        let last = |text: &str| short(text).pop().unwrap();
        assert!(last(&format!("{ended}\n\n{talking}\n\n")).starts_with("F truncated"));
        assert!(last(&format!("{talking}\n\n{ended}\n\n")).starts_with('D'));
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        let line = b"data: 0123456789".repeat(100_000);
        let pieces = decode(false, std::iter::repeat_n(&line[..], sse::MAX_EVENT / line.len() + 1));
        assert!(matches!(&pieces[..], [Piece::Failed(f)] if f.outcome == Outcome::InvalidAnswer));
    }

    #[test]
    fn empty_payloads_do_not_reach_clients() {
        assert_eq!(short(&format!("data: \n\n{TEXT}\n\n"))[0], "; :");
    }

    #[test]
    fn what_clients_cannot_digest_is_repaired() {
        let tool = |index| {
            format!(
                r#"data: {{"object":"o","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{index}}}]}}}}]}}"#
            )
        };
        let pieces = short(&format!("data: {{\"choices\":[{{}}]}}\n\n{}\n\n{}\n\n", tool(1), tool(2)));
        assert_eq!(
            pieces[..3],
            [
                r#"L data: {"object":"chat.completion.chunk","choices":[{"delta":{}}]}"#,
                &format!("C {}", tool(0)),
                &format!("C {}", tool(1)),
            ]
        );
        // Numbered from 0: nothing to do, whatever comes later.
        let pieces = short(&format!("{}\n\n{}\n\n", tool(0), tool(2)));
        assert_eq!(pieces[1], format!("C {}", tool(2)));
    }

    #[test]
    fn calls_of_one_number_are_told_apart() {
        let call =
            |index: u8, id: &str| format!(r#"{{"index":{index},"id":"{id}","function":{{"name":"f"}}}}"#);
        let chunk = |choice: u8, calls: &str| {
            format!(
                r#"data: {{"object":"o","choices":[{{"index":{choice},"delta":{{"tool_calls":[{calls}]}}}}]}}"#
            )
        };
        let more = chunk(0, r#"{"index":0,"function":{"arguments":"{}"}}"#);
        let both = format!("{},{}", call(0, "b"), call(0, "c"));
        let pieces = short(&format!("{}\n\n{}\n\n{more}\n\n", chunk(0, &call(0, "a")), chunk(0, &both)));
        assert_eq!(
            pieces[..3],
            [
                format!("C {}", chunk(0, &call(0, "a"))),
                format!("C {}", chunk(0, &format!("{},{}", call(1, "b"), call(2, "c")))),
                format!("C {}", more.replace("\"index\":0,\"function", "\"index\":2,\"function")),
            ]
        );
        // Other choices have numbers of their own, and the same call may say its id again.
        let fine = [
            chunk(0, &call(0, "a")),
            chunk(1, &call(0, "b")),
            chunk(0, &call(0, "a")),
            chunk(0, &call(1, "c")),
        ];
        let pieces = short(&fine.join("\n\n"));
        for (piece, chunk) in pieces.iter().zip(&fine) {
            assert_eq!(*piece, format!("C {chunk}"));
        }
    }

    /// Streams made of lines that mean something, with noise.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            6 => prop::sample::select(vec![ROLE, TEXT, STOP, USAGE, "data: [DONE]", "error: x", "event: error", ": c"])
                .prop_map(|line| line.as_bytes().to_vec()),
            6 => prop::sample::select(vec!["\n", "\n\n", "\r\n\r\n", "\r\r"]).prop_map(|end| end.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_pieces(bytes in streams(), size in 1..30usize) {
            let whole = decode(true, [&bytes[..]]);
            prop_assert_eq!(&decode(true, bytes.chunks(size)), &whole);
            let ends = whole.iter().filter(|piece| matches!(piece, Piece::Done(_) | Piece::Failed(_))).count();
            prop_assert_eq!(ends, 1);
            prop_assert!(matches!(whole.last(), Some(Piece::Done(_) | Piece::Failed(_))));
        }
    }
}
