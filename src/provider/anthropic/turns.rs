//! OpenAI's list of messages as Anthropic's system prompt with alternating turns.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use super::{
    gap::{Gaps, bad},
    parts::{Allowed, blocks, visible},
    request::{Block, Kind, Role, Turn},
};
use crate::{
    openai::{
        BadField,
        chat::{Message, ToolCall},
    },
    provider::tool_id,
};

/// What stands before a conversation that the user does not begin: the API wants the user's turn first.
pub const OPENING: &str = "Begin.";

/// A conversation as the API takes it.
#[derive(Debug, Default)]
pub struct Conversation<'a> {
    /// The system prompt: all system and developer messages in their order.
    pub system: Vec<Block<'a>>,
    /// The turns of user and assistant.
    pub turns: Vec<Turn<'a>>,
    /// Calls that no result has answered yet: their ids, with their places.
    open: Vec<(&'a str, String)>,
}

/// Translates the messages.
///
/// # Errors
/// The field at fault.
pub fn translate<'a>(messages: &'a [Message], gaps: &mut Gaps<'_>) -> Result<Conversation<'a>, BadField> {
    let mut conversation = Conversation::default();
    for (at, message) in messages.iter().enumerate() {
        conversation.message(&format!("messages[{at}]"), message, gaps)?;
    }
    conversation.all_answered()?;
    conversation.frame();
    Ok(conversation)
}

impl<'a> Conversation<'a> {
    fn message(&mut self, place: &str, message: &'a Message, gaps: &mut Gaps<'_>) -> Result<(), BadField> {
        if message.name.is_some() && message.role != "tool" {
            gaps.meet(format!("{place}.name"), "Anthropic's API does not tell speakers of one role apart")?;
        }
        match &*message.role {
            "system" | "developer" => {
                let blocks = said(place, message, Allowed::Text, gaps)?;
                extras(place, message, &["cache_control"], gaps)?;
                self.system.extend(marked(blocks, &message.extra));
            }
            "user" => {
                let blocks = said(place, message, Allowed::Media, gaps)?;
                extras(place, message, &["cache_control"], gaps)?;
                self.push(Role::User, marked(blocks, &message.extra));
            }
            "assistant" => self.assistant(place, message, gaps)?,
            "tool" => self.result(place, message, gaps)?,
            role => {
                let place = format!("{place}.role");
                let message = format!("Anthropic's API has no counterpart to the role `{role}` (`{place}`).");
                return Err(bad(place, message));
            }
        }
        Ok(())
    }

    fn assistant(&mut self, place: &str, message: &'a Message, gaps: &mut Gaps<'_>) -> Result<(), BadField> {
        self.all_answered()?;
        // Other fields are what some provider added to its answer; only these two would be missed.
        for field in ["audio", "function_call"] {
            if message.extra.get(field).is_some_and(|value| !value.is_null()) {
                gaps.meet(format!("{place}.{field}"), "Anthropic's API has no counterpart to this field")?;
            }
        }
        let mut blocks = thoughts(&message.extra);
        blocks.extend(said(place, message, Allowed::Answer, gaps)?);
        blocks.extend(message.refusal.as_deref().and_then(visible));
        for (at, call) in message.tool_calls.iter().flatten().enumerate() {
            let place = format!("{place}.tool_calls[{at}]");
            blocks.push(call_block(&place, call)?);
            self.open.push((&call.id, place));
        }
        self.push(Role::Assistant, marked(blocks, &message.extra));
        Ok(())
    }

    fn result(&mut self, place: &str, message: &'a Message, gaps: &mut Gaps<'_>) -> Result<(), BadField> {
        let id_place = format!("{place}.tool_call_id");
        let Some(id) = message.tool_call_id.as_deref() else {
            return Err(bad(
                &id_place,
                format!("`{id_place}` is missing: it names the call that is answered."),
            ));
        };
        let Some(at) = self.open.iter().position(|(open, _)| *open == id) else {
            let message = format!("`{id_place}` names no unanswered call of the assistant's last message.");
            return Err(bad(id_place, message));
        };
        self.open.remove(at);
        let content = said(place, message, Allowed::Media, gaps)?;
        extras(place, message, &["cache_control", "is_error"], gaps)?;
        let is_error = message.extra.get("is_error") == Some(&Value::Bool(true));
        let kind = Kind::ToolResult { tool_use_id: call_id(id), content, is_error };
        self.push(Role::User, marked(vec![kind.into()], &message.extra));
        Ok(())
    }

    /// Adds to the last turn if it is the same role's. Results go before all else: the API wants them first.
    fn push(&mut self, role: Role, blocks: Vec<Block<'a>>) {
        if blocks.is_empty() {
            return;
        }
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.turns.push(Turn { role, content: Vec::new(), results: 0 });
        }
        let turn = self.turns.last_mut().expect("one was pushed if there was none");
        for block in blocks {
            if matches!(block.kind, Kind::ToolResult { .. }) {
                turn.content.insert(turn.results, block);
                turn.results += 1;
            } else {
                turn.content.push(block);
            }
        }
    }

    /// Neither API takes a call without its result.
    fn all_answered(&self) -> Result<(), BadField> {
        match self.open.first() {
            None => Ok(()),
            Some((_, place)) => Err(bad(place, format!("No message of the role `tool` answers `{place}`."))),
        }
    }

    /// Makes the first and the last turn such as the API takes.
    fn frame(&mut self) {
        if self.turns.first().is_none_or(|turn| turn.role != Role::User) {
            self.turns.insert(0, Turn { role: Role::User, content: vec![Block::text(OPENING)], results: 0 });
        }
        // An answer that is to be continued must not end in blanks.
        if let Some(Turn { role: Role::Assistant, content, .. }) = self.turns.last_mut()
            && let Some(Block { kind: Kind::Text { text }, .. }) = content.last_mut()
        {
            let end = text.trim_end().len();
            match text {
                Cow::Borrowed(text) => *text = &text[..end],
                Cow::Owned(text) => text.truncate(end),
            }
        }
    }

    /// Whether the assistant's last turn called tools and does not begin with what it thought.
    pub fn lost_thoughts(&self) -> bool {
        let last = self.turns.iter().rev().find(|turn| turn.role == Role::Assistant);
        last.is_some_and(|turn| {
            let called = turn.content.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
            let thought = |block: &Block<'_>| {
                matches!(block.kind, Kind::Thinking { .. } | Kind::RedactedThinking { .. })
            };
            called && !turn.content.first().is_some_and(thought)
        })
    }

    /// The names of the tools that were called.
    pub fn called(&self) -> impl Iterator<Item = &'a str> {
        self.turns.iter().flat_map(|turn| &turn.content).filter_map(|block| match block.kind {
            Kind::ToolUse { name, .. } => Some(name),
            _ => None,
        })
    }
}

fn said<'a>(
    place: &str,
    message: &'a Message,
    allowed: Allowed,
    gaps: &mut Gaps<'_>,
) -> Result<Vec<Block<'a>>, BadField> {
    let content = message.content.as_ref();
    content.map_or(Ok(Vec::new()), |content| blocks(&format!("{place}.content"), content, allowed, gaps))
}

/// Meets the fields of a message that are not in `known`.
fn extras(place: &str, message: &Message, known: &[&str], gaps: &mut Gaps<'_>) -> Result<(), BadField> {
    let unknown = |(name, value): &(&String, &Value)| !value.is_null() && !known.contains(&&***name);
    for (name, _) in message.extra.iter().filter(unknown) {
        gaps.meet(format!("{place}.{name}"), "Anthropic's API has no counterpart to this field")?;
    }
    Ok(())
}

/// Puts a message's own cache mark on its last block.
fn marked<'a>(mut blocks: Vec<Block<'a>>, extra: &'a Map<String, Value>) -> Vec<Block<'a>> {
    if let (Some(last), Some(mark)) = (blocks.last_mut(), extra.get("cache_control")) {
        last.cache_control = last.cache_control.or(Some(mark).filter(|mark| !mark.is_null()));
    }
    blocks
}

/// What the assistant thought, as this codec's answers tell it. Thoughts without a signature are another
/// provider's and would be refused.
fn thoughts(extra: &Map<String, Value>) -> Vec<Block<'_>> {
    let list = extra.get("thinking_blocks").and_then(Value::as_array);
    let block = |block| -> Option<Block<'_>> {
        let field = |name: &str| -> Option<&str> { Value::get(block, name)?.as_str() };
        let kind = match field("type")? {
            "thinking" => Kind::Thinking {
                thinking: field("thinking")?,
                signature: field("signature").filter(|signature| !signature.is_empty())?,
            },
            "redacted_thinking" => Kind::RedactedThinking { data: field("data")? },
            _ => return None,
        };
        Some(kind.into())
    };
    list.into_iter().flatten().filter_map(block).collect()
}

fn call_block<'a>(place: &str, call: &'a ToolCall) -> Result<Block<'a>, BadField> {
    let arguments = &*call.function.arguments;
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    let input = serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().starts_with('{'));
    let Some(input) = input else {
        let place = format!("{place}.function.arguments");
        let message = format!("`{place}` must be a JSON object: Anthropic's API takes no other arguments.");
        return Err(bad(place, message));
    };
    Ok(Kind::ToolUse { id: call_id(&call.id), name: &call.function.name, input }.into())
}

/// A call's id in the letters that the API takes; ids of other providers may have more, or hide something in them.
fn call_id(id: &str) -> Cow<'_, str> {
    match tool_id::plain(id) {
        Cow::Borrowed(id) => lettered(id),
        Cow::Owned(plain) => lettered(&plain).into_owned().into(),
    }
}

fn lettered(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return id.into();
    }
    let mut made = "call_".to_owned();
    for byte in &Sha256::digest(id)[..12] {
        write!(made, "{byte:02x}").expect("writing to a text cannot fail");
    }
    made.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: Value) -> Result<(Value, Value), String> {
        let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
        let mut gaps = Gaps::new(false);
        let conversation = translate(&messages, &mut gaps).map_err(|bad| bad.param.unwrap())?;
        let json = |value: &Vec<Block<'_>>| serde_json::to_value(value).unwrap();
        Ok((json(&conversation.system), serde_json::to_value(&conversation.turns).unwrap()))
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    fn call(id: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
    }

    #[test]
    fn system_messages_fold_and_turns_of_one_role_merge() {
        let (system, turns) = read(json!([
            {"role": "system", "content": "A"},
            {"role": "user", "content": "1"},
            {"role": "developer", "content": [{"type": "text", "text": "B"}], "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "3"},
            {"role": "assistant", "content": null, "refusal": "no "},
        ]))
        .unwrap();
        assert_eq!(
            system,
            json!([text("A"), {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}])
        );
        assert_eq!(
            turns,
            json!([
                {"role": "user", "content": [text("1"), text("2")]},
                {"role": "assistant", "content": [text("3"), text("no")]},
            ])
        );
    }

    #[test]
    fn the_user_begins() {
        let (_, turns) = read(json!([{"role": "assistant", "content": "Hello!"}])).unwrap();
        assert_eq!(turns[0], json!({"role": "user", "content": [text(OPENING)]}));
        let (_, turns) = read(json!([{"role": "system", "content": "x"}])).unwrap();
        assert_eq!(turns.as_array().unwrap().len(), 1);
    }

    #[test]
    fn results_come_first_in_their_turn() {
        let (_, turns) = read(json!([
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "", "tool_calls": [call("a", ""), call("b.1:x", "{\"z\": 1, \"a\": 2}")]},
            {"role": "user", "content": "meanwhile"},
            {"role": "tool", "tool_call_id": "b.1:x", "name": "f", "content": [], "is_error": true},
            {"role": "tool", "tool_call_id": "a", "content": "done", "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": "so?"},
        ]))
        .unwrap();
        let made = turns[1]["content"][1]["id"].as_str().unwrap();
        assert!(made.starts_with("call_") && made.len() == 29, "{made}");
        assert_eq!(turns[1]["content"][0], json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}));
        assert_eq!(
            turns[2]["content"],
            json!([
                {"type": "tool_result", "tool_use_id": made, "is_error": true},
                {"type": "tool_result", "tool_use_id": "a", "content": [text("done")],
                    "cache_control": {"type": "ephemeral"}},
                text("meanwhile"),
                text("so?"),
            ])
        );
    }

    #[test]
    fn arguments_pass_as_they_were_written() {
        let chat = json!([
            {"role": "assistant", "tool_calls": [call("a", "{\"z\": 1e400, \"a\": 2}")]},
            {"role": "tool", "tool_call_id": "a", "content": "x"},
        ]);
        let messages: Vec<Message> = serde_json::from_value(chat).unwrap();
        let conversation = translate(&messages, &mut Gaps::new(false)).unwrap();
        let json = serde_json::to_string(&conversation.turns).unwrap();
        assert!(json.contains(r#""input":{"z": 1e400, "a": 2}"#), "{json}");
    }

    #[test]
    fn signatures_do_not_leave_gemini() {
        for (id, made) in [("w7__ts_AAAA", "w7_"), ("f.1__ts_AAAA", "call_")] {
            let (_, turns) = read(json!([
                {"role": "user", "content": "?"},
                {"role": "assistant", "tool_calls": [call(id, "{}")]},
                {"role": "tool", "tool_call_id": id, "content": "x"},
            ]))
            .unwrap();
            let sent = turns[1]["content"][0]["id"].as_str().unwrap();
            assert!(sent.starts_with(made) && sent.len() <= 40 && !sent.contains("__ts_"), "{sent}");
            assert_eq!(turns[2]["content"][0]["tool_use_id"], sent);
        }
    }

    #[test]
    fn thoughts_come_back_in_front() {
        let (_, turns) = read(json!([
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "b", "reasoning_content": "hm", "annotations": [], "thinking_blocks": [
                {"index": 0, "type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "thinking", "thinking": "foreign"},
                {"type": "redacted_thinking", "data": "d"},
            ]},
        ]))
        .unwrap();
        assert_eq!(
            turns[1]["content"],
            json!([
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                text("b"),
            ])
        );
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let user = json!({"role": "user", "content": "?"});
        let cases = [
            (json!({"role": "function", "name": null, "content": "x"}), "messages[1].role"),
            (json!({"role": "user", "content": "x", "name": "bob"}), "messages[1].name"),
            (json!({"role": "user", "content": "x", "odd": 1}), "messages[1].odd"),
            (json!({"role": "assistant", "function_call": {}}), "messages[1].function_call"),
            (json!({"role": "assistant", "audio": {"id": "x"}}), "messages[1].audio"),
            (json!({"role": "tool", "content": "x"}), "messages[1].tool_call_id"),
            (json!({"role": "tool", "content": "x", "tool_call_id": "y"}), "messages[1].tool_call_id"),
            (json!({"role": "assistant", "tool_calls": [call("a", "{}")]}), "messages[1].tool_calls[0]"),
        ];
        for (message, expected) in cases {
            assert_eq!(read(json!([user, message])), Err(expected.to_owned()), "{message}");
        }
        for arguments in ["{", "[]", "null", "1", "{} {}"] {
            let message = json!({"role": "assistant", "tool_calls": [call("a", "{}"), call("b", arguments)]});
            let expected = "messages[0].tool_calls[1].function.arguments";
            assert_eq!(read(json!([message])), Err(expected.to_owned()), "{arguments}");
        }
    }
}
