//! The messages of a chat, checked as OpenAI checks them.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    super::tokens,
    field::{self, Object, given, wrong},
    refusal::Refusal,
};

const ROLES: [&str; 6] = ["system", "assistant", "user", "function", "tool", "developer"];
/// What a picture costs that is looked at coarsely.
const PICTURE: u64 = 85;

/// What a chat's messages come to.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The text of the last one.
    pub(crate) last: String,
    /// Whether that is a tool's result.
    pub(crate) is_result: bool,
    /// The text of the last user message.
    pub(crate) asked: String,
    /// Their tokens.
    pub(crate) tokens: u64,
    /// Whether the word JSON is in any.
    pub(crate) says_json: bool,
}

/// Reads `messages`.
///
/// # Errors
/// As OpenAI refuses them.
pub(crate) fn read(request: &Object) -> Result<Messages, Refusal> {
    let messages = match request.get("messages") {
        None | Some(Value::Null) => return Err(Refusal::missing("messages")),
        Some(Value::Array(messages)) if messages.is_empty() => {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
            return Err(Refusal::bad(message, "messages", "empty_array"));
        }
        Some(Value::Array(messages)) => messages,
        Some(value) => return Err(wrong("messages", "an array of objects", value)),
    };
    let mut read = Messages { tokens: 3, ..Messages::default() };
    let mut awaited: HashSet<&str> = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        let Value::Object(message) = message else {
            return Err(wrong(&at, "an object", message));
        };
        let role = role(message, &at)?;
        let text = content(message, role, &at, &mut read.tokens)?;
        follow(message, role, index, &mut awaited)?;
        read.tokens += 4 + tokens::count(&text) + calls_tokens(message);
        read.says_json |= text.to_ascii_lowercase().contains("json");
        if role == "user" {
            read.asked.clone_from(&text);
        }
        read.is_result = matches!(role, "tool" | "function");
        read.last = text;
    }
    all_answered(&awaited, messages.len())?;
    Ok(read)
}

fn role<'a>(message: &'a Object, at: &str) -> Result<&'a str, Refusal> {
    let at = format!("{at}.role");
    match message.get("role") {
        None => Err(Refusal::missing(&at)),
        Some(Value::String(role)) if ROLES.contains(&role.as_str()) => Ok(role),
        Some(Value::String(role)) => {
            let message = format!(
                "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
            );
            Err(Refusal::bad(message, at, "invalid_value"))
        }
        Some(value) => Err(wrong(&at, "a string", value)),
    }
}

/// The text of a message; what pictures cost goes on the account at once.
fn content(message: &Object, role: &str, at: &str, tokens: &mut u64) -> Result<String, Refusal> {
    let at = format!("{at}.content");
    let may_lack = role == "assistant"
        && ["tool_calls", "function_call", "refusal", "audio"]
            .iter()
            .any(|key| given(message, key).is_some());
    match message.get("content") {
        None | Some(Value::Null) if may_lack => Ok(String::new()),
        None => Err(Refusal::missing(&at)),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let mut whole = String::new();
            for (index, part) in parts.iter().enumerate() {
                whole.push_str(part_text(part, role, &format!("{at}[{index}]"), tokens)?);
            }
            Ok(whole)
        }
        Some(value) => Err(wrong(&at, "one of a string or array of objects", value)),
    }
}

fn part_text<'a>(part: &'a Value, role: &str, at: &str, tokens: &mut u64) -> Result<&'a str, Refusal> {
    let Value::Object(part) = part else {
        return Err(wrong(at, "an object", part));
    };
    let kind = match part.get("type") {
        None => return Err(Refusal::missing(&format!("{at}.type"))),
        Some(Value::String(kind)) => kind.as_str(),
        Some(value) => return Err(wrong(&format!("{at}.type"), "a string", value)),
    };
    let allowed: &[&str] = match role {
        "user" => &["text", "image_url", "input_audio", "file"],
        "assistant" => &["text", "refusal"],
        _ => &["text"],
    };
    if !allowed.contains(&kind) {
        let known = allowed.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ");
        let message = format!("Invalid value: '{kind}'. Supported values are: {known}.");
        return Err(Refusal::bad(message, format!("{at}.type"), "invalid_value"));
    }
    let inside = format!("{at}.{kind}");
    let value = part.get(kind).ok_or_else(|| Refusal::missing(&inside))?;
    match kind {
        "text" | "refusal" => value.as_str().ok_or_else(|| wrong(&inside, "a string", value)),
        "image_url" => {
            let picture = value.as_object().ok_or_else(|| wrong(&inside, "an object", value))?;
            if !picture.get("url").is_some_and(Value::is_string) {
                return Err(Refusal::missing(&format!("{inside}.url")));
            }
            *tokens += PICTURE;
            Ok("")
        }
        _ if value.is_object() => {
            *tokens += PICTURE;
            Ok("")
        }
        _ => Err(wrong(&inside, "an object", value)),
    }
}

/// Keeps account of tool calls and their results: each result follows its call, and no call stays open.
fn follow<'a>(
    message: &'a Object,
    role: &str,
    index: usize,
    awaited: &mut HashSet<&'a str>,
) -> Result<(), Refusal> {
    let at = format!("messages[{index}]");
    if role == "tool" {
        let at = format!("{at}.tool_call_id");
        let id = match message.get("tool_call_id") {
            None | Some(Value::Null) => return Err(Refusal::missing(&at)),
            Some(Value::String(id)) => id.as_str(),
            Some(value) => return Err(wrong(&at, "a string", value)),
        };
        if !awaited.remove(id) {
            let message = "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.";
            return Err(Refusal::bad(message, format!("messages.[{index}].role"), "invalid_value"));
        }
        return Ok(());
    }
    all_answered(awaited, index)?;
    let Some(calls) = given(message, "tool_calls") else {
        return Ok(());
    };
    let at = format!("{at}.tool_calls");
    let Value::Array(calls) = calls else {
        return Err(wrong(&at, "an array of objects", calls));
    };
    if role != "assistant" {
        let message = format!("Unknown parameter: '{at}'. Only assistant messages call tools.");
        return Err(Refusal::bad(message, at, "unknown_parameter"));
    }
    for (index, call) in calls.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let text = |pointer: &str, name: &str| match call.pointer(pointer) {
            None => Err(Refusal::missing(&format!("{at}.{name}"))),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(value) => Err(wrong(&format!("{at}.{name}"), "a string", value)),
        };
        awaited.insert(text("/id", "id")?);
        if text("/type", "type")? == "function" {
            text("/function/name", "function.name")?;
            text("/function/arguments", "function.arguments")?;
        }
    }
    Ok(())
}

fn all_answered(awaited: &HashSet<&str>, index: usize) -> Result<(), Refusal> {
    if awaited.is_empty() {
        return Ok(());
    }
    let mut open: Vec<&str> = awaited.iter().copied().collect();
    open.sort_unstable();
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal::bad(message, format!("messages.[{index}].role"), "invalid_value"))
}

fn calls_tokens(message: &Object) -> u64 {
    let calls = given(message, "tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts =
        calls.iter().flat_map(|call| ["/function/name", "/function/arguments"].map(|at| call.pointer(at)));
    let name = field::string(message, "name").ok().flatten().map_or(0, |name| tokens::count(name) + 1);
    name + texts.flatten().filter_map(Value::as_str).map(tokens::count).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(messages: Value) -> (String, &'static str) {
        let Value::Object(request) = json!({ "messages": messages }) else { panic!("an object") };
        let refusal = read(&request).unwrap_err();
        (refusal.param.unwrap(), refusal.code.unwrap())
    }

    fn call(id: &str) -> Value {
        json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }] })
    }

    #[test]
    fn bad_messages_are_refused() {
        let user = json!({ "role": "user", "content": "hi" });
        assert_eq!(refused(json!(null)), ("messages".into(), "missing_required_parameter"));
        assert_eq!(refused(json!([])), ("messages".into(), "empty_array"));
        assert_eq!(refused(json!("hi")), ("messages".into(), "invalid_type"));
        assert_eq!(refused(json!(["hi"])), ("messages[0]".into(), "invalid_type"));
        assert_eq!(
            refused(json!([{ "role": "robot", "content": "" }])),
            ("messages[0].role".into(), "invalid_value")
        );
        assert_eq!(
            refused(json!([{ "role": "user" }])),
            ("messages[0].content".into(), "missing_required_parameter")
        );
        assert_eq!(
            refused(json!([{ "role": "user", "content": [{ "text": "x" }] }])).0,
            "messages[0].content[0].type"
        );
        assert_eq!(refused(json!([{ "role": "assistant", "content": null }])).0, "messages[0].content");
        let result = json!({ "role": "tool", "tool_call_id": "c1", "content": "18" });
        assert_eq!(refused(json!([user, result])).0, "messages.[1].role");
        assert_eq!(refused(json!([user, call("c2"), result])).0, "messages.[2].role");
        assert_eq!(refused(json!([user, call("c1"), user])).0, "messages.[2].role");
        assert_eq!(refused(json!([user, call("c1")])).0, "messages.[2].role");
        assert_eq!(
            refused(json!([user, call("c1"), { "role": "tool", "content": "" }])).0,
            "messages[2].tool_call_id"
        );
    }

    #[test]
    fn good_messages_are_summed_up() {
        let Value::Object(request) = json!({ "messages": [
            { "role": "system", "content": "Answer in JSON." },
            { "role": "user", "content": [{ "type": "text", "text": "Weather?" },
                { "type": "image_url", "image_url": { "url": "data:," } }] },
            call("c1"),
            { "role": "tool", "tool_call_id": "c1", "content": "18 degrees" },
        ] }) else {
            panic!("an object")
        };
        let read = read(&request).unwrap();
        assert_eq!((read.last.as_str(), read.asked.as_str()), ("18 degrees", "Weather?"));
        assert!(read.is_result && read.says_json && read.tokens > 85 + 16);
    }
}
