//! What the model says, as a message of blocks.

use serde_json::{Value, json};

use super::{ask::Ask, tally::Input, thinking};
use crate::sim::{
    compose::{self, Finish, Shape, ToolChoice},
    dice::Dice,
    fault::{Ending, Fault, UsageLie},
    protocol::Call,
    seal, text,
    tokens::{self, Piece},
};

/// The fewest tokens of room for words before tool calls.
const ROOM: u32 = 64;

/// One block of an answer.
#[derive(Debug)]
pub(crate) enum Block {
    /// A thought with its signature; `shown` is what of it the client gets to see.
    Thinking {
        shown: Vec<Piece>,
        tokens: u32,
        signature: String,
    },
    Redacted {
        data: String,
        tokens: u32,
    },
    Text(Vec<Piece>),
    Tool {
        id: String,
        call: compose::Call,
    },
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop_reason: &'static str,
    pub(crate) stop_sequence: Option<String>,
    pub(crate) input: Input,
    pub(crate) output: u64,
    /// The tokens of its thoughts, which are among those of the output.
    pub(crate) thought: u64,
    pub(crate) lie: Option<UsageLie>,
}

/// Answers a good request.
pub(crate) fn message(ask: Ask, call: &Call<'_>) -> Message {
    let fault = &call.chosen.fault;
    let input = ask.tally.input(call.model, call.prefixes);
    let mut ids = Dice::of(call.seed, &[b"message", &call.seq.to_le_bytes()]);
    let mut prompt = ask.prompt;
    prompt.seed = (call.seed, 0);
    prompt.length = call.chosen.pace.tokens;
    prompt.ending = fault.ending;
    let mut blocks = Vec::new();
    let mut room = prompt.max_tokens.unwrap_or(u32::MAX);
    let useless = matches!(fault.ending, Some(Ending::Empty | Ending::Refusal));
    if !useless && (ask.thinking.is_some() || fault.redacted) {
        let omitted = ask.thinking.is_some_and(|thinking| thinking.omitted);
        blocks.push(think(&prompt.asked, call.seed, room, omitted, fault));
    }
    let thought = blocks.iter().map(Block::tokens).sum::<u64>();
    room = room.saturating_sub(u32::try_from(thought).unwrap_or(u32::MAX));
    prompt.max_tokens = Some(room);
    let mut said = compose::compose(&prompt, 0);
    if said.calls.len() > 1
        && prompt.choice == ToolChoice::Auto
        && room >= ROOM
        && matches!(prompt.shape, Shape::Text)
    {
        // What real ones say before they call several tools.
        let words = tokens::pieces("I'll look up both at once.");
        room -= tokens::total(&words);
        prompt.max_tokens = Some(room);
        said = compose::compose(&prompt, 0);
        blocks.push(Block::Text(words));
    }
    let stop_reason = match (fault.ending, &said.stopped_at, said.finish) {
        (Some(Ending::Refusal), _, _) => "refusal",
        (_, Some(_), _) => "stop_sequence",
        (_, _, Finish::Length) => "max_tokens",
        (_, _, Finish::ToolCalls) => "tool_use",
        (_, _, Finish::Stop) => "end_turn",
    };
    if !said.text.is_empty() {
        blocks.push(Block::Text(said.text));
    }
    let tools = said.calls.into_iter().map(|call| Block::Tool { id: ids.id("toolu_01", 22), call });
    blocks.extend(tools);
    let output = blocks.iter().map(Block::tokens).sum();
    let id = ids.id("msg_01", 22);
    Message {
        id,
        blocks,
        stop_reason,
        stop_sequence: said.stopped_at,
        input,
        output,
        thought,
        lie: fault.usage,
    }
}

fn think(asked: &str, seed: u64, room: u32, omitted: bool, fault: &Fault) -> Block {
    let dice = &mut Dice::of(seed, &[b"thought", text::head(asked, 1024).as_bytes()]);
    let thought = thinking::thought(dice, asked, room);
    let tokens = tokens::total(&thought);
    if fault.redacted {
        return Block::Redacted { data: seal::of("redacted", ""), tokens };
    }
    let shown = if omitted { Vec::new() } else { thought };
    let signature = seal::of("thinking", &tokens::join(&shown));
    Block::Thinking { shown, tokens, signature }
}

impl Block {
    fn tokens(&self) -> u64 {
        match self {
            Self::Thinking { tokens, .. } | Self::Redacted { tokens, .. } => (*tokens).into(),
            Self::Text(pieces) => tokens::total(pieces).into(),
            Self::Tool { call, .. } => u64::from(call.overhead()) + u64::from(tokens::total(&call.arguments)),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Thinking { shown, signature, .. } => {
                json!({ "type": "thinking", "thinking": tokens::join(shown), "signature": signature })
            }
            Self::Redacted { data, .. } => json!({ "type": "redacted_thinking", "data": data }),
            Self::Text(pieces) => json!({ "type": "text", "text": tokens::join(pieces) }),
            Self::Tool { id, call } => {
                let arguments = tokens::join(&call.arguments);
                // An input is an object: what is none is wrapped in one, as real ones do.
                let input = match serde_json::from_str(&arguments) {
                    Ok(input @ Value::Object(_)) => input,
                    _ => json!({ "INVALID_JSON": arguments }),
                };
                json!({ "type": "tool_use", "id": id, "name": call.name, "input": input, "caller": { "type": "direct" } })
            }
        }
    }
}

impl Message {
    /// The whole message; `None` for the blocks leaves them out, as where a stream starts.
    pub(crate) fn json(&self, model: &str, started: bool) -> Value {
        let content: Vec<Value> =
            if started { Vec::new() } else { self.blocks.iter().map(Block::json).collect() };
        let (reason, details) =
            if started { (None, Value::Null) } else { (Some(self.stop_reason), self.details()) };
        let stop = self.stop_sequence.as_ref().filter(|_| !started);
        let mut message = json!({ "model": model, "id": self.id, "type": "message", "role": "assistant",
            "content": content, "stop_reason": reason, "stop_sequence": stop, "stop_details": details });
        let output = if started { self.output.min(1 + self.output % 8) } else { self.output };
        if let Some(usage) = self.usage(output, started) {
            message["usage"] = usage;
        }
        message
    }

    /// What a refusal says of itself.
    pub(crate) fn details(&self) -> Value {
        if self.stop_reason != "refusal" {
            return Value::Null;
        }
        json!({ "type": "refusal", "category": "cyber",
            "explanation": "This request triggered restrictions and was blocked under the Usage Policy." })
    }

    fn times(&self, tokens: u64) -> u64 {
        match self.lie {
            None | Some(UsageLie::Absent) => tokens,
            Some(UsageLie::Zero) => 0,
            Some(UsageLie::Times(times)) => tokens.saturating_mul(times.into()),
        }
    }

    fn usage(&self, output: u64, started: bool) -> Option<Value> {
        let mut usage = self.final_usage(output)?;
        let Input { written: (minutes, hour), .. } = self.input;
        usage["cache_creation"] = json!({ "ephemeral_5m_input_tokens": self.times(minutes),
            "ephemeral_1h_input_tokens": self.times(hour) });
        usage["service_tier"] = json!("standard");
        usage["inference_geo"] = json!("not_available");
        if started && let Some(usage) = usage.as_object_mut() {
            usage.remove("output_tokens_details");
        }
        Some(usage)
    }

    /// The figures that a stream closes with.
    pub(crate) fn final_usage(&self, output: u64) -> Option<Value> {
        if self.lie == Some(UsageLie::Absent) {
            return None;
        }
        let Input { plain, written: (minutes, hour), read } = self.input;
        let mut usage = json!({ "input_tokens": self.times(plain),
            "cache_creation_input_tokens": self.times(minutes + hour),
            "cache_read_input_tokens": self.times(read), "output_tokens": self.times(output) });
        if self.thought > 0 {
            usage["output_tokens_details"] = json!({ "thinking_tokens": self.times(self.thought) });
        }
        Some(usage)
    }
}
