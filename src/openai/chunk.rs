//! Looking at one chunk of a stream without building it.

use super::{
    fault,
    fold::{self, Fold, Shape, Value},
    scan::Fault,
    usage::{BadUsage, Counts, Usage},
};

/// What a chunk says, as far as a gateway has to know.
#[derive(Debug, Default)]
pub struct ChunkFacts<'a> {
    /// Something for the client to show or use: text, reasoning, a refusal, a tool call, audio, an image.
    pub content: bool,
    /// How many choices there are; `None` without a list of that name.
    pub choices: Option<usize>,
    /// A choice says that it is finished.
    pub finished: bool,
    /// What was used so far, in the usual place or Groq's; null and empty ones are `None`.
    pub usage: Option<Result<Usage, BadUsage>>,
    /// The JSON text of an error, which may stand beside choices.
    pub error: Option<&'a str>,
    /// The chunk as a whole is an error without an envelope.
    pub is_error: bool,
    /// A choice has neither `delta` nor `text`.
    pub missing_delta: bool,
    /// A delta's content is a list of parts.
    pub content_list: bool,
    /// `object` is absent or null.
    pub missing_object: bool,
    /// The first tool call of the chunk.
    pub tool_call: Option<ToolCallIndex>,
    /// A tool call has an id: it begins, or the provider says the id each time.
    pub tool_id: bool,
    /// The content of a choice, as JSON.
    said: Option<&'a str>,
    /// Which choice that is.
    choice: u64,
    /// More than that is said.
    more: bool,
}

impl<'a> ChunkFacts<'a> {
    /// A choice with its text, as JSON and not empty, where that is all that the chunk brings.
    pub fn word(&self) -> Option<(u64, &'a str)> {
        let Self { finished, usage, error, is_error, missing_delta, content_list, missing_object, .. } = self;
        let else_nothing = !(*finished || *is_error || *missing_delta || *content_list || *missing_object);
        let is_one = self.choices == Some(1) && usage.is_none() && error.is_none() && !self.more;
        let said = self.said.filter(|said| fold::is_text(said))?;
        (else_nothing && is_one).then_some((self.choice, said))
    }
}

/// What a tool call says about its place among the calls of its choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolCallIndex {
    /// Its number.
    At(u64),
    /// Nothing that could be a number.
    Missing,
}

/// Looks at the payload of one event. Needs no memory, unless names or ignored texts are written with escapes.
///
/// # Errors
/// The payload is not a JSON object.
pub fn inspect(data: &[u8]) -> Result<ChunkFacts<'_>, serde_json::Error> {
    let text = std::str::from_utf8(data).map_err(serde::de::Error::custom)?;
    let mut chunk = Chunk::default();
    fold::object(text, &mut chunk).map_err(|Fault| fault::explain(text))?;
    let mut facts = chunk.facts;
    facts.missing_object = !chunk.has_object;
    let bare = facts.choices.is_none() && facts.usage.is_none() && facts.error.is_none();
    facts.is_error = bare && (chunk.error_object || chunk.message);
    Ok(facts)
}

#[derive(Default)]
struct Chunk<'a> {
    facts: ChunkFacts<'a>,
    has_object: bool,
    error_object: bool,
    message: bool,
}

impl<'de> Fold<'de> for Chunk<'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "choices" => {
                let mut choices = Choices { facts: &mut self.facts, count: 0 };
                let shape = value.fold(&mut choices)?;
                let count = choices.count;
                self.facts.more |= self.facts.choices.is_some();
                self.facts.choices = (shape == Shape::List).then_some(count);
            }
            "object" => {
                let object = value.raw()?;
                self.has_object = object != "null";
                self.error_object = object == "\"error\"";
            }
            "usage" => self.facts.read_usage(value)?,
            "x_groq" => drop(value.fold(&mut Groq(&mut self.facts))?),
            "error" => self.facts.read_error(value)?,
            "message" | "detail" => self.message = fold::is_something(value.raw()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> ChunkFacts<'de> {
    fn read_usage(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut counts = Counts::default();
        let shape = value.fold(&mut counts)?;
        self.usage = counts.usage(shape).transpose().or(self.usage);
        Ok(())
    }

    fn read_error(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let error = value.raw()?;
        if fold::is_something(error) {
            self.error = Some(error);
        }
        Ok(())
    }
}

struct Groq<'a, 'de>(&'a mut ChunkFacts<'de>);

impl<'de> Fold<'de> for Groq<'_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "usage" => self.0.read_usage(value),
            "error" => self.0.read_error(value),
            _ => value.skip(),
        }
    }
}

struct Choices<'a, 'de> {
    facts: &'a mut ChunkFacts<'de>,
    count: usize,
}

impl<'de> Fold<'de> for Choices<'_, 'de> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut choice = Choice { facts: self.facts, has_delta: false };
        value.fold(&mut choice)?;
        let has_delta = choice.has_delta;
        self.facts.missing_delta |= !has_delta;
        self.count += 1;
        Ok(())
    }
}

struct Choice<'a, 'de> {
    facts: &'a mut ChunkFacts<'de>,
    has_delta: bool,
}

impl<'de> Fold<'de> for Choice<'_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "index" => self.facts.choice = value.read()?.parse().unwrap_or_default(),
            "delta" => {
                self.facts.more |= self.has_delta;
                let shape = value.fold(&mut Delta(self.facts))?;
                self.has_delta |= shape == Shape::Object;
            }
            "text" => {
                self.facts.content |= fold::is_text(value.raw()?);
                self.facts.more = true;
                self.has_delta = true;
            }
            "finish_reason" => self.facts.finished |= fold::is_text(value.raw()?),
            "message" => {
                self.facts.more = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct Delta<'a, 'de>(&'a mut ChunkFacts<'de>);

impl<'de> Fold<'de> for Delta<'_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "content" => {
                let content = value.raw()?;
                self.0.content_list |= content.starts_with('[');
                self.0.content |= fold::is_something(content);
                self.0.more |= self.0.said.replace(content).is_some();
            }
            "reasoning_content" | "reasoning" | "reasoning_details" | "refusal" | "function_call"
            | "audio" | "images" => {
                let is_something = fold::is_something(value.raw()?);
                self.0.content |= is_something;
                self.0.more |= is_something;
            }
            "tool_calls" => {
                let shape = value.fold(&mut ToolCalls(self.0))?;
                self.0.more |= matches!(shape, Shape::Object | Shape::Scalar);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct ToolCalls<'a, 'de>(&'a mut ChunkFacts<'de>);

impl<'de> Fold<'de> for ToolCalls<'_, 'de> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut call = ToolCall { index: ToolCallIndex::Missing, has_id: false };
        value.fold(&mut call)?;
        self.0.content = true;
        self.0.more = true;
        self.0.tool_call.get_or_insert(call.index);
        self.0.tool_id |= call.has_id;
        Ok(())
    }
}

struct ToolCall {
    index: ToolCallIndex,
    has_id: bool,
}

impl<'de> Fold<'de> for ToolCall {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "index" => self.index = index(value.raw()?),
            "id" => self.has_id = fold::is_text(value.raw()?),
            _ => value.ignore()?,
        }
        Ok(())
    }
}

/// A number as an index.
pub(super) fn index(raw: &str) -> ToolCallIndex {
    raw.parse().map_or(ToolCallIndex::Missing, ToolCallIndex::At)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(text: &str) -> ChunkFacts<'_> {
        inspect(text.as_bytes()).unwrap()
    }

    fn delta(delta: &str) -> String {
        format!(r#"{{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta}}}]}}"#)
    }

    #[test]
    fn tells_content_from_lifecycle() {
        for empty in [
            "{}",
            r#"{"role":"assistant","content":""}"#,
            r#"{"content":null,"refusal":null,"reasoning_content":"","tool_calls":[],"tool_calls":null}"#,
            r#"{"role":"assistant","reasoning_details":[],"annotations":[{"type":"url_citation"}]}"#,
        ] {
            let text = delta(empty);
            let facts = look(&text);
            assert!(!facts.content && !facts.missing_delta && !facts.missing_object, "{empty}");
            assert_eq!(facts.choices, Some(1));
        }
        for full in [
            r#"{"content":" "}"#,
            r#"{"content":"\n"}"#,
            r#"{"content":[{"type":"text","text":"a"}]}"#,
            r#"{"content":null,"reasoning_content":"hm"}"#,
            r#"{"reasoning":"hm"}"#,
            r#"{"refusal":"no"}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]}"#,
            r#"{"function_call":{"arguments":"{"}}"#,
            r#"{"audio":{"data":"AA"}}"#,
        ] {
            assert!(look(&delta(full)).content, "{full}");
        }
        assert!(look(r#"{"object":"text_completion","choices":[{"text":"a"}]}"#).content);
        assert!(!look(r#"{"object":"text_completion","choices":[{"text":""}]}"#).missing_delta);
    }

    #[test]
    fn sees_ends_usage_and_errors() {
        let text = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":2,"completion_tokens":1}},"usage":null}"#;
        let facts = look(text);
        assert!(facts.finished);
        assert_eq!(facts.usage.unwrap().unwrap().input, 2);
        assert!(!look(r#"{"choices":[{"delta":{},"finish_reason":null}]}"#).finished);
        let facts = look(r#"{"choices":[],"usage":{"prompt_tokens":-2}}"#);
        assert_eq!((facts.choices, facts.usage.is_some_and(|u| u.is_err())), (Some(0), true));
        assert!(look(r#"{"choices":null,"error":{"message":"no"}}"#).error.is_some());
        assert!(look(r#"{"error":"no"}"#).error.is_some());
        assert!(look(r#"{"choices":[],"x_groq":{"error":"no"}}"#).error.is_some());
        assert!(look(r#"{"choices":[],"error":null}"#).error.is_none());
        assert!(look(r#"{"object":"error","message":"no","code":400}"#).is_error);
        assert!(look(r#"{"detail":"no"}"#).is_error);
        assert!(!look(r#"{"choices":[],"message":"hello"}"#).is_error);
    }

    #[test]
    fn flags_what_clients_cannot_digest() {
        let azure = r#"{"object":"x","choices":[{"content_filter_results":{"hate":{"filtered":false}},"finish_reason":null,"index":0}]}"#;
        assert!(look(azure).missing_delta);
        assert!(look(r#"{"choices":[{"delta":null}]}"#).missing_delta);
        assert!(look(&delta(r#"{"content":[]}"#)).content_list);
        assert!(look(r#"{"choices":[]}"#).missing_object);
        assert!(look(r#"{"object":null}"#).missing_object);
        let call =
            |text: &str| look(&delta(&format!(r#"{{"tool_calls":[{text},{{"index":9}}]}}"#))).tool_call;
        assert_eq!(call(r#"{"index":1}"#), Some(ToolCallIndex::At(1)));
        assert_eq!(call(r#"{"id":"a"}"#), Some(ToolCallIndex::Missing));
        assert_eq!(call(r#"{"index":null}"#), Some(ToolCallIndex::Missing));
    }

    #[test]
    fn refuses_what_is_no_object() {
        for bad in [&b"[]"[..], b"1", b"", b"{", b"{\"a\":\"\xff\"}", b"{\"choices\":[}"] {
            assert!(inspect(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = inspect(&bytes);
        }

        #[test]
        fn takes_any_values(parts in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ":", ",", "\"choices\"", "\"delta\"", "\"tool_calls\"", "\"index\"", "\"content\"",
            "\"usage\"", "\"error\"", "1", "-1e999", "null", "\"\\u0000\"", "true",
        ][..]), 0..40)) {
            let _ = inspect(parts.concat().as_bytes());
        }
    }
}
