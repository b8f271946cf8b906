//! The messages of a request, with the rules between them.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    blocks::{self, Block},
    error::Refusal,
    field::{self, Object, inside},
    source::PICTURE,
    tally::Tally,
};

/// What the messages come to.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The text of the last turn.
    pub(crate) last: String,
    /// Whether that is a tool's result.
    pub(crate) is_result: bool,
    /// The text of the last user turn that has one.
    pub(crate) asked: String,
    /// Whether the last turn is the assistant's, to be continued.
    pub(crate) prefilled: bool,
    /// Where a thought is missing before the tool calls that were just answered, and what stands there.
    pub(crate) thoughtless: Option<(String, String)>,
}

/// All messages in a row by one side: they count as one.
struct Turn<'a> {
    /// The number of its first message.
    index: usize,
    role: &'a str,
    blocks: Vec<Block<'a>>,
}

/// Reads `messages`.
///
/// # Errors
/// As Anthropic refuses them.
pub(crate) fn read(request: &Object, tally: &mut Tally) -> Result<Said, Refusal> {
    let messages = field::list(field::required(request, "", "messages")?, "messages")?;
    if messages.is_empty() {
        return Err(Refusal::at("messages", "at least one message is required"));
    }
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let place = inside("messages", index);
        let message = field::object(message, &place)?;
        let Some(role) = role(message, &place)? else {
            continue;
        };
        let is_last = index + 1 == messages.len();
        let blocks = content(message, role, &place, is_last, tally)?;
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.blocks.extend(blocks),
            _ => turns.push(Turn { index, role, blocks }),
        }
    }
    match turns.first() {
        Some(first) if first.role == "user" => {}
        _ => return Err(Refusal::at("messages", "first message must use the \"user\" role")),
    }
    answered(&turns)?;
    Ok(summed_up(&turns))
}

/// The role; `None` for the changes of tools that stand between messages.
fn role<'a>(message: &'a Object, place: &str) -> Result<Option<&'a str>, Refusal> {
    field::only(message, place, &["role", "content"])?;
    let role = field::required_text(message, place, "role")?;
    let is_change = |block: &Value| {
        matches!(block.get("type").and_then(Value::as_str), Some("tool_addition" | "tool_removal"))
    };
    match role {
        "user" | "assistant" => Ok(Some(role)),
        "system" => match message.get("content").and_then(Value::as_array) {
            Some(blocks) if !blocks.is_empty() && blocks.iter().all(is_change) => Ok(None),
            _ => Err(Refusal::at(
                "messages",
                "Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as \
                 an input message role.",
            )),
        },
        _ => Err(Refusal::at(&inside(place, "role"), "Input should be 'user' or 'assistant'")),
    }
}

fn content<'a>(
    message: &'a Object,
    role: &'a str,
    place: &str,
    is_last: bool,
    tally: &mut Tally,
) -> Result<Vec<Block<'a>>, Refusal> {
    let empty = || {
        let message =
            "all messages must have non-empty content except for the optional final assistant message";
        Err(Refusal::at(place, message))
    };
    let may_be_empty = is_last && role == "assistant";
    let at = inside(place, "content");
    let blocks = match field::required(message, place, "content")? {
        Value::String(text) if text.trim().is_empty() && !may_be_empty => return empty(),
        Value::String(text) => {
            tally.add_text(text, 4);
            vec![Block { place: at, kind: "text", object: None, text: text.clone() }]
        }
        Value::Array(values) if values.is_empty() && !may_be_empty => return empty(),
        Value::Array(values) => {
            let mut blocks = Vec::new();
            for (index, value) in values.iter().enumerate() {
                let block = blocks::read(value, role, inside(&at, index))?;
                if let Some(object) = block.object {
                    let extra = if matches!(block.kind, "image" | "document") { PICTURE } else { 4 };
                    tally.add(object, &inside(&block.place, block.kind), extra)?;
                }
                blocks.push(block);
            }
            blocks
        }
        _ => return Err(Refusal::at(&at, "Input should be a valid string or list")),
    };
    let ends = blocks.last().filter(|block| is_last && role == "assistant" && block.kind == "text");
    if ends.is_some_and(|block| block.text.ends_with(char::is_whitespace)) {
        return Err(Refusal::at("messages", "final assistant content cannot end with trailing whitespace"));
    }
    Ok(blocks)
}

/// Each call is answered at the start of the next turn, and nothing else is answered.
fn answered(turns: &[Turn<'_>]) -> Result<(), Refusal> {
    let mut known: HashSet<&str> = HashSet::new();
    let mut open: Vec<&str> = Vec::new();
    for turn in turns {
        let results = turn.blocks.iter().filter(|block| block.kind == "tool_result");
        for block in results {
            let id = block.field("tool_use_id");
            if !open.contains(&id) {
                let message = format!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a \
                     corresponding `tool_use` block in the previous message."
                );
                return Err(Refusal::at(&block.place, &message));
            }
        }
        let mut first: Vec<&str> = Vec::new();
        for block in turn.blocks.iter().take_while(|block| block.kind == "tool_result") {
            let id = block.field("tool_use_id");
            if first.contains(&id) {
                let message = format!(
                    "each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"
                );
                return Err(Refusal::at(&block.place, &message));
            }
            first.push(id);
        }
        open.retain(|id| !first.contains(id));
        all_answered(&open, turn.index)?;
        open.clear();
        for block in turn.blocks.iter().filter(|block| block.kind == "tool_use") {
            if !known.insert(block.field("id")) {
                return Err(Refusal::at("messages", "`tool_use` ids must be unique"));
            }
            open.push(block.field("id"));
        }
    }
    all_answered(&open, turns.last().map_or(1, |turn| turn.index + 1))
}

fn all_answered(open: &[&str], index: usize) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have \
         a corresponding `tool_result` block in the next message.",
        open.join(", ")
    );
    Err(Refusal::at(&inside("messages", index.saturating_sub(1)), &message))
}

fn summed_up(turns: &[Turn<'_>]) -> Said {
    let text = |turn: &Turn<'_>, kind: &str| {
        let texts = turn.blocks.iter().filter(|block| block.kind == kind).map(|block| block.text.as_str());
        texts.collect::<Vec<_>>().join("\n")
    };
    let mut said = Said::default();
    let asks = turns.iter().rev().filter(|turn| turn.role == "user").map(|turn| text(turn, "text"));
    said.asked = asks.into_iter().find(|asked| !asked.is_empty()).unwrap_or_default();
    let Some(last) = turns.last() else {
        return said;
    };
    said.prefilled = last.role == "assistant";
    said.last = text(last, "text");
    let has_results = last.blocks.iter().any(|block| block.kind == "tool_result");
    if has_results {
        said.is_result = said.last.is_empty();
        if said.is_result {
            said.last = text(last, "tool_result");
        }
        let calls = turns.len().checked_sub(2).and_then(|index| turns.get(index));
        let first = calls.and_then(|turn| turn.blocks.first());
        said.thoughtless = first
            .filter(|block| !matches!(block.kind, "thinking" | "redacted_thinking"))
            .map(|block| (block.place.clone(), block.kind.to_owned()));
    }
    said
}
