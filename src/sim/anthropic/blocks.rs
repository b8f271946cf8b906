//! The blocks of a message, each checked on its own.

use serde_json::Value;

use super::{
    error::Refusal,
    field::{self, Object, inside},
    source,
};
use crate::sim::seal;

/// What blocks there are: the kind, who may say it, and its fields beside `type`.
const KINDS: &[(&str, Side, &[&str])] = &[
    ("text", Side::Both, &["text", "citations", "cache_control"]),
    ("image", Side::User, &["source", "cache_control"]),
    ("document", Side::User, &["source", "title", "context", "citations", "cache_control"]),
    ("search_result", Side::User, &["source", "title", "content", "citations", "cache_control"]),
    ("tool_result", Side::User, &["tool_use_id", "content", "is_error", "cache_control"]),
    ("container_upload", Side::User, &["file_id", "cache_control"]),
    ("thinking", Side::Assistant, &["thinking", "signature"]),
    ("redacted_thinking", Side::Assistant, &["data"]),
    ("tool_use", Side::Assistant, &["id", "name", "input", "caller", "cache_control"]),
    ("server_tool_use", Side::Assistant, &["id", "name", "input", "caller", "cache_control"]),
    ("mcp_tool_use", Side::Assistant, &["id", "name", "server_name", "input", "cache_control"]),
    ("mcp_tool_result", Side::Both, &["tool_use_id", "content", "is_error", "cache_control"]),
    ("web_search_tool_result", Side::Assistant, RESULT),
    ("web_fetch_tool_result", Side::Assistant, RESULT),
    ("code_execution_tool_result", Side::Assistant, RESULT),
    ("bash_code_execution_tool_result", Side::Assistant, RESULT),
    ("text_editor_code_execution_tool_result", Side::Assistant, RESULT),
    ("tool_search_tool_result", Side::Assistant, RESULT),
    ("advisor_tool_result", Side::Assistant, RESULT),
    ("compaction", Side::Assistant, &["content", "cache_control"]),
];

const RESULT: &[&str] = &["tool_use_id", "content", "caller", "cache_control"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    User,
    Assistant,
    Both,
}

/// A block of a message.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) place: String,
    pub(crate) kind: &'a str,
    /// `None` where a message is a mere text.
    pub(crate) object: Option<&'a Object>,
    /// What it says.
    pub(crate) text: String,
}

impl Block<'_> {
    /// One of its texts; empty where that is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.object.and_then(|object| object.get(name));
        value.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Reads one block of a message by `role`.
///
/// # Errors
/// As Anthropic refuses it.
pub(crate) fn read<'a>(value: &'a Value, role: &str, place: String) -> Result<Block<'a>, Refusal> {
    let tags: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
    let (kind, object) = field::tagged(value, &place, &tags)?;
    let (_, side, fields) = KINDS.iter().find(|known| known.0 == kind).unwrap_or(&KINDS[0]);
    let inner = inside(&place, kind);
    let message = place.split(".content").next().unwrap_or_default();
    match side {
        Side::User if role != "user" => {
            return Err(Refusal::at(message, &format!("`{kind}` blocks can only be in `user` messages")));
        }
        Side::Assistant if role != "assistant" => {
            let only = format!("`{kind}` blocks can only be in `assistant` messages");
            return Err(Refusal::at(message, &only));
        }
        _ => {}
    }
    let known: Vec<&str> = fields.iter().copied().chain(["type"]).collect();
    field::only(object, &inner, &known)?;
    let text = content(kind, object, &inner)?;
    Ok(Block { place, kind, object: Some(object), text })
}

/// Checks what is in a block; its text.
fn content(kind: &str, object: &Object, place: &str) -> Result<String, Refusal> {
    let required = |name: &str| field::required_text(object, place, name);
    match kind {
        "text" => {
            let text = required("text")?;
            full(text, "messages")?;
            Ok(text.to_owned())
        }
        "image" => source::picture(field::required(object, place, "source")?, place).map(|()| String::new()),
        "document" => {
            source::document(field::required(object, place, "source")?, place).map(|()| String::new())
        }
        "thinking" => {
            let (thinking, signature) = (required("thinking")?, required("signature")?);
            if signature.is_empty() || !seal::fits(signature, "thinking", thinking) {
                let outer = place.strip_suffix(".thinking").unwrap_or(place);
                return Err(Refusal::at(outer, "Invalid `signature` in `thinking` block"));
            }
            Ok(String::new())
        }
        "redacted_thinking" => {
            let data = required("data")?;
            if data.is_empty() || !seal::fits(data, "redacted", "") {
                let outer = place.strip_suffix(".redacted_thinking").unwrap_or(place);
                return Err(Refusal::at(outer, "Invalid `data` in `redacted_thinking` block"));
            }
            Ok(String::new())
        }
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            identifier(required("id")?, &inside(place, "id"))?;
            let name = required("name")?;
            if kind == "tool_use" && !is_name(name, 200) {
                let message = "String should match pattern '^[a-zA-Z0-9_-]{1,200}$'";
                return Err(Refusal::at(&inside(place, "name"), message));
            }
            if field::required(object, place, "input")?.is_object() {
                return Ok(String::new());
            }
            Err(Refusal::at(&inside(place, "input"), "Input should be a valid dictionary"))
        }
        "tool_result" => {
            identifier(required("tool_use_id")?, &inside(place, "tool_use_id"))?;
            field::boolean(object, place, "is_error")?;
            result(object, place)
        }
        "search_result" => {
            required("source")?;
            required("title")?;
            field::list(field::required(object, place, "content")?, &inside(place, "content"))?;
            Ok(String::new())
        }
        "container_upload" => required("file_id").map(|_| String::new()),
        _ => Ok(String::new()),
    }
}

/// The text of a tool's result.
fn result(object: &Object, place: &str) -> Result<String, Refusal> {
    let place = inside(place, "content");
    match object.get("content") {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => {
            let mut whole = String::new();
            for (index, item) in field::list(value, &place)?.iter().enumerate() {
                let place = inside(&place, index);
                let known = ["document", "image", "search_result", "text", "tool_reference"];
                let (kind, item) = field::tagged(item, &place, &known)?;
                let place = inside(&place, kind);
                if kind == "tool_reference" {
                    field::only(item, &place, &["type", "tool_name", "cache_control"])?;
                    continue;
                }
                let fields = KINDS.iter().find(|known| known.0 == kind).map_or(RESULT, |known| known.2);
                let known: Vec<&str> = fields.iter().copied().chain(["type"]).collect();
                field::only(item, &place, &known)?;
                whole.push_str(&content(kind, item, &place)?);
            }
            Ok(whole)
        }
    }
}

/// Refuses a text that says nothing.
pub(crate) fn full(text: &str, place: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::at(place, "text content blocks must be non-empty"));
    }
    if text.trim().is_empty() {
        return Err(Refusal::at(place, "text content blocks must contain non-whitespace text"));
    }
    Ok(())
}

fn identifier(id: &str, place: &str) -> Result<(), Refusal> {
    if is_name(id, usize::MAX) {
        return Ok(());
    }
    Err(Refusal::at(place, "String should match pattern '^[a-zA-Z0-9_-]+$'"))
}

/// Whether a text has only letters, digits, `_` and `-`, and not more than `most`.
pub(crate) fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}
