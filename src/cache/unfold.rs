//! Telling a whole answer as the events of a stream.

use serde_json::{Map, Value, json};

use crate::openai::{Endpoint, sse};

/// The events of a whole answer: who speaks, what is said, why it ends, the usage if it is wanted, `[DONE]`. `None`
/// where it is no answer that could be told in parts.
pub fn unfold(endpoint: Endpoint, body: &[u8], usage: bool) -> Option<Vec<u8>> {
    let mut whole: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let Value::Array(choices) = whole.remove("choices")? else { return None };
    let told = whole.remove("usage");
    let object = match endpoint {
        Endpoint::Chat => "chat.completion.chunk",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => return None,
    };
    whole.insert("object".into(), object.into());
    let mut events = Events { head: whole, bytes: Vec::with_capacity(2 * body.len()) };
    for choice in choices {
        let Value::Object(choice) = choice else { return None };
        match endpoint {
            Endpoint::Chat => events.chat(choice)?,
            Endpoint::Completions | Endpoint::Embeddings => events.text(choice),
        }
    }
    if let (true, Some(told @ Value::Object(_))) = (usage, told) {
        events.head.insert("usage".into(), told);
        events.put(json!([]));
    }
    events.bytes.extend_from_slice(b"data: [DONE]\n\n");
    Some(events.bytes)
}

struct Events {
    /// What every chunk says.
    head: Map<String, Value>,
    bytes: Vec<u8>,
}

impl Events {
    fn put(&mut self, choices: Value) {
        self.head.insert("choices".into(), choices);
        let json = serde_json::to_vec(&self.head).expect("a JSON map always serializes");
        self.bytes.extend_from_slice(&sse::frame(&json));
    }

    fn delta(&mut self, index: &Value, delta: Value, logprobs: Value) {
        self.put(json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null }]));
    }

    fn chat(&mut self, mut choice: Map<String, Value>) -> Option<()> {
        let Value::Object(mut message) = choice.remove("message")? else { return None };
        let index = choice.remove("index").unwrap_or(json!(0));
        let mut logprobs = choice.remove("logprobs").unwrap_or(Value::Null);
        let role = message.remove("role").unwrap_or(json!("assistant"));
        let content = message.remove("content").unwrap_or(Value::Null);
        let first = if content.is_string() { json!("") } else { Value::Null };
        self.delta(&index, json!({ "role": role, "content": first }), Value::Null);
        let calls = message.remove("tool_calls");
        // Thoughts come before what is said, everything else of the message with them.
        message.retain(|_, value| !value.is_null());
        if !message.is_empty() {
            self.delta(&index, Value::Object(message), Value::Null);
        }
        if !content.is_null() && content != "" {
            self.delta(&index, json!({ "content": content }), std::mem::take(&mut logprobs));
        }
        for (at, call) in calls.iter().filter_map(Value::as_array).flatten().enumerate() {
            let mut call = call.as_object()?.clone();
            call.insert("index".into(), at.into());
            self.delta(&index, json!({ "tool_calls": [call] }), std::mem::take(&mut logprobs));
        }
        choice.insert("index".into(), index);
        choice.insert("delta".into(), json!({}));
        choice.insert("logprobs".into(), logprobs);
        self.put(json!([choice]));
        Some(())
    }

    fn text(&mut self, mut choice: Map<String, Value>) {
        let end = choice.insert("finish_reason".into(), Value::Null).unwrap_or(Value::Null);
        let index = choice.get("index").cloned().unwrap_or(json!(0));
        self.put(json!([choice]));
        self.put(json!([{ "index": index, "text": "", "logprobs": null, "finish_reason": end }]));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fold::fold, *};

    fn there_and_back(endpoint: Endpoint, whole: &Value) {
        let events = unfold(endpoint, whole.to_string().as_bytes(), true).unwrap();
        assert!(events.ends_with(b"data: [DONE]\n\n"));
        assert_eq!(fold(endpoint, &events).unwrap(), *whole, "{}", String::from_utf8_lossy(&events));
        let without = unfold(endpoint, whole.to_string().as_bytes(), false).unwrap();
        assert_eq!(fold(endpoint, &without).unwrap().get("usage"), None);
    }

    #[test]
    fn what_is_told_in_parts_is_the_same_answer() {
        let choice = |index: u64, message: Value, end: &str| json!({ "index": index, "message": message, "finish_reason": end, "logprobs": null });
        let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":\"\\n\"}" } });
        let messages = [
            json!({ "role": "assistant", "content": "Hi \"you\"\n", "refusal": null }),
            json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call, call] }),
            json!({ "role": "assistant", "content": "So:", "refusal": null, "reasoning_content": "hm", "tool_calls": [call] }),
        ];
        for message in &messages {
            there_and_back(
                Endpoint::Chat,
                &json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
                    "usage": { "prompt_tokens": 1, "completion_tokens": 2 },
                    "choices": [choice(0, message.clone(), "stop"), choice(1, messages[0].clone(), "length")] }),
            );
        }
        there_and_back(
            Endpoint::Completions,
            &json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m",
                "usage": { "prompt_tokens": 1, "completion_tokens": 2 },
                "choices": [{ "index": 0, "text": "a\nb", "finish_reason": "stop", "logprobs": { "tokens": ["a"] } }] }),
        );
    }

    #[test]
    fn what_is_no_answer_is_not_told() {
        for body in ["", "[]", "{}", r#"{"choices":[1]}"#, r#"{"choices":[{"index":0}]}"#] {
            assert!(unfold(Endpoint::Chat, body.as_bytes(), true).is_none(), "{body}");
        }
        assert!(unfold(Endpoint::Embeddings, br#"{"choices":[]}"#, true).is_none());
    }
}
