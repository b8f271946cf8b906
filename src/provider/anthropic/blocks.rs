//! The open content blocks of a stream, each turned into deltas as it grows.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    super::Failure,
    block::{Block, redacted, thought},
    fault,
};
use crate::openai::write::{Delta, FunctionCall, ToolCall};

/// The most blocks that are open at once; the API opens one after another.
const MAX_OPEN: usize = 16;

/// The most that is kept of blocks that can only be told whole, in bytes: far more than a model can think.
const MAX_KEPT: usize = 4 * 1024 * 1024;

/// The blocks of one answer.
#[derive(Debug)]
pub struct Blocks {
    answer_tool: Option<String>,
    open: BTreeMap<u64, Open>,
    /// Bytes in the open blocks.
    kept: usize,
    untouched: bool,
    answered: bool,
    calls: usize,
    thoughts: usize,
    citations: usize,
    others: usize,
}

/// A block that has begun.
#[derive(Debug)]
enum Open {
    /// What comes for it is told at once.
    Plain,
    /// What was thought, which is shown as it comes and told whole with its signature.
    Thinking { thinking: String, signature: String },
    /// A call. `input` is what it began with, told if nothing follows.
    Call { number: usize, input: String, told: bool },
    /// The call whose arguments are the answer.
    Answer { input: String, told: bool },
    /// A block without counterpart whose input comes in pieces.
    Held { block: Map<String, Value>, input: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    thinking: String,
    signature: String,
    partial_json: String,
    citation: Value,
}

impl Blocks {
    /// None yet. `answer_tool`: the tool whose arguments are the answer.
    pub fn new(answer_tool: Option<String>) -> Self {
        Self {
            answer_tool,
            open: BTreeMap::new(),
            kept: 0,
            untouched: true,
            answered: false,
            calls: 0,
            thoughts: 0,
            citations: 0,
            others: 0,
        }
    }

    /// Whether there has been no block.
    pub fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether the call that ended the answer was the answer itself.
    pub fn answered(&self) -> bool {
        self.answered && self.calls == 0
    }

    /// A block begins.
    ///
    /// # Errors
    /// It cannot be read, stands there already, or is one too many.
    pub fn start(&mut self, index: u64, raw: &RawValue) -> Result<Vec<Delta>, Failure> {
        self.untouched = false;
        if self.open.len() >= MAX_OPEN || self.open.contains_key(&index) {
            return Err(Failure::invalid("A block of the provider's stream begins before another is over."));
        }
        let block = Block::read(raw).map_err(|error| fault::unreadable("stream", &error))?;
        let mut deltas = Vec::new();
        let open = match block {
            Block::Text { text, citations } => {
                deltas.extend(content(text));
                for citation in citations {
                    deltas.push(self.citation(citation));
                }
                Open::Plain
            }
            Block::Thinking { thinking, signature } => {
                deltas.extend(reasoning(thinking.clone()));
                Open::Thinking { thinking, signature }
            }
            Block::Redacted { data } => {
                deltas.push(self.thought(redacted(data)));
                Open::Plain
            }
            Block::Tool { name, input, .. } if Some(&name) == self.answer_tool.as_ref() => {
                self.answered = true;
                Open::Answer { input, told: false }
            }
            Block::Tool { id, name, input } => {
                let number = self.calls;
                self.calls += 1;
                deltas.push(call(ToolCall {
                    index: Some(number),
                    id: Some(id),
                    kind: Some("function"),
                    function: FunctionCall { name: Some(name), arguments: String::new() },
                    ..ToolCall::default()
                }));
                Open::Call { number, input, told: false }
            }
            Block::Other(block) if block.contains_key("input") => Open::Held { block, input: String::new() },
            Block::Other(block) => {
                deltas.push(self.other(block));
                Open::Plain
            }
        };
        self.open.insert(index, open);
        self.keep(raw.get().len())?;
        Ok(deltas)
    }

    /// A block grows.
    ///
    /// # Errors
    /// What it grows by cannot be read, is no part of such a block, or is too much.
    pub fn delta(&mut self, index: u64, raw: &RawValue) -> Result<Vec<Delta>, Failure> {
        self.untouched = false;
        let part: Part =
            serde_json::from_str(raw.get()).map_err(|error| fault::unreadable("stream", &error))?;
        let mut kept = 0;
        let delta = match (&*part.kind, self.open.get_mut(&index)) {
            ("text_delta", _) => content(part.text),
            ("thinking_delta", open) => {
                if let Some(Open::Thinking { thinking, .. }) = open {
                    kept = part.thinking.len();
                    thinking.push_str(&part.thinking);
                }
                reasoning(part.thinking)
            }
            ("signature_delta", Some(Open::Thinking { signature, .. })) => {
                kept = part.signature.len();
                signature.push_str(&part.signature);
                None
            }
            ("input_json_delta", Some(Open::Call { number, told, .. })) => {
                *told |= !part.partial_json.is_empty();
                arguments(*number, part.partial_json)
            }
            ("input_json_delta", Some(Open::Answer { told, .. })) => {
                *told |= !part.partial_json.is_empty();
                content(part.partial_json)
            }
            ("input_json_delta", Some(Open::Held { input, .. })) => {
                kept = part.partial_json.len();
                input.push_str(&part.partial_json);
                None
            }
            ("input_json_delta", _) => {
                return Err(Failure::invalid("The provider's stream has arguments without a call."));
            }
            ("citations_delta", _) => Some(self.citation(part.citation)),
            _ => {
                let block = serde_json::from_str(raw.get());
                Some(self.other(block.map_err(|error| fault::unreadable("stream", &error))?))
            }
        };
        self.keep(kept)?;
        Ok(delta.into_iter().collect())
    }

    /// A block is over.
    pub fn stop(&mut self, index: u64) -> Vec<Delta> {
        let delta = match self.open.remove(&index) {
            None | Some(Open::Plain) => None,
            Some(Open::Thinking { thinking, signature }) => Some(self.thought(thought(thinking, signature))),
            Some(Open::Call { told: true, .. } | Open::Answer { told: true, .. }) => None,
            Some(Open::Call { number, input, .. }) => arguments(number, input),
            Some(Open::Answer { input, .. }) => content(input),
            Some(Open::Held { mut block, input }) => {
                if !input.is_empty() {
                    let value = serde_json::from_str(&input).unwrap_or(Value::String(input));
                    block.insert("input".to_owned(), value);
                }
                Some(self.other(block))
            }
        };
        if self.open.is_empty() {
            self.kept = 0;
        }
        delta.into_iter().collect()
    }

    /// All blocks are over.
    pub fn stop_all(&mut self) -> Vec<Delta> {
        let open: Vec<u64> = self.open.keys().copied().collect();
        open.into_iter().flat_map(|index| self.stop(index)).collect()
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Failure> {
        self.kept += bytes;
        if self.kept > MAX_KEPT {
            return Err(Failure::invalid(format!(
                "A block of the provider's stream is longer than {MAX_KEPT} bytes."
            )));
        }
        Ok(())
    }

    fn thought(&mut self, entry: Map<String, Value>) -> Delta {
        extension("thinking_blocks", &mut self.thoughts, entry.into())
    }

    fn citation(&mut self, citation: Value) -> Delta {
        extension("citations", &mut self.citations, citation)
    }

    fn other(&mut self, block: Map<String, Value>) -> Delta {
        extension("provider_blocks", &mut self.others, block.into())
    }
}

/// An entry of a list that OpenAI's format does not know. Clients put the lists of a stream together by the entries'
/// `index`.
fn extension(list: &str, count: &mut usize, mut entry: Value) -> Delta {
    if let Value::Object(map) = &mut entry {
        map.insert("index".to_owned(), (*count).into());
    }
    *count += 1;
    let extra = [(list.to_owned(), Value::Array(vec![entry]))].into_iter().collect();
    Delta { extra, ..Delta::default() }
}

fn content(text: String) -> Option<Delta> {
    (!text.is_empty()).then(|| Delta { content: Some(text), ..Delta::default() })
}

fn reasoning(text: String) -> Option<Delta> {
    (!text.is_empty()).then(|| Delta { reasoning_content: Some(text), ..Delta::default() })
}

fn call(call: ToolCall) -> Delta {
    Delta { tool_calls: vec![call], ..Delta::default() }
}

fn arguments(number: usize, arguments: String) -> Option<Delta> {
    (!arguments.is_empty()).then(|| {
        let function = FunctionCall { name: None, arguments };
        call(ToolCall { index: Some(number), function, ..ToolCall::default() })
    })
}
