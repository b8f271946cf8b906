//! Under what an answer is kept: everything that decides it, byte for byte.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use sha2::{Digest as _, Sha256};

use crate::openai::{
    Ask, Endpoint,
    fields::{Fields, Place},
};

/// Who shares an answer. There is no key without one, so no answer crosses by oversight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant<'a> {
    /// Whoever needs no key, where nobody does.
    Open,
    /// One virtual key, by its name, with who holds it: names are given again.
    Key(&'a str, &'a [u8; 16]),
    /// All keys that have this value of this tag.
    Tag(&'a str, &'a str),
    /// Everybody.
    Global,
}

/// What is asked: a route, say, with the state of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the name is the name of: `route`, `model`, `pinned`.
    pub kind: &'static str,
    /// The name.
    pub name: &'a str,
    /// Stands for everything in the configuration that shapes its answers; another one after a change.
    pub epoch: Epoch,
}

/// A fingerprint of the part of a configuration that an entry's answers depend on.
pub type Epoch = [u8; 32];

/// Under what an answer is kept: a SHA-256 hash, so that no two questions share one. Of the hashes that are safe for that it
/// is the fastest for short questions where processors have instructions for it, as nearly all servers do; of long parts,
/// pictures say, it takes in their BLAKE3 hash, which is four times as fast there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Hash for Key {
    /// A part is enough for a place in a table: nobody can make many keys that begin alike.
    fn hash<S: Hasher>(&self, state: &mut S) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Key {
    /// The key of a question: `fallback` says whether the routes behind the entries may answer it.
    pub fn of<'a>(
        tenant: Tenant<'_>,
        entries: impl ExactSizeIterator<Item = Entry<'a>>,
        fallback: bool,
        ask: &Ask,
    ) -> Self {
        let mut parts = Parts::default();
        parts.put(b"weir answer 3");
        let (kind, name, value): (&str, &str, &[u8]) = match tenant {
            Tenant::Open => ("open", "", b""),
            Tenant::Key(name, holder) => ("key", name, holder),
            Tenant::Tag(name, value) => ("tag", name, value.as_bytes()),
            Tenant::Global => ("global", "", b""),
        };
        [kind.as_bytes(), name.as_bytes(), value].into_iter().for_each(|part| parts.put(part));
        parts.count(entries.len());
        for entry in entries {
            parts.put(entry.kind.as_bytes());
            parts.put(entry.name.as_bytes());
            parts.put(&entry.epoch);
        }
        parts.put(&[fallback.into()]);
        parts.put(match ask.endpoint() {
            Endpoint::Chat => b"chat",
            Endpoint::Completions => b"completions",
            Endpoint::Embeddings => b"embeddings",
        });
        parts.fields(ask);
        Self(parts.0.finalize().into())
    }

    /// The same key for those alone who wish for the same; `wishes` are told apart part by part.
    #[must_use]
    pub fn among<'a>(&self, wishes: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut parts = Parts::default();
        parts.put(&self.0);
        wishes.into_iter().for_each(|wish| parts.put(wish));
        Self(parts.0.finalize().into())
    }
}

/// How many of the known fields decide an answer.
const DECIDING: usize = 32;

/// Parts of so many bytes are hashed by themselves, in blocks beside each other.
const LONG: usize = 16 * 1024;

/// A hash over parts, each with its length before it: no part can be written so that it looks like two.
#[derive(Default)]
pub struct Parts(Sha256);

impl Parts {
    /// The next part; of a long one its own hash. Its length tells which it is.
    pub fn put(&mut self, part: &[u8]) {
        self.count(part.len());
        match part.len() < LONG {
            true => self.0.update(part),
            false => self.0.update(blake3::hash(part).as_bytes()),
        }
    }

    /// The fingerprint of all parts.
    pub fn finish(self) -> Epoch {
        self.0.finalize().into()
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    /// The fields that decide an answer, in the client's own bytes. Taken apart by name, so that a field that becomes
    /// known has to be decided on before this builds.
    fn fields(&mut self, ask: &Ask) {
        #[rustfmt::skip]
        let Fields {
            audio, best_of, dimensions, echo, encoding_format, frequency_penalty, function_call, functions, input,
            logit_bias, logprobs, max_completion_tokens, max_tokens, messages, modalities, n, parallel_tool_calls,
            prediction, presence_penalty, prompt, reasoning_effort, response_format, seed, stop, suffix, temperature,
            tool_choice, tools, top_logprobs, top_p, verbosity, web_search_options,
            // Not what is asked, only how it is told, billed or filed.
            metadata: _, prompt_cache_key: _, safety_identifier: _, service_tier: _, store: _, stream: _,
            stream_options: _, user: _,
            // The entries stand for those.
            model: _, models: _,
            unknown,
        } = ask.fields();
        #[rustfmt::skip]
        let deciding: [&Option<Place>; DECIDING] = [
            audio, best_of, dimensions, echo, encoding_format, frequency_penalty, function_call, functions, input,
            logit_bias, logprobs, max_completion_tokens, max_tokens, messages, modalities, n, parallel_tool_calls,
            prediction, presence_penalty, prompt, reasoning_effort, response_format, seed, stop, suffix, temperature,
            tool_choice, tools, top_logprobs, top_p, verbosity, web_search_options,
        ];
        // Which of them there are comes first: absent is another thing than null, and than any value.
        const { assert!(DECIDING <= u64::BITS as usize) };
        let bit = |at: usize, field: &Option<Place>| u64::from(field.is_some()) << at;
        let there = deciding.iter().enumerate().fold(0, |there, (at, field)| there | bit(at, field));
        self.0.update(there.to_le_bytes());
        for place in deciding.into_iter().flatten() {
            self.put(&ask.body()[place.value.clone()]);
        }
        let mut unknown: Vec<_> = unknown.iter().collect();
        // Their order says nothing.
        unknown.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.count(unknown.len());
        for (name, place) in unknown {
            self.put(name.as_bytes());
            self.put(&ask.body()[place.value.clone()]);
        }
    }
}

/// Whether the same question gets the same answer, as far as models can: at temperature 0, or with a seed. Vectors
/// always do.
pub fn is_deterministic(ask: &Ask) -> bool {
    let zero = |raw: &[u8]| {
        std::str::from_utf8(raw)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .is_some_and(|value| value == 0.0)
    };
    ask.endpoint() == Endpoint::Embeddings
        || ask.field("temperature").is_some_and(zero)
        || ask.field("seed").is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry(name: &str) -> Entry<'_> {
        Entry { kind: "route", name, epoch: [7; 32] }
    }

    fn parse(body: &str) -> Ask {
        Ask::parse(Endpoint::Chat, bytes::Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn of(body: &str) -> Key {
        Key::of(Tenant::Key("bot", &[7; 16]), [entry("r")].into_iter(), true, &parse(body))
    }

    /// A body with every known field, each with a value that Weir takes.
    fn full() -> serde_json::Map<String, Value> {
        let body: Value = serde_json::from_str(
            r#"{
            "audio": { "voice": "a" }, "best_of": 1, "dimensions": 8, "echo": false, "encoding_format": "float",
            "frequency_penalty": 0.5, "function_call": "auto", "functions": [{ "name": "f" }], "input": "i",
            "logit_bias": { "1": 2 }, "logprobs": true, "max_completion_tokens": 9, "max_tokens": 9,
            "messages": [{ "role": "user", "content": "hi" }], "metadata": { "a": "b" }, "modalities": ["text"],
            "model": "r", "models": ["r"], "n": 1, "parallel_tool_calls": true, "prediction": { "content": "p" },
            "presence_penalty": 0.5, "prompt": "p", "prompt_cache_key": "k", "reasoning_effort": "low",
            "response_format": { "type": "text" }, "safety_identifier": "s", "seed": 1, "service_tier": "auto",
            "stop": ["x"], "store": false, "stream": true, "stream_options": { "include_usage": true },
            "suffix": "s", "temperature": 0.5, "tool_choice": "auto",
            "tools": [{ "type": "function", "function": { "name": "f" } }], "top_logprobs": 2, "top_p": 0.5,
            "user": "u", "verbosity": "low", "web_search_options": {}, "unknown": 1
        }"#,
        )
        .unwrap();
        body.as_object().unwrap().clone()
    }

    /// Another value of a field that Weir takes too.
    fn other(name: &str, value: &Value) -> Value {
        match (name, value) {
            ("messages", _) => json!([{ "role": "user", "content": "Hi" }]),
            ("tools", _) => json!([{ "type": "function", "function": { "name": "g" } }]),
            ("functions", _) => json!([{ "name": "g" }]),
            ("stream", _) => json!(false),
            ("stream_options", _) => json!({ "include_usage": false }),
            ("models", _) => json!(["q"]),
            ("logit_bias", _) => json!({ "1": 3 }),
            ("modalities", _) => json!(["text", "audio"]),
            (_, Value::Bool(is)) => json!(!is),
            (_, Value::Number(number)) => json!(number.as_f64().unwrap() * 2.0 + 1.0)
                .as_f64()
                .map_or(json!(3), |n| if number.is_f64() { json!(0.25) } else { json!(n as u64) }),
            (_, Value::String(text)) => json!(format!("{text}{text}")),
            (_, Value::Object(object)) if object.is_empty() => json!({ "x": "y" }),
            (_, Value::Object(object)) => {
                let mut object = object.clone();
                let first = object.values_mut().next().unwrap();
                *first = json!("other");
                Value::Object(object)
            }
            _ => json!(["other"]),
        }
    }

    const NOT_DECIDING: [&str; 10] = [
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
        "model",
        "models",
    ];

    #[test]
    fn each_field_decides_or_does_not() {
        let full = full();
        let ask = parse(&Value::Object(full.clone()).to_string());
        let sent: HashSet<&str> = ask.fields().names().collect();
        let known = Fields::KNOWN.iter().copied().filter(|name| !sent.contains(name));
        assert_eq!(known.collect::<Vec<_>>(), [""; 0], "the body of this test has every known field");
        let before = of(&Value::Object(full.clone()).to_string());
        for (name, value) in &full {
            let mut flipped = full.clone();
            flipped.insert(name.clone(), other(name, value));
            assert_ne!(&flipped[name], value, "{name}");
            let mut without = full.clone();
            without.remove(name);
            let decides = !NOT_DECIDING.contains(&&**name);
            assert_eq!(of(&Value::Object(flipped).to_string()) != before, decides, "{name}");
            if !["model", "messages", "stream"].contains(&&**name) {
                assert_eq!(of(&Value::Object(without).to_string()) != before, decides, "without {name}");
            }
        }
    }

    #[test]
    fn a_field_that_is_not_known_counts() {
        let base = r#"{"model":"r","messages":[{"role":"user"}]"#;
        let bodies = [
            format!("{base}}}"),
            format!(r#"{base},"top_k":1}}"#),
            format!(r#"{base},"top_k":2}}"#),
            format!(r#"{base},"top_k":null}}"#),
            format!(r#"{base},"min_p":1}}"#),
            format!(r#"{base},"top_k":1,"min_p":1}}"#),
        ];
        let keys: HashSet<Key> = bodies.iter().map(|body| of(body)).collect();
        assert_eq!(keys.len(), bodies.len());
        assert_eq!(of(&format!(r#"{base},"a":1,"b":2}}"#)), of(&format!(r#"{base},"b":2,"a":1}}"#)));
    }

    #[test]
    fn texts_count_to_the_byte() {
        let texts = ["hi", "Hi", "hi ", " hi", "h\\u0069", "hı", "hі", "hi\\n", "HI", ""];
        let keys: HashSet<Key> = texts
            .iter()
            .map(|text| of(&format!(r#"{{"model":"r","messages":[{{"role":"user","content":"{text}"}}]}}"#)))
            .collect();
        assert_eq!(keys.len(), texts.len());
    }

    #[test]
    fn long_texts_count_to_the_byte() {
        for length in [LONG - 200, LONG - 100, LONG, 3 * LONG] {
            let of = |text: &str| {
                of(&format!(r#"{{"model":"r","messages":[{{"role":"user","content":"{text}"}}]}}"#))
            };
            let (text, other) = ("x".repeat(length), format!("{}y", "x".repeat(length - 1)));
            let keys = [of(&text), of(&other), of(&text[1..]), of(&format!("x{text}"))];
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "{length}");
            assert_eq!(of(&text), keys[0]);
        }
    }

    #[test]
    fn where_a_field_stands_says_nothing() {
        let a = r#"{"model":"r","seed":1,"messages":[{"role":"user"}]}"#;
        let b = r#"{ "messages" : [{"role":"user"}] , "seed" : 1, "model":"other" }"#;
        assert_eq!(of(a), of(b));
    }

    #[test]
    fn no_tenant_can_be_written_as_another() {
        let ask = parse(r#"{"model":"r","messages":[{"role":"user"}]}"#);
        let names = ["", "a", "b", "a\0b", "a=b", "key", "tag", "global", "open", "a\u{0}", "а", "A", "a "];
        let mut keys = HashMap::new();
        let mut seen = |tenant: Tenant<'_>| {
            let key = Key::of(tenant, [entry("r")].into_iter(), true, &ask);
            let before = keys.insert(key, format!("{tenant:?}"));
            assert_eq!(before, None, "{tenant:?}");
        };
        seen(Tenant::Open);
        seen(Tenant::Global);
        for name in names {
            seen(Tenant::Key(name, &[7; 16]));
            seen(Tenant::Key(name, &[8; 16]));
            names.iter().for_each(|value| seen(Tenant::Tag(name, value)));
        }
    }

    #[test]
    fn entries_their_state_and_fallbacks_count() {
        let ask = parse(r#"{"model":"r","messages":[{"role":"user"}]}"#);
        let key = |entries: &[Entry<'_>], fallback| {
            Key::of(Tenant::Global, entries.iter().copied(), fallback, &ask)
        };
        let keys = [
            key(&[entry("r")], true),
            key(&[entry("r")], false),
            key(&[entry("q")], true),
            key(&[Entry { kind: "model", ..entry("r") }], true),
            key(&[Entry { epoch: [8; 32], ..entry("r") }], true),
            key(&[entry("r"), entry("q")], true),
            key(&[entry("q"), entry("r")], true),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let wish = keys[0].among([&b"a"[..], b"b"]);
        assert!(wish != keys[0].among([&b"ab"[..], b""]) && wish != keys[1].among([&b"a"[..], b"b"]));
    }

    #[test]
    fn deterministic_is_what_asks_for_it() {
        for (more, is) in [
            ("", false),
            (r#","temperature":0"#, true),
            (r#","temperature":0.0"#, true),
            (r#","temperature":-0"#, true),
            (r#","temperature":0.1"#, false),
            (r#","temperature":null"#, false),
            (r#","seed":5"#, true),
            (r#","seed":null"#, false),
        ] {
            let ask = parse(&format!(r#"{{"model":"r","messages":[{{"role":"user"}}]{more}}}"#));
            assert_eq!(is_deterministic(&ask), is, "{more}");
        }
    }

    proptest! {
        #[test]
        fn two_lists_of_parts_are_told_apart(
            a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..4),
            b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..4),
        ) {
            let hash = |list: &[Vec<u8>]| {
                let mut parts = Parts::default();
                list.iter().for_each(|part| parts.put(part));
                parts.finish()
            };
            prop_assert_eq!(a == b, hash(&a) == hash(&b));
        }
    }
}
