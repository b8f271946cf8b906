//! What a request needs of the model that answers it.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    ask::{Ask, Endpoint},
    fold::{self, Fold, Value},
    scan::Fault,
};

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
    /// It has at least so many tokens of text, by the most favourable count; 0 where nobody had to count.
    pub tokens: u64,
}

/// No language has more bytes of text a token than this, spaces left aside. A bound for what surely does not fit,
/// not an estimate.
const BYTES_PER_TOKEN: usize = 8;

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Ask {
    /// What the request needs of a model. Its text is looked at only where it may not fit into `window` tokens, the
    /// smallest of those that it may go to.
    pub fn needs(&self, window: Option<u64>) -> Needs {
        let most = (self.body().len() / BYTES_PER_TOKEN) as u64;
        let count = window.is_some_and(|window| most > window);
        let mut needs = Needs { streaming: self.stream(), ..Needs::default() };
        match self.endpoint() {
            Endpoint::Chat => {
                needs.tools = self.filled("tools") || self.filled("functions");
                needs.audio = self.wants_audio();
                self.read_format(&mut needs);
                if count || self.has_parts() {
                    self.read_messages(&mut needs);
                }
            }
            Endpoint::Completions if count => {
                let prompt = self.field("prompt").filter(|raw| raw.starts_with(b"\""));
                needs.tokens = at_least(prompt.unwrap_or_default());
            }
            // Each text of a list counts for itself.
            Endpoint::Completions | Endpoint::Embeddings => {}
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

    /// Whether it wants an answer in a JSON schema.
    pub(super) fn wants_schema(&self) -> bool {
        let mut needs = Needs::default();
        if self.endpoint() == Endpoint::Chat {
            self.read_format(&mut needs);
        }
        needs.json_schema
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
        self.messages().map(|messages| messages.fold(&mut Messages(needs)));
    }
}

struct Messages<'a>(&'a mut Needs);

impl<'de> Fold<'de> for Messages<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        value.try_fold(&mut Message(self.0)).map(drop)
    }
}

struct Message<'a>(&'a mut Needs);

impl<'de> Fold<'de> for Message<'_> {
    fn field(&mut self, name: &str, mut value: Value<'_, 'de>) -> Result<(), Fault> {
        match (name, value.first()?) {
            ("content", b'"') => self.0.tokens += at_least(value.raw()?.as_bytes()),
            ("content", b'[') => {
                let mut parts = Parts { needs: *self.0, broken: false };
                // Parts that are not objects are the provider's to refuse.
                if value.try_fold(&mut parts)?.0 && !parts.broken {
                    *self.0 = parts.needs;
                }
            }
            _ => value.ignore()?,
        }
        Ok(())
    }
}

struct Parts {
    needs: Needs,
    /// Something is no part, or not one part.
    broken: bool,
}

impl<'de> Fold<'de> for Parts {
    fn element(&mut self, mut value: Value<'_, 'de>) -> Result<(), Fault> {
        self.broken |= value.first()? != b'{';
        let mut part = Part::default();
        self.broken |= !value.try_fold(&mut part)?.0 || part.broken;
        match part.kind.as_deref() {
            Some("image_url") => self.needs.vision = true,
            Some("input_audio") => self.needs.audio = true,
            Some("file") => self.needs.files = true,
            _ => self.needs.tokens += at_least(part.text.unwrap_or_default().as_bytes()),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Part<'de> {
    kind: Option<Cow<'de, str>>,
    text: Option<&'de str>,
    /// Its kind is no text, or a field stands there twice.
    broken: bool,
}

impl<'de> Fold<'de> for Part<'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "type" => {
                let raw = value.raw()?;
                self.broken |= self.kind.is_some();
                self.kind = fold::text(raw);
                self.broken |= self.kind.is_none() && raw != "null";
            }
            "text" => self.broken |= self.text.replace(value.raw()?).is_some(),
            _ => value.ignore()?,
        }
        Ok(())
    }
}

/// The fewest tokens that a text, as JSON, can have. Spaces do not count: a run of them is one token, however long.
fn at_least(json: &[u8]) -> u64 {
    let (mut bytes, mut rest) = (0, json);
    while let [first, behind @ ..] = rest {
        let (counts, taken) = match (first, behind.first()) {
            (b'\\', Some(b'n' | b't' | b'r' | b'b' | b'f')) => (false, 2),
            // One character, of which nothing more is known.
            (b'\\', Some(b'u')) => (true, 6),
            (b'\\', _) => (true, 2),
            (b'"', _) => (false, 1),
            (byte, _) => (!byte.is_ascii_whitespace(), 1),
        };
        bytes += usize::from(counts);
        rest = rest.get(taken..).unwrap_or_default();
    }
    (bytes / BYTES_PER_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn needs(fields: Value) -> Needs {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap().needs(Some(0))
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
            (parts(json!("\"type\":\"image_url\"")), Needs { tokens: 2, ..none }),
            (parts(json!([5, "x"])), none),
        ] {
            assert_eq!(needs(fields.clone()), expected, "{fields}");
        }
    }

    #[test]
    fn a_text_that_surely_fits_is_not_counted() {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(8000) }] })
            .to_string();
        let ask = Ask::parse(Endpoint::Chat, body.into()).unwrap();
        assert_eq!([None, Some(2000), Some(999)].map(|window| ask.needs(window).tokens), [0, 0, 1000]);
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
