//! Whatever a provider's stream holds, what comes out is a stream that clients can read.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;
use weir::{
    openai::{
        Endpoint,
        sse::{Event, Splitter},
    },
    provider::{Codec, Expected, Piece, anthropic::Anthropic, gemini::Gemini, openai::OpenAi},
};

use super::knobs::Knobs;

/// A stream may grow by being translated, but only so many times, so that short streams cannot fill the memory.
const GROWTH: usize = 24;
/// What a stream may become however short it is, in bytes: it can name 128 choices in a few bytes each.
const LEAST: usize = 256 * 1024;

/// Checks the decoder of streams in OpenAI's format.
pub fn openai_stream(input: &[u8]) {
    check(&OpenAi::default(), input, |_| {});
}

/// Checks the decoder of Anthropic's streams.
pub fn anthropic_stream(input: &[u8]) {
    check(&Anthropic, input, translated);
}

/// Checks the decoder of Gemini's streams.
pub fn gemini_stream(input: &[u8]) {
    check(&Gemini, input, translated);
}

fn check(codec: &dyn Codec, input: &[u8], each: fn(&Value)) {
    let (content, knobs) = Knobs::split(input);
    let expected = Expected {
        endpoint: if knobs.on(1) { Endpoint::Completions } else { Endpoint::Chat },
        include_usage: knobs.on(0),
        answer_tool: knobs.on(2).then(|| "answer".to_owned()),
        model: "m".to_owned(),
        ..Expected::default()
    };
    let whole = decode(codec, &expected, &[Bytes::copy_from_slice(content)]);
    assert_eq!(decode(codec, &expected, &knobs.cut(content)), whole, "cuts change the pieces");
    ends_once(&whole);
    let written = whole.iter().filter_map(bytes).map(Bytes::len).sum::<usize>();
    assert!(written <= LEAST + GROWTH * content.len(), "{} bytes become {written}", content.len());
    for piece in &whole {
        readable(piece, each);
    }
    joins(&whole);
}

fn decode(codec: &dyn Codec, expected: &Expected, chunks: &[Bytes]) -> Vec<Piece> {
    let mut decoder = codec.stream(expected);
    let mut pieces = VecDeque::new();
    for chunk in chunks {
        decoder.push(chunk.clone(), &mut pieces);
    }
    decoder.finish(&mut pieces);
    let count = pieces.len();
    decoder.push(Bytes::from_static(b"data: {}\n\ndata: [DONE]\n\n"), &mut pieces);
    decoder.finish(&mut pieces);
    assert_eq!(pieces.len(), count, "something comes after the end");
    pieces.into()
}

fn ends_once(pieces: &[Piece]) {
    let is_end = |piece: &&Piece| matches!(piece, Piece::Done(_) | Piece::Failed(_));
    assert_eq!(pieces.iter().filter(is_end).count(), 1, "a stream ends once");
    assert!(pieces.last().as_ref().is_some_and(is_end), "something comes after the end");
    assert!(pieces.iter().filter(|piece| matches!(piece, Piece::Usage(_))).count() <= 1, "usage twice");
    if let Some(Piece::Failed(failure)) = pieces.last() {
        assert!(!failure.error.message.is_empty(), "a failure says what is wrong");
    }
}

fn bytes(piece: &Piece) -> Option<&Bytes> {
    match piece {
        Piece::Lead(bytes) | Piece::Content(bytes) | Piece::Comment(bytes) | Piece::Done(bytes) => {
            Some(bytes)
        }
        Piece::Usage(_) | Piece::Failed(_) => None,
    }
}

/// The payloads of the whole events in `bytes`, with what is behind the last.
fn payloads(bytes: Bytes) -> (Vec<Vec<u8>>, Option<Bytes>) {
    let mut splitter = Splitter::new(usize::MAX);
    splitter.push(bytes);
    let events = std::iter::from_fn(|| splitter.next_event());
    let mut payloads: Vec<_> = events.filter_map(|event| payload(&event.expect("no bound"))).collect();
    match splitter.finish() {
        // A blank line of a lone carriage return, for which a line feed might still come.
        Some(tail) if tail.raw.ends_with(b"\n\r") || tail.raw == "\r" => payloads.extend(payload(&tail)),
        Some(tail) => return (payloads, Some(tail.raw)),
        None => {}
    }
    (payloads, None)
}

fn payload(event: &Event) -> Option<Vec<u8>> {
    event.data().map(Into::into)
}

/// Each piece is whole events, with the payload that its kind has.
fn readable(piece: &Piece, each: fn(&Value)) {
    let Some(bytes) = bytes(piece) else { return };
    let (payloads, tail) = payloads(bytes.clone());
    assert_eq!(tail, None, "half an event");
    match (piece, &payloads[..]) {
        (Piece::Comment(_), []) => {}
        (Piece::Done(_), [done]) => assert_eq!(done.trim_ascii(), b"[DONE]"),
        (Piece::Lead(_) | Piece::Content(_), [payload]) => {
            let chunk: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_slice(payload);
            let chunk = chunk.expect("a chunk is JSON").get();
            assert!(chunk.trim_start().starts_with('{'), "a chunk is an object: {chunk}");
            each(&serde_json::from_str(chunk).unwrap_or_default());
        }
        _ => panic!("{} payloads in {piece:?}", payloads.len()),
    }
}

/// A chunk that a codec has written itself is as OpenAI writes it.
fn translated(chunk: &Value) {
    assert_eq!(chunk["object"], "chat.completion.chunk");
    assert!(chunk["id"].is_string() && chunk["model"].is_string() && chunk["created"].is_u64(), "{chunk}");
    for choice in chunk["choices"].as_array().expect("choices") {
        assert!(choice["index"].is_u64() && choice["delta"].is_object(), "{choice}");
        let reason = &choice["finish_reason"];
        let known = ["stop", "length", "tool_calls", "content_filter"];
        assert!(reason.is_null() || known.iter().any(|known| reason == known), "{reason}");
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            assert!(call["index"].is_u64() && call["function"]["arguments"].is_string(), "{call}");
        }
    }
}

/// One after another, the pieces are the same events as each for itself: none swallows the next.
fn joins(pieces: &[Piece]) {
    let each = pieces.iter().filter_map(bytes).flat_map(|bytes| payloads(bytes.clone()).0);
    let joined: Vec<u8> = pieces.iter().filter_map(bytes).flatten().copied().collect();
    let (found, tail) = payloads(joined.into());
    assert_eq!(tail, None, "half an event");
    assert_eq!(found, each.collect::<Vec<_>>(), "events change by standing one after another");
}
