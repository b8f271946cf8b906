//! What a request can cost at most, in tokens.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{
    ask::{Ask, Endpoint},
    contents::Contents,
};

/// The most tokens that what is no text can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// A picture.
    pub picture: u64,
    /// A file, or something to hear or watch.
    pub file: u64,
}

/// What a request can take at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tokens that the model reads, at most.
    pub input: u64,
    /// How many answers are made: 0 for embeddings.
    pub answers: u64,
    /// The most tokens of each answer, as far as the request says it.
    pub limit: Option<u64>,
    /// Tokens that may be billed as output beside each answer: a prediction that was not met.
    pub extra_output: u64,
    /// It has something to hear.
    pub audio_input: bool,
    /// It wants to hear something.
    pub audio_output: bool,
    /// It asks for its prompt to be cached, which costs more than reading it.
    pub cache_control: bool,
}

/// What the older endpoint answers at most where nothing is said.
pub(super) const COMPLETION: u64 = 16;

/// The most tokens that a provider puts before tools: Anthropic up to 530.
pub(super) const TOOLS_PREAMBLE: u64 = 600;

/// What is put around a message or an input, at most, in tokens.
pub(super) const FRAME: u64 = 16;

/// Settings of Gemini's for a prompt that it keeps.
const KEPT_PROMPT: [&str; 2] = ["cached_content", "cachedContent"];

impl Ask {
    /// What the request can take at most, with what the gateway itself puts in. A token is at least a byte, so that
    /// nothing has to be cut into tokens; bodies with parts are looked through once.
    pub fn bounds(
        &self,
        defaults: &[(String, String)],
        system_prefix: Option<&str>,
        per: &Attachment,
    ) -> Bounds {
        let said = Said { ask: self, defaults };
        let contents = self.contents();
        let own = match self.endpoint() {
            Endpoint::Chat => (self.body().len() as u64).saturating_sub(contents.opaque),
            Endpoint::Completions | Endpoint::Embeddings => contents.most + FRAME * contents.messages,
        };
        let input =
            own.saturating_add(contents.attached(per)).saturating_add(said.beside(system_prefix, per));
        Bounds {
            input,
            answers: said.answers(),
            limit: said.limit(),
            extra_output: said.json("prediction").map_or(0, |raw| raw.len() as u64),
            audio_input: contents.audio,
            audio_output: said.wants_audio(),
            cache_control: said.caches(),
        }
    }

    /// Whether the body's length alone does not tell how much there is to read.
    pub(super) fn looks_deep(&self) -> bool {
        self.endpoint() != Endpoint::Chat || self.turns().may_show()
    }
}

/// What is said by the client, or where it is silent by the route.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) ask: &'a Ask,
    pub(super) defaults: &'a [(String, String)],
}

impl<'a> Said<'a> {
    /// The defaults that count.
    fn wishes(self) -> impl Iterator<Item = &'a (String, String)> {
        let none = self.ask.endpoint() == Endpoint::Embeddings;
        self.defaults.iter().filter(move |(name, _)| !none && !self.ask.says(name))
    }

    /// The JSON of a field.
    fn json(self, name: &str) -> Option<&'a [u8]> {
        let wish = || self.wishes().find(|(known, _)| known == name).map(|(_, json)| json.as_bytes());
        self.ask.field(name).or_else(wish)
    }

    fn number(self, name: &str) -> Option<u64> {
        serde_json::from_slice(self.json(name)?).ok()
    }

    fn answers(self) -> u64 {
        let n = self.number("n").unwrap_or(1);
        match self.ask.endpoint() {
            Endpoint::Chat => n,
            Endpoint::Completions => {
                let each = n.max(self.number("best_of").unwrap_or(1));
                each.saturating_mul(Contents::prompts(self.ask))
            }
            Endpoint::Embeddings => 0,
        }
    }

    fn limit(self) -> Option<u64> {
        match self.ask.endpoint() {
            Endpoint::Chat => self.number("max_completion_tokens").max(self.number("max_tokens")),
            Endpoint::Completions => Some(self.number("max_tokens").unwrap_or(COMPLETION)),
            Endpoint::Embeddings => None,
        }
    }

    fn wants_audio(self) -> bool {
        let kinds = self.json("modalities").unwrap_or_default();
        self.json("audio").is_some() || kinds.windows(7).any(|text| text == b"\"audio\"")
    }

    fn caches(self) -> bool {
        const MARK: &str = r#""cache_control""#;
        static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(MARK));
        // It ends with a quote: in a text it can only stand at the end.
        self.ask.outline(MARK.len()).any(|part| FINDER.find(part).is_some())
            || self.wishes().any(|(name, json)| name == "cache_control" || json.contains(MARK))
    }

    /// The most tokens of what is read beside the client's own text.
    pub(super) fn beside(self, system_prefix: Option<&str>, per: &Attachment) -> u64 {
        let is_chat = self.ask.endpoint() == Endpoint::Chat;
        let prefix = system_prefix.filter(|_| is_chat).map_or(0, |text| text.len() as u64 + FRAME);
        let texts = self.wishes().filter(|(_, json)| json.starts_with(['"', '[', '{']));
        let wishes: u64 = texts.map(|(name, json)| (name.len() + json.len()) as u64).sum();
        let tools = ["tools", "functions"].iter().any(|name| self.json(name).is_some());
        let kept = KEPT_PROMPT.iter().any(|name| self.json(name).is_some());
        let more = prefix + wishes + if tools { TOOLS_PREAMBLE } else { 0 };
        more.saturating_add(if kept { per.file } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::base::tokens;

    const PER: Attachment = Attachment { picture: 1000, file: 9000 };

    fn chat(fields: Value) -> Ask {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap()
    }

    fn parts(parts: Value) -> Ask {
        chat(json!({ "messages": [{ "role": "user", "content": parts }] }))
    }

    fn of(ask: &Ask) -> Bounds {
        ask.bounds(&[], None, &PER)
    }

    fn other(endpoint: Endpoint, body: Value) -> Bounds {
        of(&Ask::parse(endpoint, body.to_string().into()).unwrap())
    }

    #[test]
    fn pictures_count_by_number_whatever_their_size() {
        let data = "QUJD".repeat(50_000);
        let picture =
            json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } });
        let sound = json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } });
        let file = json!({ "type": "file", "file": { "file_id": "f" } });
        let remote = json!({ "type": "image_url", "image_url": "https://x/y.png" });
        let own = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } });
        let text = json!({ "type": "text", "text": "look" });
        for (list, least) in [
            (json!([text, picture]), 1000),
            (json!([picture, picture, remote]), 3000),
            (json!([sound]), 9000),
            (json!([file, text]), 9000),
            (json!([own]), 1000),
        ] {
            let ask = parts(list.clone());
            let bounds = of(&ask);
            assert!((least..least + 500).contains(&bounds.input), "{list:.80}: {bounds:?}");
            assert_eq!(bounds.audio_input, list[0]["type"] == "input_audio");
            assert!(ask.tight_bound(&[], None, &PER) <= bounds.input);
        }
        let drawn = json!({ "messages": [{ "role": "assistant", "content": "x", "images": [picture] }] });
        assert!((1000..1500).contains(&of(&chat(drawn)).input));
    }

    #[test]
    fn what_may_be_text_counts_by_its_bytes() {
        let words = "one two ".repeat(5000);
        let plain = |source: Value| parts(json!([{ "type": "document", "source": source }]));
        for source in [
            json!({ "type": "text", "media_type": "text/plain", "data": words }),
            json!({ "type": "text", "data": "words".repeat(8000) }),
            json!({ "type": "base64", "data": format!("data:text/plain;base64,{}", "QUJD".repeat(10_000)) }),
            json!({ "type": "url", "data": words }),
        ] {
            let ask = plain(source);
            assert!(of(&ask).input >= 49_000);
            assert!(ask.tight_bound(&[], None, &PER) >= 40_000);
        }
        let twice =
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","type":"text"}]}]}"#;
        assert!(of(&Ask::parse(Endpoint::Chat, twice.into()).unwrap()).input >= 1000);
        // A picture's name on a text changes nothing.
        assert!(of(&parts(json!([{ "type": "text", "text": "QUJD".repeat(10_000) }]))).input >= 40_000);
        let odd =
            r#"{"model":"m","messages":[{"role":"user","x":1e400,"content":[1e400,{"type":"image_url"}]}]}"#;
        assert!(of(&Ask::parse(Endpoint::Chat, odd.into()).unwrap()).input >= 1000);
    }

    #[test]
    fn the_answers_are_read_from_the_fields() {
        let none = Bounds { answers: 1, ..Bounds::default() };
        for (fields, expected) in [
            (json!({}), none),
            (json!({ "n": 3, "max_tokens": 7 }), Bounds { answers: 3, limit: Some(7), ..none }),
            (json!({ "max_tokens": 7, "max_completion_tokens": 9 }), Bounds { limit: Some(9), ..none }),
            (json!({ "max_tokens": null }), none),
            (json!({ "modalities": ["text", "audio"] }), Bounds { audio_output: true, ..none }),
            (json!({ "cache_control": { "type": "ephemeral" } }), Bounds { cache_control: true, ..none }),
            (json!({ "prediction": "12345678" }), Bounds { extra_output: 10, ..none }),
        ] {
            let ask = chat(fields.clone());
            let bounds = of(&ask);
            assert_eq!(bounds, Bounds { input: ask.body().len() as u64, ..expected }, "{fields}");
        }
        let defaults =
            [("max_tokens", "5"), ("n", "2")].map(|(name, json)| (name.to_owned(), json.to_owned()));
        let limit = |fields| chat(fields).bounds(&defaults, None, &PER);
        assert_eq!((limit(json!({})).limit, limit(json!({})).answers), (Some(5), 2));
        assert_eq!(limit(json!({ "max_completion_tokens": 9 })).limit, Some(9));
    }

    #[test]
    fn the_older_endpoints_have_their_own_rules() {
        let completion = |fields: Value| {
            let mut body = json!({ "model": "m", "prompt": "hello" });
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let bounds = other(Endpoint::Completions, body);
            (bounds.input, bounds.answers, bounds.limit)
        };
        assert_eq!(completion(json!({})), (7 + 16, 1, Some(16)));
        assert_eq!(completion(json!({ "n": 2, "best_of": 5, "max_tokens": 99 })), (23, 5, Some(99)));
        assert_eq!(completion(json!({ "prompt": ["a", "b"], "n": 2 })), (6 + 32, 4, Some(16)));
        assert_eq!(completion(json!({ "prompt": [1, 2, 3] })), (3, 1, Some(16)));
        assert_eq!(completion(json!({ "prompt": [[1, 2, 3], [100_000]] })), (4, 2, Some(16)));
        let embedding = |input: Value| {
            let bounds = other(Endpoint::Embeddings, json!({ "model": "m", "input": input }));
            (bounds.input, bounds.answers, bounds.limit)
        };
        assert_eq!(embedding(json!("abc")), (5 + 16, 0, None));
        assert_eq!(embedding(json!([[1, 2], [3], "abc"])), (3 + 21, 0, None));
    }

    fn texts() -> impl Strategy<Value = String> {
        "([a-z]{1,12}[ \n]?|\\PC|[\u{0}-\u{1f}]|[一-鿿]){0,60}"
    }

    proptest! {
        #[test]
        fn no_text_has_more_tokens_than_the_bound(
            system in texts(), user in texts(), second in texts(), thought in texts(), arguments in texts(),
            result in texts(), name in texts(), prefix in texts(), wish in texts(), in_parts: bool,
        ) {
            let said = if in_parts { json!([{"type": "text", "text": user}, {"type": "refusal", "refusal": second}]) }
                else { json!(format!("{user}{second}")) };
            let tools = json!([{"type": "function", "function": {"name": "f", "description": result}}]);
            let ask = chat(json!({ "messages": [
                { "role": "system", "content": system }, { "role": "user", "name": name, "content": said },
                { "role": "assistant", "content": null, "reasoning_content": thought, "refusal": name, "tool_calls": [
                    { "id": "c", "type": "function", "function": { "name": name, "arguments": arguments } }] },
                { "role": "tool", "tool_call_id": "c", "content": result },
            ], "tools": tools }));
            let defaults = [("instructions".to_owned(), json!(wish).to_string())];
            let texts = [&system, &user, &second, &thought, &arguments, &result, &result, &name, &name, &name, &prefix, &wish];
            let real: usize = texts.iter().map(|text| tokens::count(text)).sum::<usize>() + 4 * 5 + 3;
            let bound = ask.bounds(&defaults, Some(&prefix), &PER).input;
            let tight = ask.tight_bound(&defaults, Some(&prefix), &PER);
            prop_assert!(real as u64 <= tight && tight <= bound, "{real} {tight} {bound}");
            let bare = tokens::count(&prefix) + tokens::count(&wish);
            let counted = ask.count_input(None, &PER);
            prop_assert!(counted >= (real - bare) as u64 - 4 && counted <= tight);
        }
    }
}
