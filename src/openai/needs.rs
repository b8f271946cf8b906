//! What a request needs of the model that answers it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ask::{Ask, Endpoint};

/// What a request needs of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It brings tools.
    pub tools: bool,
    /// It shows images.
    pub vision: bool,
    /// It has something to hear, or wants to hear something.
    pub audio: bool,
    /// It brings files.
    pub files: bool,
    /// It wants an answer in a JSON schema.
    pub json_schema: bool,
    /// It wants an answer in JSON.
    pub json_mode: bool,
    /// It wants its answer piece by piece.
    pub streaming: bool,
    /// It has at least so many tokens of text, by the most favourable count.
    pub tokens: u64,
}

/// No language has more bytes of text a token than this, spaces left aside. A bound for what surely does not fit,
/// not an estimate.
const BYTES_PER_TOKEN: usize = 8;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Ask {
    /// What the request needs of a model.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs { streaming: self.stream(), ..Needs::default() };
        match self.endpoint() {
            Endpoint::Chat => {
                needs.tools = self.filled("tools") || self.filled("functions");
                needs.audio = self.wants_audio();
                self.read_format(&mut needs);
                self.read_messages(&mut needs);
            }
            Endpoint::Completions => {
                let prompt = self.field("prompt").filter(|raw| raw.starts_with(b"\""));
                needs.tokens = at_least(prompt.unwrap_or_default());
            }
            // Each text of a list counts for itself.
            Endpoint::Embeddings => {}
        }
        needs
    }

    fn filled(&self, name: &str) -> bool {
        self.field(name).is_some_and(|raw| raw.starts_with(b"[") && !raw[1..].trim_ascii().starts_with(b"]"))
    }

    fn wants_audio(&self) -> bool {
        let wanted =
            self.field("modalities").and_then(|raw| serde_json::from_slice::<Vec<Cow<'_, str>>>(raw).ok());
        wanted.is_some_and(|wanted| wanted.iter().any(|kind| kind == "audio"))
    }

    fn read_format(&self, needs: &mut Needs) {
        let format =
            self.field("response_format").and_then(|raw| serde_json::from_slice::<Kind<'_>>(raw).ok());
        match format.and_then(|format| format.kind).as_deref() {
            Some("json_schema") => needs.json_schema = true,
            Some("json_object") => needs.json_mode = true,
            _ => {}
        }
    }

    fn read_messages(&self, needs: &mut Needs) {
        let messages =
            self.field("messages").and_then(|raw| serde_json::from_slice::<Vec<Message<'_>>>(raw).ok());
        for content in messages.unwrap_or_default().iter().filter_map(|message| message.content) {
            match content.get().as_bytes() {
                text @ [b'"', ..] => needs.tokens += at_least(text),
                [b'[', ..] => read_parts(content.get(), needs),
                _ => {}
            }
        }
    }
}

fn read_parts(content: &str, needs: &mut Needs) {
    // Parts that are not objects are the provider's to refuse.
    for part in serde_json::from_str::<Vec<Part<'_>>>(content).unwrap_or_default() {
        match part.kind.as_deref() {
            Some("image_url") => needs.vision = true,
            Some("input_audio") => needs.audio = true,
            Some("file") => needs.files = true,
            _ => needs.tokens += at_least(part.text.map_or(&[], |text| text.get().as_bytes())),
        }
    }
}

/// The fewest tokens that a text, as JSON, can have.
fn at_least(json: &[u8]) -> u64 {
    // Runs of spaces become one token, however long.
    let mut dense = json.iter().filter(|byte| !byte.is_ascii_whitespace()).count().saturating_sub(2);
    // Escapes take up to six bytes for one character, which may be a space too.
    if json.contains(&b'\\') {
        dense /= 6;
    }
    (dense / BYTES_PER_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn needs(fields: Value) -> Needs {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap().needs()
    }

    fn parts(parts: Value) -> Value {
        json!({ "messages": [{ "role": "user", "content": parts }, { "role": "assistant", "content": null }] })
    }

    #[test]
    fn needs_are_read_from_the_fields() {
        let none = Needs::default();
        let tool = json!({ "type": "function", "function": { "name": "f" } });
        for (fields, expected) in [
            (json!({}), none),
            (json!({ "tools": [], "functions": null, "response_format": { "type": "text" } }), none),
            (json!({ "tools": [tool] }), Needs { tools: true, ..none }),
            (json!({ "functions": [{ "name": "f" }] }), Needs { tools: true, ..none }),
            (json!({ "response_format": { "type": "json_object" } }), Needs { json_mode: true, ..none }),
            (
                json!({ "response_format": { "type": "json_schema", "json_schema": {} } }),
                Needs { json_schema: true, ..none },
            ),
            (json!({ "modalities": ["text", "audio"] }), Needs { audio: true, ..none }),
            (json!({ "stream": true }), Needs { streaming: true, ..none }),
            (
                parts(json!([{ "type": "image_url", "image_url": { "url": "data:" } }])),
                Needs { vision: true, ..none },
            ),
            (parts(json!([{ "type": "input_audio", "input_audio": {} }])), Needs { audio: true, ..none }),
            (
                parts(json!([{ "type": "file", "file": {} }, { "type": "text", "text": "x" }])),
                Needs { files: true, ..none },
            ),
            (parts(json!("\"type\":\"image_url\"")), none),
            (parts(json!([5, "x"])), none),
        ] {
            assert_eq!(needs(fields.clone()), expected, "{fields}");
        }
    }

    #[test]
    fn only_text_counts_and_never_too_much() {
        let words = "word ".repeat(8000);
        assert_eq!(needs(parts(json!(words))).tokens, 4000);
        assert_eq!(needs(parts(json!([{ "type": "text", "text": words }]))).tokens, 4000);
        assert_eq!(needs(parts(json!(" ".repeat(100_000)))).tokens, 0);
        assert_eq!(needs(parts(json!("\n\t".repeat(100_000)))).tokens, 0);
        let picture = json!([{ "type": "image_url", "image_url": { "url": "x".repeat(100_000) } }]);
        assert_eq!(needs(parts(picture)).tokens, 0);
    }

    proptest! {
        #[test]
        fn the_count_is_no_more_than_the_real_one(text in "([a-z]{1,12}[ \n]?|\\PC){0,200}") {
            let real = bpe_openai::o200k_base().count(&text) as u64;
            prop_assert!(needs(parts(json!(text))).tokens <= real);
        }
    }
}
