//! Gemini's stream as OpenAI's chunks.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::{
    answer::{Answer, reported},
    candidate::is_content,
};
use crate::{
    openai::{sse::Event, write::DONE},
    provider::{
        Expected, Failure, Piece,
        events::{EventDecoder, Events},
    },
};

/// What an event becomes that says nothing to the client.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The longest event, in bytes: pictures come in one.
const MAX_EVENT: usize = 24 * 1024 * 1024;

/// The decoder of one stream. Each event becomes chunks at once; only signatures and sources wait for the end.
#[derive(Debug)]
pub struct GeminiEvents {
    answer: Answer,
    include_usage: bool,
    /// The choices whose role was told.
    begun: BTreeSet<usize>,
    /// The last piece is out.
    over: bool,
}

/// The decoder of a stream's bytes.
pub type GeminiStream = Events<GeminiEvents>;

impl GeminiStream {
    /// A decoder for one answer.
    pub fn new(expected: &Expected) -> Self {
        Self::with(GeminiEvents::new(expected), MAX_EVENT)
    }
}

impl GeminiEvents {
    fn new(expected: &Expected) -> Self {
        Self {
            answer: Answer::new(expected),
            include_usage: expected.include_usage,
            begun: BTreeSet::new(),
            over: false,
        }
    }

    fn payload(&mut self, payload: &[u8], out: &mut VecDeque<Piece>) {
        let heard = match self.answer.take(payload) {
            Ok(heard) => heard,
            Err(failure) => return self.fail(failure, out),
        };
        let head = self.answer.head.as_ref().expect("set with the first thing that was taken");
        for (index, heard) in heard {
            let content = is_content(&heard.delta) || heard.logprobs.is_some();
            let mut delta = heard.delta;
            if self.begun.insert(index) {
                delta.role = Some("assistant");
            } else if !content {
                continue;
            }
            let bytes = head.chunk_with(index, &delta, None, heard.logprobs.as_ref());
            out.push_back(if content { Piece::Content(bytes) } else { Piece::Lead(bytes) });
        }
    }

    /// A comment, or a body that is no stream.
    fn without_data(&mut self, raw: &Bytes, out: &mut VecDeque<Piece>) {
        match raw.trim_ascii_start().first() {
            Some(b'{' | b'[' | b'<') => {
                let value = serde_json::from_slice::<serde_json::Value>(raw).unwrap_or_default();
                let failure = match value.get(0).unwrap_or(&value).get("error") {
                    Some(_) => reported(raw),
                    None => Failure::invalid("The provider's answer is not a stream of events."),
                };
                self.fail(failure, out);
            }
            // Not its own bytes: a line that was cut would swallow the event that follows it.
            _ => out.push_back(Piece::Comment(COMMENT)),
        }
    }

    /// The provider has said everything.
    fn end(&mut self, out: &mut VecDeque<Piece>) {
        if !self.answer.is_finished() {
            return self.fail(Failure::truncated(), out);
        }
        let ends = match self.answer.end() {
            Ok(ends) => ends,
            Err(failure) => return self.fail(failure, out),
        };
        let head = self.answer.head.as_ref().expect("set with the first thing that was taken");
        for (index, delta, finish) in ends {
            let bytes = head.chunk(index, &delta, Some(finish));
            out.push_back(if is_content(&delta) { Piece::Content(bytes) } else { Piece::Lead(bytes) });
        }
        if let Some(usage) = self.answer.usage.take() {
            if self.include_usage {
                out.push_back(Piece::Lead(head.usage_chunk(&usage)));
            }
            out.push_back(Piece::Usage(usage));
        }
        out.push_back(Piece::Done(DONE));
        self.over = true;
    }
}

impl EventDecoder for GeminiEvents {
    fn event(&mut self, event: &Event, out: &mut VecDeque<Piece>) {
        let Some(data) = event.data() else {
            return self.without_data(&event.raw, out);
        };
        match data.trim_ascii() {
            // Not Gemini's, but some proxies add it.
            b"[DONE]" => self.end(out),
            b"" => out.push_back(Piece::Comment(COMMENT)),
            payload => self.payload(payload, out),
        }
    }

    /// An event that was cut is no nonsense: the stream is cut.
    fn tail(&mut self, tail: &Event, out: &mut VecDeque<Piece>) {
        if tail.data().is_none_or(|data| serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok()) {
            self.event(tail, out);
        }
    }

    fn end_of_bytes(&mut self, out: &mut VecDeque<Piece>) {
        self.end(out);
    }

    fn fail(&mut self, failure: Failure, out: &mut VecDeque<Piece>) {
        out.extend(self.answer.usage.take().map(Piece::Usage));
        out.push_back(Piece::Failed(failure));
        self.over = true;
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
    use crate::{base::outcome::Outcome, provider::StreamDecoder as _};

    fn decode<'a>(include_usage: bool, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
        let expected = Expected { include_usage, created: 5, model: "m".into(), ..Expected::default() };
        let mut stream = GeminiStream::new(&expected);
        let mut out = VecDeque::new();
        for chunk in chunks {
            stream.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        stream.finish(&mut out);
        out.into()
    }

    /// The pieces in short: a letter and what matters.
    fn short(text: &str) -> Vec<String> {
        let choice = |bytes: &Bytes| {
            let event = Event::new(bytes.clone());
            let chunk: Value = serde_json::from_slice(&event.data().unwrap()).unwrap();
            format!("{} {}", chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"])
        };
        let pieces = decode(false, [text.as_bytes()]);
        let show = |piece: &Piece| match piece {
            Piece::Lead(bytes) => format!("L {}", choice(bytes)),
            Piece::Content(bytes) => format!("C {}", choice(bytes)),
            Piece::Comment(_) => ";".to_owned(),
            Piece::Usage(usage) => format!("U {}+{}", usage.prompt(), usage.completion()),
            Piece::Failed(failure) => format!("F {}", failure.outcome),
            Piece::Done(_) => "D".to_owned(),
        };
        pieces.iter().map(show).collect()
    }

    fn event(value: &Value) -> String {
        format!("data: {value}\r\n\r\n")
    }

    fn said(text: &str, finish: Option<&str>, tokens: u64) -> String {
        event(&json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": tokens}}))
    }

    #[test]
    fn each_event_becomes_a_chunk_at_once() {
        let text = [said("a", None, 1), said("b", None, 2), said("", Some("STOP"), 2)].concat();
        assert_eq!(
            short(&text),
            [
                r#"C {"content":"a","role":"assistant"} null"#,
                r#"C {"content":"b"} null"#,
                r#"L {} "stop""#,
                "U 3+2",
                "D"
            ]
        );
        let mut stream = GeminiStream::new(&Expected::default());
        let mut out = VecDeque::new();
        stream.push(said("a", None, 1).into(), &mut out);
        assert!(matches!(out.pop_front(), Some(Piece::Content(_))));
    }

    #[test]
    fn the_usage_chunk_is_for_those_who_asked() {
        let pieces = decode(true, [said("a", Some("STOP"), 2).as_bytes()]);
        let Piece::Lead(bytes) = &pieces[2] else { panic!("{pieces:?}") };
        assert!(String::from_utf8_lossy(bytes).contains(r#""choices":[],"usage":{"prompt_tokens":3"#));
        assert!(matches!(pieces[3], Piece::Usage(_)));
    }

    #[test]
    fn an_end_is_told_from_a_cut() {
        assert_eq!(short(&said("a", None, 1))[1..], ["U 3+1", "F truncated"]);
        assert_eq!(short(""), ["F truncated"]);
        let whole = said("a", Some("STOP"), 1);
        assert_eq!(short(whole.trim_end()).last().unwrap(), "D");
        assert_eq!(short(&whole[..whole.len() - 9]), ["F truncated"]);
        assert_eq!(short(&format!("{}data: [DONE]\n\n", said("a", None, 1))).last().unwrap(), "F truncated");
        // The end of one of two choices is not the end.
        let two = event(&json!({"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1}]}));
        assert_eq!(short(&two).last().unwrap(), "F truncated");
    }

    #[test]
    fn failures_end_the_stream() {
        let begun = said("a", None, 1);
        let error = event(&json!({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}));
        assert_eq!(short(&format!("{begun}{error}{begun}"))[1..], ["U 3+1", "F error_event"]);
        let malformed = said("", Some("MALFORMED_FUNCTION_CALL"), 1);
        assert_eq!(short(&malformed)[1..], ["U 3+1", "F invalid_answer"]);
        for text in ["data: oops\n\n", "data: [1]\n\n", "[{\"candidates\":[]}]\n", "<html>\n\n", "{\n}\n"] {
            assert_eq!(short(text), ["F invalid_answer"], "{text}");
        }
        for text in ["{\"error\":{\"message\":\"no\"}}", "[{\n\"error\":{\"message\":\"no\"}}]\n"] {
            assert_eq!(short(text), ["F error_event"], "{text}");
        }
    }

    #[test]
    fn a_blocked_prompt_is_a_refusal() {
        let text = event(&json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}));
        assert_eq!(
            short(&text),
            [
                r#"C {"refusal":"Gemini blocked the prompt: PROHIBITED_CONTENT.","role":"assistant"} null"#,
                r#"L {} "content_filter""#,
                "U 3+0",
                "D"
            ]
        );
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        let line = b"data: 0123456789".repeat(65_536);
        let pieces = decode(false, std::iter::repeat_n(&line[..], MAX_EVENT / line.len() + 2));
        assert!(matches!(&pieces[..], [Piece::Failed(f)] if f.outcome == Outcome::InvalidAnswer));
    }

    #[test]
    fn a_line_that_was_cut_does_not_swallow_the_end() {
        let text = format!("{}: keep-al", said("a", Some("STOP"), 1));
        let pieces = decode(false, [text.as_bytes()]);
        assert!(pieces.iter().all(|piece| !matches!(piece, Piece::Comment(bytes) if *bytes != COMMENT)));
        assert_eq!(pieces.last(), Some(&Piece::Done(DONE)));
    }

    /// Streams made of events that mean something, with noise.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let call = event(
            &json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "willContinue": true}}]}}]}),
        );
        let piece = event(
            &json!({"candidates": [{"content": {"parts": [{"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}]}}]}),
        );
        let known = vec![
            said("a", None, 1),
            said("", Some("STOP"), 2),
            call,
            piece,
            ": c\n\n".into(),
            "data: {}\n\n".into(),
        ];
        let part = prop_oneof![
            6 => prop::sample::select(known).prop_map(String::into_bytes),
            1 => prop::sample::select(vec!["\r\n", "data: ", "{\"candidates\":[{\"index\":7}]}", "[", "data: [DONE]\n\n"])
                .prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
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
