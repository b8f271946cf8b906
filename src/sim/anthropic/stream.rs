//! A message as the events of a stream.

use serde_json::{Value, json};

use super::{
    answer::{Block, Message},
    error::failure_event,
};
use crate::sim::{
    dice::Dice,
    reply::{Event, Reply},
    tokens::{self, Piece},
};

/// The most blanks before the brace that ends an event.
const BLANKS: usize = 16;
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// The events with their padding.
struct Writer {
    dice: Dice,
    events: Vec<Event>,
}

/// The stream of a message.
pub(crate) fn reply(message: &Message, model: &str, prompt_tokens: u64) -> Reply {
    let mut writer = Writer { dice: Dice::of(0, &[message.id.as_bytes()]), events: Vec::new() };
    let start = format!("\"message\":{}", message.json(model, true));
    let start = writer.event("message_start", &start);
    writer.events.push(Event::open(start));
    let last = message.blocks.len().saturating_sub(1);
    for (index, block) in message.blocks.iter().enumerate() {
        writer.block(index, block);
        let stop = writer.event("content_block_stop", &format!("\"index\":{index}"));
        // Only the last stop closes the answer: a fault after some chunks is not to come before its time.
        writer.events.push(if index == last { Event::close(stop) } else { Event::open(stop) });
    }
    let (reason, stop, details) = (message.stop_reason, &message.stop_sequence, message.details());
    let delta = format!(
        "\"delta\":{{\"stop_reason\":{},\"stop_sequence\":{},\"stop_details\":{details}}}",
        Value::from(reason),
        json!(stop)
    );
    let usage = message.final_usage(message.output).map(|usage| format!(",\"usage\":{usage}"));
    let delta = writer.event("message_delta", &format!("{delta}{}", usage.unwrap_or_default()));
    let end = writer.event("message_stop", "");
    writer.events.extend([Event::close(delta), Event::close(end)]);
    Reply::stream(writer.events, failure_event().into(), prompt_tokens)
}

impl Writer {
    fn event(&mut self, name: &str, rest: &str) -> String {
        let comma = if rest.is_empty() { "" } else { "," };
        let blanks = self.dice.below(BLANKS);
        format!("event: {name}\ndata: {{\"type\":\"{name}\"{comma}{rest}{:blanks$}}}\n\n", "")
    }

    fn block(&mut self, index: usize, block: &Block) {
        match block {
            Block::Thinking { shown, tokens, signature } => {
                self.start(index, r#"{"type":"thinking","thinking":"","signature":""}"#, 0);
                self.deltas(index, "thinking_delta", "thinking", shown);
                let hidden = if shown.is_empty() { *tokens } else { 0 };
                self.delta(index, "signature_delta", "signature", signature, hidden);
            }
            Block::Redacted { data, tokens } => {
                let block = json!({ "type": "redacted_thinking", "data": data }).to_string();
                self.start(index, &block, *tokens);
            }
            Block::Text(pieces) => {
                self.start(index, r#"{"type":"text","text":""}"#, 0);
                self.deltas(index, "text_delta", "text", pieces);
            }
            Block::Tool { id, call } => {
                let (id, name) = (Value::from(id.as_str()), Value::from(call.name.as_str()));
                let block = format!(
                    r#"{{"type":"tool_use","id":{id},"name":{name},"input":{{}},"caller":{{"type":"direct"}}}}"#
                );
                self.start(index, &block, call.overhead());
                // A call without arguments stays at that.
                let bare = tokens::join(&call.arguments) == "{}";
                let hidden = if bare { tokens::total(&call.arguments) } else { 0 };
                self.delta(index, "input_json_delta", "partial_json", "", hidden);
                if !bare {
                    self.deltas(index, "input_json_delta", "partial_json", &call.arguments);
                }
            }
        }
    }

    fn start(&mut self, index: usize, block: &str, tokens: u32) {
        let start = format!("\"index\":{index},\"content_block\":{block}");
        let start = self.event("content_block_start", &start);
        self.events.push(if tokens > 0 { Event::content(start, tokens) } else { Event::open(start) });
        if index == 0 {
            self.events.push(Event::open(PING));
        }
    }

    fn deltas(&mut self, index: usize, kind: &str, key: &str, pieces: &[Piece]) {
        for piece in pieces {
            self.delta(index, kind, key, &piece.text, piece.tokens);
        }
    }

    fn delta(&mut self, index: usize, kind: &str, key: &str, text: &str, tokens: u32) {
        let text = Value::from(text);
        let delta = format!("\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{key}\":{text}}}");
        let delta = self.event("content_block_delta", &delta);
        self.events.push(Event::content(delta, tokens));
    }
}
