//! One choice of an answer, from the parts that Gemini says.

use serde_json::{Map, Value, json};

use super::{
    args::{Misplaced, Pieces},
    finish, logprobs,
    response::{Blob, Candidate, FunctionCall, Part},
    signature,
};
use crate::{
    openai::write::{Delta, FunctionCall as Called, ToolCall},
    provider::Failure,
};

/// The most bytes of signature, sources, ratings that a choice holds until its end.
const MAX_HELD: usize = 8 * 1024 * 1024;

/// A choice in the making.
#[derive(Debug, Default)]
pub struct Choice {
    /// Its number.
    pub index: usize,
    /// Something but its role was told.
    pub spoke: bool,
    finish: Option<String>,
    calls: usize,
    open: Option<Open>,
    images: usize,
    own_parts: usize,
    /// The latest signature of a text.
    signature: Option<String>,
    /// Sources and ratings; of each the latest.
    facts: Map<String, Value>,
    held: usize,
}

/// A call whose arguments come in pieces.
#[derive(Debug)]
struct Open {
    number: usize,
    pieces: Pieces,
}

/// What an event adds to a choice.
#[derive(Debug, Default)]
pub struct Heard {
    /// For the client.
    pub delta: Delta,
    /// The probabilities of its tokens.
    pub logprobs: Option<Value>,
}

impl Choice {
    /// The choice with that number.
    pub fn new(index: usize) -> Self {
        Self { index, ..Self::default() }
    }

    /// A choice that says only why there is no answer.
    pub fn blocked(reason: &str) -> Self {
        Self { finish: Some(reason.to_owned()), ..Self::default() }
    }

    /// Whether it was told why it ended.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes what an event adds. `answer` is the id of the answer, for the ids of calls.
    ///
    /// # Errors
    /// Nothing that Gemini says, or more than can be held.
    pub fn hear(&mut self, candidate: Candidate, answer: &str) -> Result<Heard, Failure> {
        let mut heard = Heard::default();
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        for part in parts {
            self.part(part, answer, &mut heard.delta)?;
        }
        for (name, value) in candidate.rest {
            self.fact(name, value)?;
        }
        if let Some(reason) = candidate.finish_reason.filter(|reason| !reason.is_null()) {
            self.finish = Some(finish::name(&reason));
        }
        heard.logprobs = candidate.logprobs_result.map(logprobs::told);
        self.spoke |= is_content(&heard.delta);
        Ok(heard)
    }

    fn part(&mut self, part: Part, answer: &str, delta: &mut Delta) -> Result<(), Failure> {
        let Part { text, thought, thought_signature, function_call, inline_data, rest } = part;
        if let Some(call) = function_call {
            return self.call(call, thought_signature, answer, delta);
        }
        match inline_data {
            Some(blob) if blob.mime_type.starts_with("image/") => {
                self.image(&blob, thought_signature, delta);
                return Ok(());
            }
            Some(blob) => {
                let mut own = rest;
                own.insert("inlineData".into(), json!({"mimeType": blob.mime_type, "data": blob.data}));
                self.own_part(own, thought_signature, delta);
                return Ok(());
            }
            None => {}
        }
        if text.is_none() && !rest.is_empty() {
            self.own_part(rest, thought_signature, delta);
            return Ok(());
        }
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let place = match thought {
                Some(true) => &mut delta.reasoning_content,
                _ => &mut delta.content,
            };
            place.get_or_insert_default().push_str(&text);
        }
        if let Some(signature) = thought_signature {
            self.hold(self.signature.as_ref().map_or(0, String::len), signature.len())?;
            self.signature = Some(signature);
        }
        Ok(())
    }

    /// Counts what is held for the end.
    fn hold(&mut self, before: usize, now: usize) -> Result<(), Failure> {
        self.held = self.held - before + now;
        if self.held > MAX_HELD {
            return Err(Failure::invalid(format!("A choice has more than {MAX_HELD} bytes of metadata.")));
        }
        Ok(())
    }

    fn fact(&mut self, name: String, value: Value) -> Result<(), Failure> {
        if value.is_null() || name == "tokenCount" {
            return Ok(());
        }
        let name = snake_case(&name);
        let before = self.facts.get(&name).map_or(0, weight);
        let value = match (self.facts.remove(&name), value) {
            // Each event cites the sources of its own text.
            (Some(Value::Object(mut old)), Value::Object(new)) if name == "citation_metadata" => {
                for (key, value) in new {
                    match (old.get_mut(&key), value) {
                        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
                        (_, value) => drop(old.insert(key, value)),
                    }
                }
                Value::Object(old)
            }
            (_, value) => value,
        };
        self.hold(before, weight(&value))?;
        self.facts.insert(name, value);
        Ok(())
    }

    fn image(&mut self, blob: &Blob, signature: Option<String>, delta: &mut Delta) {
        let url = format!("data:{};base64,{}", blob.mime_type, blob.data);
        let mut image = json!({"type": "image_url", "image_url": {"url": url}, "index": self.images});
        if let Some(signature) = signature {
            image["thought_signature"] = signature.into();
        }
        self.images += 1;
        push(&mut delta.extra, &["images"], image);
    }

    /// A part that OpenAI's format has no place for, numbered as SDKs want lists in streams to be.
    fn own_part(&mut self, mut own: Map<String, Value>, signature: Option<String>, delta: &mut Delta) {
        if let Some(signature) = signature {
            own.insert("thoughtSignature".into(), signature.into());
        }
        own.insert("index".into(), self.own_parts.into());
        self.own_parts += 1;
        push(&mut delta.extra, &["extra_content", "google", "parts"], Value::Object(own));
    }

    /// A call, or the continuation of the one before.
    fn call(
        &mut self,
        mut call: FunctionCall,
        signature: Option<String>,
        answer: &str,
        delta: &mut Delta,
    ) -> Result<(), Failure> {
        let pieces = call.partial_args.take().unwrap_or_default();
        let more = call.will_continue == Some(true);
        match call.name.take().filter(|name| !name.is_empty()) {
            Some(name) => {
                let in_pieces = more || !pieces.is_empty();
                self.begin(name, &call, in_pieces, signature, answer, delta);
            }
            None if self.open.is_none() && (!pieces.is_empty() || call.args.is_some()) => {
                return Err(Failure::invalid("A function call has arguments and no name."));
            }
            None => {}
        }
        if let Some(open) = &mut self.open {
            for piece in pieces {
                open.pieces.add(piece).map_err(|Misplaced| {
                    Failure::invalid("A piece of a function call's arguments does not fit the others.")
                })?;
            }
            if !more {
                self.close(delta);
            }
        }
        Ok(())
    }

    /// The call's name with its arguments, unless those come in pieces.
    fn begin(
        &mut self,
        name: String,
        call: &FunctionCall,
        in_pieces: bool,
        signature: Option<String>,
        answer: &str,
        delta: &mut Delta,
    ) {
        self.close(delta);
        let number = self.calls;
        self.calls += 1;
        let id = signature::short(call.id.as_deref(), answer, self.index, number);
        let carried = signature.as_deref().and_then(|signature| signature::carry(&id, signature));
        let mut extra = Map::new();
        if let (None, Some(signature)) = (&carried, signature) {
            extra.insert("extra_content".into(), json!({"google": {"thought_signature": signature}}));
        }
        let whole = call.args.as_ref().map(|args| args.get()).filter(|args| *args != "null");
        let arguments = match in_pieces {
            true => String::new(),
            false => whole.map_or_else(|| "{}".to_owned(), compact),
        };
        self.open = in_pieces.then(|| Open { number, pieces: Pieces::new(whole) });
        delta.tool_calls.push(ToolCall {
            index: Some(number),
            id: Some(carried.unwrap_or(id)),
            kind: Some("function"),
            function: Called { name: Some(name), arguments },
            extra,
        });
    }

    /// Tells the arguments of the call that was open.
    fn close(&mut self, delta: &mut Delta) {
        if let Some(Open { number, pieces }) = self.open.take() {
            delta.tool_calls.push(ToolCall {
                index: Some(number),
                function: Called { name: None, arguments: pieces.json() },
                ..ToolCall::default()
            });
        }
    }

    /// The end: what was held back, and the finish reason in OpenAI's words.
    ///
    /// # Errors
    /// Gemini gave up, or ended without a word.
    pub fn end(&mut self) -> Result<(Delta, &'static str), Failure> {
        let mut delta = Delta::default();
        self.close(&mut delta);
        let reason = self.finish.take().unwrap_or_else(|| "STOP".into());
        let finish = finish::reason(&reason, self.calls > 0, self.spoke)?;
        if finish != "content_filter" {
            self.facts.remove("finish_message");
        }
        let mut google = std::mem::take(&mut self.facts);
        if let Some(signature) = self.signature.take() {
            google.insert("thought_signature".into(), signature.into());
        }
        if !google.is_empty() {
            delta.extra.insert("extra_content".into(), json!({ "google": google }));
        }
        Ok((delta, finish))
    }
}

/// Whether a delta brings more than a role or metadata.
pub fn is_content(delta: &Delta) -> bool {
    delta.content.is_some()
        || delta.reasoning_content.is_some()
        || delta.refusal.is_some()
        || !delta.tool_calls.is_empty()
        || !delta.extra.is_empty()
}

/// Adds to a list inside objects.
fn push(map: &mut Map<String, Value>, path: &[&str], item: Value) {
    let [name, rest @ ..] = path else { return };
    let empty = if rest.is_empty() { json!([]) } else { json!({}) };
    match map.entry(*name).or_insert(empty) {
        Value::Array(list) => list.push(item),
        Value::Object(inner) => push(inner, rest, item),
        _ => {}
    }
}

/// About the bytes that a value takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(list) => 32 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => {
            32 + map.iter().map(|(name, value)| 64 + name.len() + weight(value)).sum::<usize>()
        }
        _ => 32,
    }
}

/// `groundingMetadata` as `grounding_metadata`, like the names beside it.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if inside {
            inside = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            inside = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(choice: &mut Choice, candidate: Value) -> Result<Heard, Failure> {
        choice.hear(serde_json::from_str(&candidate.to_string()).unwrap(), "r")
    }

    fn parts(parts: Value) -> Value {
        json!({"content": {"parts": parts}})
    }

    #[test]
    fn parts_find_their_places() {
        let mut choice = Choice::new(0);
        let delta = hear(
            &mut choice,
            parts(json!([
                {"text": "t", "thought": true}, {"text": "a"}, {"text": "b", "thoughtSignature": "AAAA"}, {"text": ""},
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "S"},
                {"executableCode": {"code": "1"}, "thoughtSignature": "T"},
                {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}},
            ])),
        )
        .unwrap()
        .delta;
        assert_eq!(delta.reasoning_content.as_deref(), Some("t"));
        assert_eq!(delta.content.as_deref(), Some("ab"));
        assert_eq!(
            Value::Object(delta.extra),
            json!({
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}, "index": 0, "thought_signature": "S"}],
                "extra_content": {"google": {"parts": [
                    {"executableCode": {"code": "1"}, "thoughtSignature": "T", "index": 0},
                    {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}, "index": 1},
                ]}}
            })
        );
        let (end, _) = choice.end().unwrap();
        assert_eq!(end.extra["extra_content"], json!({"google": {"thought_signature": "AAAA"}}));
    }

    #[test]
    fn calls_have_ids_with_their_signatures() {
        let mut choice = Choice::new(0);
        let calls = hear(
            &mut choice,
            parts(json!([
                {"functionCall": {"id": "w7", "name": "f", "args": {"b": "x \" y", "a": [1, 2]}}, "thoughtSignature": "AAAA"},
                {"functionCall": {"name": "g", "args": null}},
                {"functionCall": {"id": "w8", "name": "h"}, "thoughtSignature": "not base64"},
            ])),
        )
        .unwrap()
        .delta
        .tool_calls;
        assert_eq!(calls[0].id.as_deref(), Some("w7__ts_AAAA"));
        assert_eq!(calls[1].id, Some(signature::short(None, "r", 0, 1)));
        assert_eq!(calls[1].function.arguments, "{}");
        assert_eq!(calls[2].id.as_deref(), Some("w8"));
        assert_eq!(calls[2].extra["extra_content"]["google"]["thought_signature"], "not base64");
        assert_eq!(calls.iter().map(|call| call.index).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn arguments_keep_their_order_without_blanks() {
        let text = "{ \"z\" : \"a \\\" \\\\\" ,\n \"a\": [ 1 ] }";
        assert_eq!(compact(text), r#"{"z":"a \" \\","a":[1]}"#);
    }

    #[test]
    fn arguments_in_pieces_come_whole() {
        let mut choice = Choice::new(0);
        let call = |call: Value| parts(json!([{ "functionCall": call }]));
        let first = hear(&mut choice, call(json!({"name": "f", "willContinue": true}))).unwrap().delta;
        assert_eq!(first.tool_calls[0].function.arguments, "");
        let piece = json!({"partialArgs": [{"jsonPath": "$.id", "stringValue": "A"}], "willContinue": true});
        assert!(hear(&mut choice, call(piece)).unwrap().delta.tool_calls.is_empty());
        let last = hear(&mut choice, call(json!({}))).unwrap().delta;
        assert_eq!(last.tool_calls[0].function.arguments, r#"{"id":"A"}"#);
        assert_eq!(last.tool_calls[0].index, Some(0));
        // A call that nothing closed is closed by the end.
        hear(&mut choice, call(json!({"name": "g", "willContinue": true}))).unwrap();
        assert_eq!(choice.end().unwrap().0.tool_calls[0].function.arguments, "{}");
        let lost = json!({"partialArgs": [{"jsonPath": "$.id", "stringValue": "A"}]});
        assert!(hear(&mut Choice::new(0), call(lost)).is_err());
    }

    #[test]
    fn sources_are_kept_to_the_end() {
        let mut choice = Choice::new(0);
        let cited =
            |n: u8| json!({"citationMetadata": {"citationSources": [n]}, "groundingMetadata": {"n": n}});
        hear(&mut choice, cited(1)).unwrap();
        hear(&mut choice, cited(2)).unwrap();
        let (delta, _) = choice.end().unwrap();
        assert_eq!(
            delta.extra["extra_content"]["google"],
            json!({"citation_metadata": {"citationSources": [1, 2]}, "grounding_metadata": {"n": 2}})
        );
        let big = json!({"groundingMetadata": "x".repeat(MAX_HELD)});
        assert!(hear(&mut Choice::new(0), big).is_err());
    }
}
