//! Changing the few things in a chunk that OpenAI's own clients cannot digest.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{
    Endpoint,
    ask::json_string,
    chunk::{self, ToolCallIndex},
    edit::Edits,
    fold,
};

/// Numbers the tool calls of a stream from 0 in each choice, whatever the provider calls them.
#[derive(Debug, Default)]
pub struct ToolNumbers(Vec<Call>);

#[derive(Debug)]
struct Call {
    choice: u64,
    theirs: Option<u64>,
    ours: u64,
    id: Option<Box<str>>,
}

/// What a piece of a call says.
struct Piece<'a> {
    theirs: Option<u64>,
    /// As JSON.
    id: Option<&'a str>,
    /// It names the function, which only the first piece of a call does.
    named: bool,
}

/// More calls than any model makes; further ones count as the last.
const MAX_CALLS: usize = 1024;
/// Longer ids are not kept, so that they tell no calls apart.
const MAX_ID: usize = 256;

impl ToolNumbers {
    /// The number of a call of `choice`; one without an index is a new call if it has an id.
    fn number(&mut self, choice: u64, piece: &Piece<'_>) -> u64 {
        let calls = || self.0.iter().filter(|call| call.choice == choice);
        let known = match piece.theirs {
            Some(_) => self.find(choice, piece),
            None if piece.id.is_some() => None,
            None => calls().next_back(),
        };
        if let Some(known) = known {
            return known.ours;
        }
        let ours = calls().map(|call| call.ours + 1).max().unwrap_or(0);
        if self.0.len() >= MAX_CALLS {
            return ours.saturating_sub(1);
        }
        self.put(choice, piece, ours);
        ours
    }

    /// The call that a piece with an index goes on with. One that begins under the index of another call is new.
    fn find(&self, choice: u64, piece: &Piece<'_>) -> Option<&Call> {
        let mut calls =
            self.0.iter().rev().filter(|call| call.choice == choice && call.theirs == piece.theirs);
        let begins_anew = |call: &Call| piece.named && call.id.is_some() && call.id.as_deref() != piece.id;
        match piece.id {
            Some(_) => calls.find(|call| !begins_anew(call)),
            None => calls.next(),
        }
    }

    fn put(&mut self, choice: u64, piece: &Piece<'_>, ours: u64) {
        let id = piece.id.filter(|id| id.len() <= MAX_ID).map(Box::from);
        self.0.push(Call { choice, theirs: piece.theirs, ours, id });
    }

    /// Notes the calls of a chunk whose numbers are right so far; whether some begin under the number of another, as
    /// some versions of Ollama number them all 0. Then the chunk has to be repaired.
    pub fn clash(&mut self, data: &[u8]) -> bool {
        let Ok(chunk) = serde_json::from_slice::<Object<'_>>(data) else { return false };
        for choice in chunk.get("choices").map(list).unwrap_or_default() {
            let Some(choice) = Object::read(choice) else { continue };
            let number = choice_number(&choice);
            let calls = choice.get("delta").and_then(Object::read).and_then(|delta| delta.get("tool_calls"));
            for call in calls.map(list).unwrap_or_default().into_iter().filter_map(Object::read) {
                let piece = Piece::of(&call);
                let Some(theirs) = piece.theirs.filter(|_| piece.id.is_some()) else { continue };
                if self.find(number, &piece).is_some() || self.0.len() >= MAX_CALLS {
                    continue;
                }
                if self.0.iter().any(|call| call.choice == number && call.theirs == piece.theirs) {
                    return true;
                }
                self.put(number, &piece, theirs);
            }
        }
        false
    }
}

impl<'a> Piece<'a> {
    fn of(call: &Object<'a>) -> Self {
        let theirs = match call.get("index").map(|raw| chunk::index(raw.get())) {
            Some(ToolCallIndex::At(index)) => Some(index),
            _ => None,
        };
        let id = call.get("id").filter(|raw| fold::is_text(raw.get())).map(RawValue::get);
        let function = call.get("function").filter(|_| id.is_some()).and_then(Object::read);
        let name = function.and_then(|function| function.get("name"));
        Self { theirs, id, named: name.is_some_and(|raw| fold::is_text(raw.get())) }
    }
}

/// The number of a choice.
fn choice_number(choice: &Object<'_>) -> u64 {
    match choice.get("index").map(|raw| chunk::index(raw.get())) {
        Some(ToolCallIndex::At(number)) => number,
        _ => 0,
    }
}

/// The chunk with a `delta` in each choice, content as a text, an `object`, and, if `tools` is given, tool calls
/// numbered from 0. Everything else keeps its bytes. `data` must be an object that `chunk::inspect` has taken.
///
/// Content as a list becomes the text of its text parts; thinking parts become `reasoning_content`. Parts of other
/// kinds (Mistral's references) have no place in a delta and are left out.
pub fn repair(data: &Bytes, endpoint: Endpoint, mut tools: Option<&mut ToolNumbers>) -> Bytes {
    let mut editor = Editor { data, edits: Edits::default() };
    let Ok(chunk) = serde_json::from_slice::<Object<'_>>(data) else {
        return data.clone();
    };
    let name = match endpoint {
        Endpoint::Chat => "\"chat.completion.chunk\"",
        Endpoint::Completions => "\"text_completion\"",
        Endpoint::Embeddings => "\"list\"",
    };
    let start = data.iter().position(|b| *b == b'{').unwrap_or(0);
    editor.set(start, &chunk, "object", name, |raw| raw.get() == "null");
    if endpoint == Endpoint::Chat {
        for choice in chunk.get("choices").map(list).unwrap_or_default() {
            editor.choice(choice, tools.as_deref_mut());
        }
    }
    editor.edits.apply(data)
}

struct Editor<'a> {
    data: &'a [u8],
    edits: Edits,
}

impl Editor<'_> {
    /// Where a part of the data stands in it.
    fn range(&self, raw: &RawValue) -> Range<usize> {
        let start = raw.get().as_ptr() as usize - self.data.as_ptr() as usize;
        start..start + raw.get().len()
    }

    /// Sets the field `name` of the object that opens at `open` where it is absent or `wrong`.
    fn set(
        &mut self,
        open: usize,
        object: &Object<'_>,
        name: &str,
        json: &str,
        wrong: impl Fn(&RawValue) -> bool,
    ) {
        match object.get(name) {
            Some(raw) if wrong(raw) => self.edits.replace(self.range(raw), json),
            Some(_) => {}
            None => {
                let comma = if object.0.is_empty() { "" } else { "," };
                let field = format!("{}:{json}{comma}", json_string(name));
                self.edits.replace(open + 1..open + 1, field);
            }
        }
    }

    fn choice(&mut self, raw: &RawValue, tools: Option<&mut ToolNumbers>) {
        let Some(choice) = Object::read(raw) else {
            return;
        };
        let delta = choice.get("delta").and_then(|raw| Some((raw, Object::read(raw)?)));
        let Some((delta_raw, delta)) = delta else {
            let open = self.range(raw).start;
            return self.set(open, &choice, "delta", "{}", |_| true);
        };
        if let Some(content) = delta.get("content").filter(|raw| raw.get().starts_with('[')) {
            let (text, thinking) = flatten(content);
            self.edits.replace(self.range(content), json_string(&text));
            let has_reasoning = ["reasoning_content", "reasoning"]
                .iter()
                .any(|name| delta.get(name).is_some_and(|raw| fold::is_text(raw.get())));
            if !thinking.is_empty() && !has_reasoning {
                let open = self.range(delta_raw).start;
                self.set(open, &delta, "reasoning_content", &json_string(&thinking), |_| true);
            }
        }
        if let (Some(tools), Some(calls)) = (tools, delta.get("tool_calls")) {
            let number = choice_number(&choice);
            for call in list(calls) {
                self.tool_call(call, number, tools);
            }
        }
    }

    fn tool_call(&mut self, raw: &RawValue, choice: u64, tools: &mut ToolNumbers) {
        let Some(call) = Object::read(raw) else {
            return;
        };
        let piece = Piece::of(&call);
        let ours = tools.number(choice, &piece);
        if piece.theirs != Some(ours) {
            let open = self.range(raw).start;
            self.set(open, &call, "index", &ours.to_string(), |_| true);
        }
    }
}

/// The text and the thinking of content parts.
fn flatten(content: &RawValue) -> (String, String) {
    let (mut text, mut thinking) = (String::new(), String::new());
    let parts: Vec<Value> = serde_json::from_str(content.get()).unwrap_or_default();
    for part in &parts {
        match part {
            Value::String(plain) => text.push_str(plain),
            _ => match &part["thinking"] {
                Value::String(plain) => thinking.push_str(plain),
                Value::Array(inner) => inner
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .for_each(|plain| thinking.push_str(plain)),
                _ => text.push_str(part["text"].as_str().unwrap_or_default()),
            },
        }
    }
    (text, thinking)
}

/// The elements of a list; none if it is something else.
fn list(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// An object's fields with the places of their values.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The last field of that name.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, raw)| *raw)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<fold::Text<'de>>()? {
            fields.push((name.0, map.next_value()?));
        }
        Ok(Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(data: &str, tools: Option<&mut ToolNumbers>) -> String {
        let out = repair(&Bytes::copy_from_slice(data.as_bytes()), Endpoint::Chat, tools);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn only_what_is_wrong_changes() {
        let cases = [
            // (a chunk, what it becomes)
            (
                r#" { "object":"x", "choices":[{ "delta":{"content":"a"}, "new":1e400 }] }"#,
                r#" { "object":"x", "choices":[{ "delta":{"content":"a"}, "new":1e400 }] }"#,
            ),
            (
                r#"{"choices":[{"index":0},{}],"object":null}"#,
                r#"{"choices":[{"delta":{},"index":0},{"delta":{}}],"object":"chat.completion.chunk"}"#,
            ),
            (
                r#"{"choices":[{"delta":null}]}"#,
                r#"{"object":"chat.completion.chunk","choices":[{"delta":{}}]}"#,
            ),
            (
                r#"{"object":"x","choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h\n"}]},{"type":"text","text":"a\""},"b"]}}]}"#,
                r#"{"object":"x","choices":[{"delta":{"reasoning_content":"h\n","content":"a\"b"}}]}"#,
            ),
            (
                r#"{"object":"x","choices":[{"delta":{"content":[{"type":"thinking","thinking":"t"}],"reasoning_content":null}}]}"#,
                r#"{"object":"x","choices":[{"delta":{"content":"","reasoning_content":"t"}}]}"#,
            ),
        ];
        for (before, after) in cases {
            assert_eq!(chat(before, None), after);
        }
        let text = Bytes::from_static(br#"{"choices":[{"text":"a"}]}"#);
        let out = repair(&text, Endpoint::Completions, None);
        assert_eq!(out, r#"{"object":"text_completion","choices":[{"text":"a"}]}"#);
    }

    #[test]
    fn tool_calls_are_numbered_from_zero_through_the_stream() {
        let mut tools = ToolNumbers::default();
        let mut indices = |calls: &str| {
            let data = format!(r#"{{"object":"x","choices":[{{"delta":{{"tool_calls":{calls}}}}}]}}"#);
            let out: Value = serde_json::from_str(&chat(&data, Some(&mut tools))).unwrap();
            let calls = out["choices"][0]["delta"]["tool_calls"].as_array().unwrap().clone();
            calls.iter().map(|call| call["index"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(indices(r#"[{"index":1,"id":"a"}]"#), [0]);
        assert_eq!(indices(r#"[{"index":1}]"#), [0]);
        assert_eq!(indices(r#"[{"index":3,"id":"b"},{"index":1}]"#), [1, 0]);
        assert_eq!(indices(r#"[{"id":"c"},{"index":null,"id":"d"}]"#), [2, 3]);
        assert_eq!(indices(r#"[{"function":{}}]"#), [3]);
        // Another call begins under a number that was given; an id that changes makes no new call by itself.
        assert_eq!(indices(r#"[{"index":1,"id":"e","function":{"name":"f"}}]"#), [4]);
        assert_eq!(indices(r#"[{"index":1,"id":"a","function":{"name":"f"}},{"index":3,"id":"x"}]"#), [0, 1]);
    }
}
