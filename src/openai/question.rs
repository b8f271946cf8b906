//! What a request asks last, in the shape of all that comes with it.

use std::{borrow::Cow, ops::Range};

use super::{
    ask::{Ask, Endpoint},
    fields::Place,
    fold::{self, Fold, Value},
    scan::Fault,
};

/// The last question of a request, the size of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question<'a> {
    /// The text of the last message of the user, or of the prompt.
    pub text: Cow<'a, str>,
    /// Messages of the user.
    pub turns: usize,
    /// Bytes of the messages of the system and the developer.
    pub system_bytes: usize,
    /// Bytes of the request save those of pictures, sounds, files.
    pub bytes: usize,
    /// Functions that the model may call.
    pub tools: usize,
    /// Pictures.
    pub images: usize,
    /// An answer in a JSON schema is asked for.
    pub schema: bool,
    /// The most tokens of the answer.
    pub max_tokens: Option<u64>,
}

impl Ask {
    /// What is asked last.
    pub fn question(&self) -> Question<'_> {
        let contents = self.contents();
        let mut question = Question {
            bytes: self.body().len().saturating_sub(usize::try_from(contents.opaque).unwrap_or(usize::MAX)),
            images: usize::try_from(contents.pictures).unwrap_or(usize::MAX),
            schema: self.wants_schema(),
            max_tokens: self.number("max_completion_tokens").or_else(|| self.number("max_tokens")),
            ..Question::default()
        };
        for name in ["tools", "functions"] {
            let mut count = Count(0);
            self.json(name).map(|raw| fold::value(raw, &mut count));
            question.tools += count.0;
        }
        match self.endpoint() {
            Endpoint::Chat => {
                let turns = self.turns();
                question.turns = turns.user;
                question.system_bytes = turns.system_bytes;
                let last = turns.last.as_ref();
                question.text = last.map(|place| self.text(place.clone())).unwrap_or_default();
            }
            Endpoint::Completions => self.one_text(&self.fields().prompt, &mut question),
            Endpoint::Embeddings => self.one_text(&self.fields().input, &mut question),
        }
        question
    }

    fn one_text<'a>(&'a self, place: &Option<Place>, question: &mut Question<'a>) {
        question.turns = 1;
        question.text = place.as_ref().map(|place| self.text(place.value.clone())).unwrap_or_default();
    }

    /// The text of a message's content, which may be in parts; other things have none.
    fn text(&self, place: Range<usize>) -> Cow<'_, str> {
        let content = self.at(place.clone()).unwrap_or_default();
        match content.as_bytes().first() {
            Some(b'"') => fold::text(content).unwrap_or_default(),
            Some(b'[') => {
                let mut texts = Texts(Cow::Borrowed(""));
                self.passage(place.start).fold(&mut texts);
                texts.0
            }
            _ => Cow::default(),
        }
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.json(name)?.parse().ok()
    }
}

struct Count(usize);

impl<'de> Fold<'de> for Count {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        self.0 += 1;
        value.ignore()
    }
}

/// The texts of parts, one a paragraph.
struct Texts<'de>(Cow<'de, str>);

impl<'de> Texts<'de> {
    fn add(&mut self, text: Cow<'de, str>) {
        if self.0.is_empty() {
            self.0 = text;
        } else {
            let all = self.0.to_mut();
            all.push('\n');
            all.push_str(&text);
        }
    }
}

impl<'de> Fold<'de> for Texts<'de> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut part = Part(None);
        let (_, raw) = value.try_fold(&mut part)?;
        if raw.starts_with('"') {
            part.0 = fold::text(raw);
        }
        if let Some(text) = part.0 {
            self.add(text);
        }
        Ok(())
    }
}

struct Part<'de>(Option<Cow<'de, str>>);

impl<'de> Fold<'de> for Part<'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "text" => self.0 = fold::text(value.raw()?),
            _ => value.ignore()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with<T>(endpoint: Endpoint, body: &Value, look: impl FnOnce(Question<'_>) -> T) -> T {
        look(Ask::parse(endpoint, body.to_string().into()).unwrap().question())
    }

    #[test]
    fn the_last_message_of_the_user_is_the_question() {
        let body = json!({ "model": "auto", "max_tokens": 5, "messages": [
            { "role": "system", "content": "Be kind." },
            { "role": "user", "content": "first" },
            { "role": "assistant", "content": "yes" },
            { "role": "user", "content": [{ "type": "text", "text": "a \"b\"" }, { "type": "text", "text": "c" }] },
            { "role": "assistant", "content": "and" },
        ], "tools": [{ "type": "function", "function": { "name": "f" } }] });
        with(Endpoint::Chat, &body, |question| {
            assert_eq!(question.text, "a \"b\"\nc");
            assert_eq!((question.turns, question.system_bytes, question.tools), (2, 10, 1));
            assert_eq!((question.max_tokens, question.schema, question.images), (Some(5), false, 0));
        });
    }

    #[test]
    fn pictures_are_counted_without_their_bytes() {
        let url = format!("data:image/png;base64,{}", "QUJD".repeat(10_000));
        let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "what is it" }, { "type": "image_url", "image_url": { "url": url } }] }],
            "response_format": { "type": "json_schema", "json_schema": { "name": "a" } } });
        with(Endpoint::Chat, &body, |question| {
            assert_eq!((question.text.as_ref(), question.images, question.schema), ("what is it", 1, true));
            assert!(question.bytes < 1000, "{}", question.bytes);
        });
    }

    #[test]
    fn the_older_endpoints_have_one_text() {
        let of = |endpoint, body: Value| with(endpoint, &body, |question| question.text.into_owned());
        assert_eq!(of(Endpoint::Completions, json!({ "model": "m", "prompt": "once" })), "once");
        assert_eq!(of(Endpoint::Completions, json!({ "model": "m", "prompt": ["a", "b"] })), "a\nb");
        assert_eq!(of(Endpoint::Completions, json!({ "model": "m", "prompt": [1, 2] })), "");
        assert_eq!(of(Endpoint::Embeddings, json!({ "model": "m", "input": "x" })), "x");
    }
}
