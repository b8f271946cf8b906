//! An answer as the chunks of a stream.

use serde_json::{Value, json};

use super::{
    answer::{Candidate, Response},
    error::failure_event,
};
use crate::sim::{
    reply::{Event, Reply},
    tokens,
};

/// How many bits of a text go in one chunk.
const PIECES: usize = 3;

/// One chunk's part in an answer.
struct Bit {
    parts: Vec<Value>,
    said: u32,
    thought: u32,
    ends: bool,
}

/// The answer as server-sent events.
pub(crate) fn reply(response: &Response) -> Reply {
    let events = chunks(response).into_iter().map(|(chunk, tokens, ends)| {
        let event = format!("data: {chunk}\r\n\r\n");
        if ends { Event::close(event) } else { Event::content(event, tokens) }
    });
    Reply::stream(events.collect(), failure_event().into(), response.prompt_tokens)
}

/// The chunks as one list, as they come where no events are asked for.
pub(crate) fn as_list(response: &Response) -> Reply {
    let chunks: Vec<Value> = chunks(response).into_iter().map(|chunk| chunk.0).collect();
    let (said, thought) = response.tokens();
    Reply::whole(Value::from(chunks).to_string(), response.prompt_tokens, said + thought)
}

/// Each chunk with its tokens, and whether it comes after the answer.
fn chunks(response: &Response) -> Vec<(Value, u32, bool)> {
    let mut turns: Vec<_> = response.candidates.iter().map(|candidate| bits(candidate).into_iter()).collect();
    if turns.is_empty() {
        return vec![(response.frame(Vec::new(), 0, 0), 0, true)];
    }
    let (mut said, mut thought) = (0, 0);
    let mut chunks = Vec::new();
    let mut closing = Vec::new();
    let mut open = true;
    while open {
        open = false;
        for (index, turn) in turns.iter_mut().enumerate() {
            let Some(bit) = turn.next() else { continue };
            open = true;
            said += u64::from(bit.said);
            thought += u64::from(bit.thought);
            let candidate = response.candidates[index].json(index, bit.parts, bit.ends);
            if bit.ends {
                closing.push(candidate);
            } else {
                // The first chunks of real ones count no candidate yet.
                let counted = if chunks.is_empty() { 0 } else { said };
                let chunk = response.frame(vec![candidate], counted, thought);
                chunks.push((chunk, bit.said + bit.thought, false));
            }
        }
    }
    chunks.extend(
        closing.into_iter().map(|candidate| (response.frame(vec![candidate], said, thought), 0, true)),
    );
    chunks
}

fn bits(candidate: &Candidate) -> Vec<Bit> {
    let mut bits = Vec::new();
    let thought = tokens::total(&candidate.thought);
    match candidate.shown_thought() {
        // A thought that is not shown counts with the first chunk that is.
        [] => {}
        shown => bits.extend(shown.chunks(PIECES * 4).map(|pieces| Bit {
            parts: vec![json!({ "text": tokens::join(pieces), "thought": true })],
            said: 0,
            thought: tokens::total(pieces),
            ends: false,
        })),
    }
    let mut hidden = if bits.is_empty() { thought } else { 0 };
    for pieces in candidate.answer.text.chunks(PIECES) {
        let parts = vec![json!({ "text": tokens::join(pieces) })];
        bits.push(Bit { parts, said: tokens::total(pieces), thought: hidden, ends: false });
        hidden = 0;
    }
    let calls = candidate.call_parts();
    if !calls.is_empty() {
        let said = u32::try_from(candidate.answer.tokens()).unwrap_or(u32::MAX);
        bits.push(Bit { parts: calls, said, thought: hidden, ends: false });
        hidden = 0;
    }
    let last = match &candidate.signature {
        Some(signature) => vec![json!({ "text": "", "thoughtSignature": signature })],
        None if candidate.finish == "STOP" => vec![json!({ "text": "" })],
        None => Vec::new(),
    };
    bits.push(Bit { parts: last, said: 0, thought: hidden, ends: true });
    bits
}
