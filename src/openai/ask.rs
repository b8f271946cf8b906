//! A client's request: the fields that Weir reads, the rest verbatim.

use std::{ops::Range, sync::OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    check, contents::Contents, edit::Edits, fields::Fields, fold::Passage, stretch::Stretch, turns::Turns,
};

/// What a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    #[default]
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
}

/// A field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// The field, like `messages[2].role`; `None` where the body as a whole is at fault.
    pub param: Option<String>,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// A request that was read and found well-formed.
#[derive(Clone, Debug)]
pub struct Ask {
    endpoint: Endpoint,
    /// Checked once to be text: a picture makes that long.
    body: ByteString,
    model: String,
    models: Vec<String>,
    stream: bool,
    include_usage: bool,
    turns: Turns,
    /// Boxed: there are many, and a request changes hands often.
    fields: Box<Fields>,
    /// Its long texts.
    long: Vec<Stretch>,
    /// What it gives the model to read, texts not counted, once somebody asked: a picture makes that long.
    contents: OnceLock<Contents>,
}

impl Ask {
    /// Reads a body.
    ///
    /// # Errors
    /// The first field at fault, with what would be right.
    pub fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, BadField> {
        let text = ByteString::try_from(body.clone());
        let found = check::read(endpoint, text.as_deref().map_err(|_| &body[..]))?;
        let known = check::known(endpoint, &body, &found.fields, &found.turns)?;
        // The careful reader takes nothing but text either.
        let body = text.map_err(|_| not_text())?;
        Ok(Self {
            endpoint,
            body,
            model: known.model,
            models: known.models,
            stream: known.stream,
            include_usage: known.include_usage,
            turns: found.turns,
            fields: found.fields,
            long: found.long,
            contents: OnceLock::new(),
        })
    }

    /// What is asked for.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The body as the client sent it.
    pub fn body(&self) -> &Bytes {
        self.body.as_bytes()
    }

    /// The name in `model`.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The client's own ordered list in `models`; empty if it sent none.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Whether the answer is to come as a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the client wants to see a stream's usage.
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// Where each field stands in the body.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// What it gives the model to read; texts are not counted, and a chat of texts alone is not looked through: its
    /// body's length says all.
    pub(super) fn contents(&self) -> &Contents {
        let look = || if self.looks_deep() { Contents::of(self, false) } else { Contents::default() };
        self.contents.get_or_init(look)
    }

    /// The same request, made to tell a stream's usage whether the client wants to see it or not.
    pub fn telling_usage(&self) -> Self {
        if !self.stream || self.include_usage {
            return self.clone();
        }
        let mut edits = Edits::default();
        self.ask_for_usage(&mut edits);
        // What was read before is read again with one harmless field more.
        Self::parse(self.endpoint, self.edited(edits)).unwrap_or_else(|_| self.clone())
    }

    /// The names of the fields that the client sent with a value other than `null`.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        let is_null = |name: &&str| {
            self.fields.get(name).is_some_and(|place| &self.body[place.value.clone()] == "null")
        };
        self.fields.names().filter(move |name| !is_null(name))
    }

    /// Whether some message consists of parts rather than of one text.
    pub fn has_parts(&self) -> bool {
        self.turns.parts
    }

    /// Whether some message may call a tool, or be what came of a call.
    pub fn may_call(&self) -> bool {
        self.turns.may_call()
    }

    /// What its messages are.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The JSON text that stands at a place.
    pub(super) fn at(&self, place: Range<usize>) -> Option<&str> {
        self.body.get(place)
    }

    /// The JSON text of a field; `None` where it is absent or null.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.json(name).map(str::as_bytes)
    }

    /// The JSON text of a field as text.
    pub(super) fn json(&self, name: &str) -> Option<&str> {
        let raw = self.body.get(self.fields.get(name)?.value.clone())?;
        (raw != "null").then_some(raw)
    }

    /// The value that begins at a place of the body, to be looked through once more.
    pub(super) fn passage(&self, at: usize) -> Passage<'_> {
        Passage { text: &self.body, at, known: &self.long }
    }

    /// The messages, if there are any, to be looked through once more.
    pub(super) fn messages(&self) -> Option<Passage<'_>> {
        self.json("messages")?;
        Some(self.passage(self.fields.messages.as_ref()?.value.start))
    }

    /// The body save the insides of long texts, of which the first and the last `edge` bytes come too.
    pub(super) fn outline(&self, edge: usize) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.long.iter().map(move |long| long.end - edge));
        let ends = self.long.iter().map(move |long| long.start + edge).chain([self.body.len()]);
        begins.zip(ends).map(|(begin, end)| &self.body().as_ref()[begin..end])
    }

    /// Whether the field stands in the body, if only as null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some()
    }

    /// Whether the client sent the field, under any of its names.
    pub fn says(&self, name: &str) -> bool {
        match name {
            "max_tokens" | "max_completion_tokens" => {
                self.fields.max_tokens.is_some() || self.fields.max_completion_tokens.is_some()
            }
            _ => self.fields.get(name).is_some(),
        }
    }
}

/// The fault of a body that is no text.
fn not_text() -> BadField {
    BadField { param: None, message: "The body is not a valid JSON request: it is not UTF-8.".to_owned() }
}

/// A text as a JSON string.
pub fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a text always serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Ask {
        Ask::parse(Endpoint::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn what_is_known_of_long_texts_changes_nothing(
            texts in proptest::collection::vec(
                (0..6_usize, "[A-Za-z0-9+/]{0,3}|data:image/png;base64,[A-Z]|data:text/plain,a|[a-z \"\\\\]{0,4}|\"cache_control", 0..9_usize), 1..6,
            ),
        ) {
            let messages: Vec<_> = texts.iter().map(|(kind, text, more)| {
                let text = format!("{text}{}", if more % 2 == 0 { "Ab9/" } else { "a b\n" }.repeat(more * 150));
                match kind {
                    0 => serde_json::json!({ "role": "user", "content": text }),
                    1 => serde_json::json!({ "role": "user", "content": [{ "type": "text", "text": text }] }),
                    2 => serde_json::json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": text } }] }),
                    3 => serde_json::json!({ "role": "user", "content": [{ "type": "file", "file": { "file_data": text } }, text] }),
                    4 => serde_json::json!({ "role": "assistant", "content": text, "tool_calls": [{ "id": text }] }),
                    _ => serde_json::json!({ "role": "assistant", "content": null, "images": [{ "url": text }] }),
                }
            }).collect();
            let ask = chat(&serde_json::json!({ "model": "m", "messages": messages }).to_string());
            let blind = Ask { long: Vec::new(), contents: OnceLock::new(), ..ask.clone() };
            let told = |ask: &Ask| {
                let per = super::super::Attachment { picture: 1_000_000, file: 100_000_000 };
                let talk = ask.talk(std::hash::DefaultHasher::new());
                format!("{:?} {:?} {:?} {talk:?}", ask.bounds(&[], None, &per), ask.needs(Some(1)), ask.question())
            };
            proptest::prop_assert!(told(&ask) == told(&blind));
        }
    }
}
