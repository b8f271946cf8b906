//! The turns of a conversation, checked as Gemini checks them.

use serde_json::Value;

use super::{
    error::Refusal,
    proto::{list, text},
};
use crate::sim::{seal, tokens};

/// What a picture costs, in tokens.
const PICTURE: u64 = 258;

/// The fields of which each part has one.
const DATA: [&str; 9] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// Signatures that stand for calls that another model made.
const DUMMIES: [&str; 2] = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// What a conversation comes to.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The text of the last turn.
    pub(crate) last: String,
    /// Whether that is a function's response.
    pub(crate) is_result: bool,
    /// The text of the last user turn that has one.
    pub(crate) asked: String,
    pub(crate) tokens: u64,
}

/// Reads the contents of a request, in which `place` they stand, for a model.
///
/// # Errors
/// As Gemini refuses them.
pub(crate) fn read(request: &Value, model: &str) -> Result<Said, Refusal> {
    let contents = list(request, "contents");
    if contents.is_empty() {
        return Err(Refusal::at("contents", "contents is not specified"));
    }
    let mut said = Said::default();
    for (index, content) in contents.iter().enumerate() {
        let role = text(content, "role");
        if !matches!(role, "" | "user" | "model" | "function") {
            return Err(Refusal::bad("Please use a valid role: user, model."));
        }
        let place = format!("contents[{index}]");
        let words = parts(content, &place, &mut said.tokens)?;
        said.is_result = has(content, "functionResponse") && words.is_empty();
        said.last = if said.is_result { responses(content) } else { words.clone() };
        if role != "model" && !words.is_empty() {
            said.asked = words;
        }
    }
    if contents.len() == 1 && text(&contents[0], "role") == "model" {
        return Err(Refusal::bad(
            "Please ensure that single turn requests end with a user role or the role field is empty.",
        ));
    }
    calls(contents)?;
    if is_sealed(model) {
        sealed(contents)?;
    }
    Ok(said)
}

/// Whether a model wants the signatures of its calls back.
pub(crate) fn is_sealed(model: &str) -> bool {
    model.contains("gemini-3") || model.contains("gemini-4")
}

/// Checks the parts of a content; their text.
pub(crate) fn parts(content: &Value, place: &str, tokens: &mut u64) -> Result<String, Refusal> {
    let parts = list(content, "parts");
    if parts.is_empty() {
        return Err(Refusal::at(&format!("{place}.parts"), "contents.parts must not be empty."));
    }
    let mut words = String::new();
    for (index, part) in parts.iter().enumerate() {
        let place = format!("{place}.parts[{index}]");
        let data: Vec<&str> = DATA.into_iter().filter(|name| part.get(*name).is_some()).collect();
        let [kind] = data[..] else {
            let message = match data.len() {
                0 => "required oneof field 'data' must have one initialized field",
                _ => "oneof field 'data' is already set. Cannot set another field.",
            };
            return Err(Refusal::at(&format!("{place}.data"), message));
        };
        match kind {
            "text" if part.get("thought") == Some(&Value::Bool(true)) => {}
            "text" => words.push_str(text(part, "text")),
            _ => one(kind, &part[kind], &place)?,
        }
        *tokens += match kind {
            "text" => tokens::count(text(part, "text")),
            "inlineData" | "fileData" => PICTURE,
            _ => tokens::count(&part[kind].to_string()),
        };
    }
    Ok(words)
}

fn one(kind: &str, data: &Value, place: &str) -> Result<(), Refusal> {
    match kind {
        "inlineData" => {
            let mime = text(data, "mimeType");
            if mime.is_empty() {
                let message = "Unable to submit request because it must have a mimeType parameter.";
                return Err(Refusal::bad(message));
            }
            if text(data, "data").is_empty() {
                return Err(Refusal::at(&format!("{place}.inline_data.data"), "Data cannot be empty."));
            }
            let known = ["image/", "audio/", "video/", "text/", "application/"];
            if !known.iter().any(|known| mime.starts_with(known)) {
                return Err(Refusal::bad(format!("Unsupported MIME type: {mime}")));
            }
            Ok(())
        }
        "fileData" if text(data, "fileUri").is_empty() => {
            Err(Refusal::at(&format!("{place}.file_data.file_uri"), "File URI cannot be empty."))
        }
        "functionCall" if text(data, "name").is_empty() => {
            Err(Refusal::at(&format!("{place}.function_call.name"), "Name cannot be empty."))
        }
        "functionResponse" if text(data, "name").is_empty() => {
            Err(Refusal::at(&format!("{place}.function_response.name"), "Name cannot be empty."))
        }
        _ => Ok(()),
    }
}

fn count(content: &Value, kind: &str) -> usize {
    list(content, "parts").iter().filter(|part| part.get(kind).is_some()).count()
}

fn has(content: &Value, kind: &str) -> bool {
    count(content, kind) > 0
}

fn responses(content: &Value) -> String {
    let responses = list(content, "parts").iter().filter_map(|part| part.get("functionResponse"));
    let texts = responses.map(|response| response.get("response").map_or_else(String::new, Value::to_string));
    texts.collect::<Vec<_>>().join("\n")
}

/// Each turn of calls follows a user's words or responses; each turn of responses answers all calls before it.
fn calls(contents: &[Value]) -> Result<(), Refusal> {
    let mut before: Option<&Value> = None;
    for content in contents {
        let (calls, responses) = (count(content, "functionCall"), count(content, "functionResponse"));
        let open = before.map_or(0, |before| count(before, "functionCall"));
        if responses > 0 && open == 0 {
            return Err(Refusal::bad(
                "Please ensure that function response turn comes immediately after a function call turn.",
            ));
        }
        if open > 0 && responses != open {
            return Err(Refusal::bad(
                "Please ensure that the number of function response parts is equal to the number of function call parts \
                 of the function call turn.",
            ));
        }
        if calls > 0 && before.is_none_or(|before| text(before, "role") == "model") {
            return Err(Refusal::bad(
                "Please ensure that function call turn comes immediately after a user turn or after a function response \
                 turn.",
            ));
        }
        before = Some(content);
    }
    Ok(())
}

/// The first call of each step since the user's last words has the signature that it came with.
fn sealed(contents: &[Value]) -> Result<(), Refusal> {
    let is_words = |content: &&Value| text(content, "role") != "model" && !has(content, "functionResponse");
    let start = contents.iter().rposition(|content| is_words(&content)).unwrap_or(0);
    for (index, content) in contents.iter().enumerate() {
        let mut calls = list(content, "parts").iter().filter(|part| part.get("functionCall").is_some());
        let Some(first) = calls.next() else {
            continue;
        };
        let (name, signature) = (text(&first["functionCall"], "name"), text(first, "thoughtSignature"));
        if index > start && signature.is_empty() {
            return Err(Refusal::bad(format!(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work \
                 correctly, and missing thought_signature may lead to degraded model performance. Additional data, \
                 function call `default_api:{name}` , position {}. Please refer to \
                 https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                index + 1
            )));
        }
        if !DUMMIES.contains(&signature) && !seal::fits(signature, "call", name) {
            return Err(Refusal::bad("Corrupted thought signature."));
        }
    }
    Ok(())
}
