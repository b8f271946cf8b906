//! OpenAI's format as a test writes it: requests, whole answers, events of a stream.

use serde_json::{Value, json};

use super::script::{Script, Step};
use super::wire;

/// The last event of a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// A chat request.
pub fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say something." }] })
}

/// A chat request for a stream.
pub fn ask_stream(model: &str) -> Value {
    json!({ "model": model, "stream": true, "messages": [{ "role": "user", "content": "Say something." }] })
}

/// A whole chat answer.
pub fn whole(text: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "theirs",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    })
    .to_string()
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "choices": [choice],
    });
    format!("data: {chunk}\n\n")
}

/// The event that opens a stream: a role without content.
pub fn role() -> String {
    event(&json!({ "role": "assistant", "content": "" }), None)
}

/// An event with text.
pub fn text(text: &str) -> String {
    event(&json!({ "content": text }), None)
}

/// The event with the finish reason.
pub fn stop() -> String {
    event(&json!({}), Some("stop"))
}

/// The event with the usage.
pub fn usage() -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "choices": [],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    format!("data: {chunk}\n\n")
}

/// An error's envelope.
pub fn error(kind: &str, code: &str, message: &str) -> String {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
}

/// A script that answers with a whole chat answer.
pub fn says(text: &str) -> Script {
    Script::json(200, &whole(text))
}

/// A script that answers with a stream: role, one event for each of `texts`, finish reason, usage, `[DONE]`.
pub fn streams(texts: &[&str]) -> Script {
    let mut parts = vec![role()];
    parts.extend(texts.iter().map(|part| text(part)));
    parts.extend([stop(), usage(), DONE.to_owned()]);
    Script::stream(&parts)
}

/// A script that sends the head of a stream with these events, then goes on with `end`.
pub fn stream_then(parts: &[String], end: &[Step]) -> Script {
    let mut steps = vec![Step::Send(wire::sse_head())];
    steps.extend(parts.iter().map(|part| Step::Send(wire::chunk(part))));
    steps.extend_from_slice(end);
    Script::OnRequest(steps)
}
