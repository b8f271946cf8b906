//! Putting a recorded stream together to the object that it tells in parts.

use serde_json::{Map, Value, json};

use crate::openai::{
    Endpoint,
    sse::{Event, MAX_EVENT, Splitter},
};

/// The whole answer that these events tell; `None` where one cannot be read, or there is no answer among them.
pub fn fold(endpoint: Endpoint, events: &[u8]) -> Option<Value> {
    let mut splitter = Splitter::new(MAX_EVENT.max(events.len()));
    splitter.push(bytes::Bytes::copy_from_slice(events));
    let mut whole = Whole { endpoint, head: Map::new(), choices: Vec::new() };
    while let Some(event) = splitter.next_event() {
        whole.event(&event.ok()?)?;
    }
    whole.finish()
}

/// An answer in the making.
struct Whole {
    endpoint: Endpoint,
    head: Map<String, Value>,
    choices: Vec<Map<String, Value>>,
}

impl Whole {
    fn event(&mut self, event: &Event) -> Option<()> {
        let Some(data) = event.data() else { return Some(()) };
        let payload = data.trim_ascii();
        if payload.is_empty() || payload == b"[DONE]" {
            return Some(());
        }
        let chunk: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        for (name, value) in chunk {
            match (&*name, value) {
                ("choices", Value::Array(choices)) => {
                    choices.into_iter().for_each(|choice| self.choice(choice));
                }
                // A stream's own noise.
                ("choices" | "obfuscation", _) | (_, Value::Null) => {}
                // The first word counts.
                ("id" | "created" | "model", value) => drop(self.head.entry(name).or_insert(value)),
                (_, value) => drop(self.head.insert(name, value)),
            }
        }
        Some(())
    }

    fn choice(&mut self, choice: Value) {
        let Value::Object(choice) = choice else { return };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let whole = match self.choices.iter().position(|known| known["index"] == index) {
            Some(at) => &mut self.choices[at],
            None => {
                self.choices.push(new_choice(self.endpoint, index));
                self.choices.last_mut().expect("one was pushed")
            }
        };
        for (name, value) in choice {
            match (&*name, value) {
                ("index", _) | (_, Value::Null) => {}
                ("delta", delta) => merge(whole.entry("message").or_insert(Value::Null), "message", delta),
                // The last word counts.
                ("finish_reason", value) => drop(whole.insert(name, value)),
                (_, value) => merge(whole.entry(&*name).or_insert(Value::Null), &name, value),
            }
        }
    }

    fn finish(mut self) -> Option<Value> {
        if self.choices.is_empty() {
            return None;
        }
        self.choices.sort_by_key(|choice| choice["index"].as_u64());
        for choice in &mut self.choices {
            let calls = choice.get_mut("message").and_then(|message| message.get_mut("tool_calls"));
            for call in calls.and_then(Value::as_array_mut).into_iter().flatten() {
                // In a list that is whole the place says it.
                call.as_object_mut().map(|call| call.remove("index"));
            }
        }
        let object = match self.endpoint {
            Endpoint::Chat => "chat.completion",
            Endpoint::Completions | Endpoint::Embeddings => "text_completion",
        };
        self.head.insert("object".into(), object.into());
        self.head.insert("choices".into(), self.choices.into_iter().map(Value::Object).collect());
        Some(Value::Object(self.head))
    }
}

fn new_choice(endpoint: Endpoint, index: u64) -> Map<String, Value> {
    let choice = match endpoint {
        Endpoint::Chat => json!({
            "index": index, "finish_reason": null, "logprobs": null,
            "message": { "role": "assistant", "content": null, "refusal": null },
        }),
        Endpoint::Completions | Endpoint::Embeddings => {
            json!({ "index": index, "finish_reason": null, "logprobs": null, "text": "" })
        }
    };
    match choice {
        Value::Object(choice) => choice,
        _ => Map::new(),
    }
}

/// Adds a part to what is there, as OpenAI's clients do: texts are joined, lists too, or their elements merged where
/// they carry an `index`; of anything else the last word counts.
fn merge(whole: &mut Value, name: &str, part: Value) {
    match (whole, part) {
        (_, Value::Null) => {}
        // Some providers say those again in every chunk.
        (whole @ Value::String(_), part) if ["role", "id", "type"].contains(&name) => *whole = part,
        (Value::String(whole), Value::String(part)) => match name {
            "name" if *whole == part => {}
            _ => whole.push_str(&part),
        },
        (Value::Object(whole), Value::Object(part)) => {
            for (name, part) in part {
                merge(whole.entry(&*name).or_insert(Value::Null), &name, part);
            }
        }
        (whole @ Value::Null, Value::Array(parts)) => {
            *whole = Value::Array(Vec::new());
            merge(whole, name, Value::Array(parts));
        }
        (Value::Array(whole), Value::Array(parts)) => {
            for part in parts {
                let index = part.get("index").filter(|index| index.is_u64());
                let known = index.and_then(|index| whole.iter().position(|known| known["index"] == *index));
                match known {
                    Some(at) => merge(&mut whole[at], "", part),
                    None => whole.push(part),
                }
            }
        }
        (whole, part) => *whole = part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(chunks: &[Value]) -> Option<Value> {
        let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        fold(Endpoint::Chat, format!(": hello\n\n{events}data: [DONE]\n\n").as_bytes())
    }

    fn delta(delta: Value) -> Value {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m", "usage": null,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
    }

    #[test]
    fn texts_tools_and_ends_come_together() {
        let call = |call: Value| delta(json!({ "tool_calls": [call] }));
        let whole = chat(&[
            delta(json!({ "role": "assistant", "content": "" })),
            delta(json!({ "content": "He" })),
            delta(json!({ "role": "assistant", "content": "llo", "reasoning_content": "hm" })),
            call(json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } })),
            call(json!({ "index": 1, "id": "b", "type": "function", "function": { "name": "g", "arguments": "{}" } })),
            call(json!({ "index": 0, "function": { "arguments": "{\"x\"" } })),
            call(json!({ "index": 0, "function": { "arguments": ":1}" } })),
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
            json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } }),
        ])
        .unwrap();
        assert_eq!(
            whole,
            json!({ "id": "c", "object": "chat.completion", "created": 5, "model": "m",
                "usage": { "prompt_tokens": 3, "completion_tokens": 4 },
                "choices": [{ "index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
                    "role": "assistant", "content": "Hello", "refusal": null, "reasoning_content": "hm",
                    "tool_calls": [
                        { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } },
                        { "id": "b", "type": "function", "function": { "name": "g", "arguments": "{}" } },
                    ],
                } }] })
        );
    }

    #[test]
    fn choices_and_logprobs_are_kept_apart() {
        let part = |index: u64, text: &str| {
            json!({ "choices": [{ "index": index, "delta": { "content": text },
                "logprobs": { "content": [{ "token": text }] } }] })
        };
        let whole = chat(&[part(1, "x"), part(0, "a"), part(1, "y"), part(0, "b")]).unwrap();
        for (at, text, tokens) in [(0, "ab", ["a", "b"]), (1, "xy", ["x", "y"])] {
            let choice = &whole["choices"][at];
            assert_eq!((&choice["index"], &choice["message"]["content"]), (&json!(at), &json!(text)));
            let told: Vec<_> = (0..2).map(|n| &choice["logprobs"]["content"][n]["token"]).collect();
            assert_eq!(told, tokens);
        }
    }

    #[test]
    fn completions_have_a_text() {
        let part = |text: &str, end: Value| {
            format!(
                "data: {}\n\n",
                json!({ "id": "c", "choices": [{ "index": 0, "text": text, "finish_reason": end }] })
            )
        };
        let events = [part("a", Value::Null), part("b", Value::Null), part("", json!("stop"))].concat();
        let whole = fold(Endpoint::Completions, events.as_bytes()).unwrap();
        assert_eq!(
            whole["choices"][0],
            json!({ "index": 0, "text": "ab", "finish_reason": "stop", "logprobs": null })
        );
        assert_eq!(whole["object"], "text_completion");
    }

    #[test]
    fn what_cannot_be_read_is_no_answer() {
        assert_eq!(fold(Endpoint::Chat, b"data: {\n\n"), None);
        assert_eq!(fold(Endpoint::Chat, b"data: [DONE]\n\n"), None);
        assert_eq!(fold(Endpoint::Chat, b""), None);
    }
}
