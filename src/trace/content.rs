//! What was asked or answered, in the form that the semantic conventions give messages.
//!
//! <https://github.com/open-telemetry/semantic-conventions-genai/tree/main/docs/gen-ai>, `gen-ai-input-messages.json`
//! with `gen-ai-output-messages.json`: a list of messages of a role with parts.

use serde_json::{Value, json};

use crate::openai::Endpoint;

/// The most bytes of text that are shown of a request, or of an answer; what is behind is left out.
const MAX_BYTES: usize = 32 * 1024;

/// The messages of a request's body, as JSON; `None` where it has none.
pub fn asked(endpoint: Endpoint, body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut room = Room(MAX_BYTES);
    let messages: Vec<Value> = match endpoint {
        Endpoint::Chat => {
            let messages = body["messages"].as_array()?.iter();
            messages.map_while(|message| room.message(message, None)).collect()
        }
        Endpoint::Completions => {
            let parts = room.parts(&body["prompt"]);
            vec![json!({ "role": "user", "parts": parts })]
        }
        // Texts to be found again are no conversation.
        Endpoint::Embeddings => return None,
    };
    Some(Value::from(messages).to_string())
}

/// The messages of an answer's body, as JSON; `None` where it has none.
pub fn answered(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut room = Room(MAX_BYTES);
    let choices = body["choices"].as_array()?.iter().map_while(|choice| {
        let finish = choice["finish_reason"].as_str().unwrap_or("error");
        match &choice["message"] {
            Value::Null => {
                let parts = room.parts(&choice["text"]);
                Some(json!({ "role": "assistant", "parts": parts, "finish_reason": finish }))
            }
            message => room.message(message, Some(finish)),
        }
    });
    Some(Value::from(choices.collect::<Vec<_>>()).to_string())
}

/// How many bytes of text there is room for.
struct Room(usize);

impl Room {
    /// One message; `None` where there is no room for any more.
    fn message(&mut self, message: &Value, finish: Option<&str>) -> Option<Value> {
        if self.0 == 0 {
            return None;
        }
        let role = self.take(message["role"].as_str().unwrap_or("assistant"));
        let mut parts = Vec::new();
        for reasoning in ["reasoning_content", "reasoning"] {
            if let Some(text) = message[reasoning].as_str().filter(|text| !text.is_empty()) {
                parts.push(json!({ "type": "reasoning", "content": self.take(text) }));
            }
        }
        if role == "tool" {
            let (id, result) = (self.id(&message["tool_call_id"]), self.parts(&message["content"]));
            let result = result.first().map_or(Value::Null, |part| part["content"].clone());
            parts.push(json!({ "type": "tool_call_response", "id": id, "response": result }));
        } else {
            parts.append(&mut self.parts(&message["content"]));
        }
        if let Some(refusal) = message["refusal"].as_str() {
            parts.push(json!({ "type": "text", "content": self.take(refusal) }));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            if self.0 == 0 {
                break;
            }
            let function = &call["function"];
            let (id, name) = (self.id(&call["id"]), self.take(function["name"].as_str().unwrap_or_default()));
            let arguments = self.take(function["arguments"].as_str().unwrap_or_default());
            // As JSON where it is whole, since that is what it means.
            let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
            parts.push(json!({ "type": "tool_call", "id": id, "name": name, "arguments": arguments }));
        }
        let mut shown = json!({ "role": role, "parts": parts });
        if let Some(finish) = finish {
            shown["finish_reason"] = json!(self.take(finish));
        }
        Some(shown)
    }

    /// The parts of a content: a text, or a list. Of what is no text only its kind is told.
    fn parts(&mut self, content: &Value) -> Vec<Value> {
        match content {
            Value::String(text) if text.is_empty() => Vec::new(),
            Value::String(text) => vec![json!({ "type": "text", "content": self.take(text) })],
            Value::Array(parts) => parts.iter().map_while(|part| self.part(part)).collect(),
            _ => Vec::new(),
        }
    }

    fn part(&mut self, part: &Value) -> Option<Value> {
        if self.0 == 0 {
            return None;
        }
        let text = part.as_str().or(part["text"].as_str()).or(part["refusal"].as_str());
        Some(match text {
            Some(text) => json!({ "type": "text", "content": self.take(text) }),
            None => json!({ "type": self.take(part["type"].as_str().unwrap_or("unknown")) }),
        })
    }

    fn id(&mut self, id: &Value) -> Value {
        id.as_str().map_or(Value::Null, |id| Value::String(self.take(id)))
    }

    /// As much of a text as there is room for. Each costs a little more, for what stands around it.
    fn take(&mut self, text: &str) -> String {
        let shown = &text[..text.floor_char_boundary(self.0)];
        self.0 = self.0.saturating_sub(shown.len().max(16));
        shown.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(shown: Option<String>) -> Value {
        serde_json::from_str(&shown.unwrap()).unwrap()
    }

    #[test]
    fn a_conversation_is_told_in_parts() {
        let body = json!({ "messages": [
            { "role": "system", "content": "Be kind." },
            { "role": "user", "content": [{ "type": "text", "text": "Weather?" }, { "type": "image_url", "image_url": { "url": "data:..." } }] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "w", "arguments": "{\"at\":\"Rome\"}" } }] },
            { "role": "tool", "tool_call_id": "c1", "content": "rain" },
        ]});
        let expected = json!([
            { "role": "system", "parts": [{ "type": "text", "content": "Be kind." }] },
            { "role": "user", "parts": [{ "type": "text", "content": "Weather?" }, { "type": "image_url" }] },
            { "role": "assistant", "parts": [{ "type": "tool_call", "id": "c1", "name": "w", "arguments": { "at": "Rome" } }] },
            { "role": "tool", "parts": [{ "type": "tool_call_response", "id": "c1", "response": "rain" }] },
        ]);
        assert_eq!(read(asked(Endpoint::Chat, body.to_string().as_bytes())), expected);
        let body = json!({ "prompt": ["a", "b"] }).to_string();
        let parts = json!([{ "type": "text", "content": "a" }, { "type": "text", "content": "b" }]);
        assert_eq!(
            read(asked(Endpoint::Completions, body.as_bytes())),
            json!([{ "role": "user", "parts": parts }])
        );
        assert_eq!(asked(Endpoint::Embeddings, br#"{"input":"x"}"#), None);
    }

    #[test]
    fn an_answer_is_told_by_choice() {
        let body = json!({ "choices": [
            { "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "reasoning_content": "hm", "content": "yes" } },
            { "index": 1, "finish_reason": "length", "text": "no" },
        ]});
        let expected = json!([
            { "role": "assistant", "finish_reason": "stop", "parts": [
                { "type": "reasoning", "content": "hm" }, { "type": "text", "content": "yes" }] },
            { "role": "assistant", "finish_reason": "length", "parts": [{ "type": "text", "content": "no" }] },
        ]);
        assert_eq!(read(answered(body.to_string().as_bytes())), expected);
    }

    #[test]
    fn much_is_cut() {
        let many = vec![json!({ "role": "user", "content": "ä".repeat(5000) }); 500];
        let shown = asked(Endpoint::Chat, json!({ "messages": many }).to_string().as_bytes()).unwrap();
        assert!((MAX_BYTES..2 * MAX_BYTES).contains(&shown.len()), "{}", shown.len());
        let small = vec![json!({ "role": "user", "content": [{ "type": "text", "text": "" }] }); 100_000];
        let shown = asked(Endpoint::Chat, json!({ "messages": small }).to_string().as_bytes()).unwrap();
        assert!(shown.len() < 6 * MAX_BYTES, "{}", shown.len());
        let calls = vec![json!({}); 100_000];
        let body = json!({ "messages": [{ "role": "assistant", "tool_calls": calls }] });
        let shown = asked(Endpoint::Chat, body.to_string().as_bytes()).unwrap();
        assert!(shown.len() < 6 * MAX_BYTES, "{}", shown.len());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(content in "\\PC{0,40}|\\[\\{\"type\":\"text\"\\}\\]|[0-9]", endpoint in 0..3) {
            let endpoint = [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings][endpoint as usize];
            let body = format!("{{\"messages\":[{{\"role\":1,\"content\":{content}}}],\"choices\":[{content}],\"prompt\":{content}}}");
            let _ = (asked(endpoint, body.as_bytes()), answered(body.as_bytes()));
        }
    }
}
