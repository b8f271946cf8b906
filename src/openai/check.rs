//! The checks that a request body has to pass, each with the name of the field at fault.

use std::{borrow::Cow, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ask::{BadField, Endpoint, json_string},
    careful,
    fields::{self, Fields, Found, Place},
    scan::Fault,
    turns::{MOST, Turns},
};

/// The longest model name, in bytes.
const MAX_NAME: usize = 256;
/// The longest list in `models`.
const MAX_MODELS: usize = 16;
/// The most answers to one question; OpenAI's own limit.
const MAX_N: u64 = 128;

/// What Weir itself reads of a body.
pub struct Known {
    pub model: String,
    pub models: Vec<String>,
    pub stream: bool,
    pub include_usage: bool,
}

/// Finds the fields of a body with what its messages are. The body comes as text, if it is text.
///
/// # Errors
/// The body is nested too deeply for those who read it after us, or not one JSON object without repeated names.
pub(super) fn read(endpoint: Endpoint, body: Result<&str, &[u8]>) -> Result<Found, BadField> {
    let is_chat = endpoint == Endpoint::Chat;
    let read = body.map_err(|_| Fault).and_then(|text| fields::read(text, is_chat));
    read.or_else(|Fault| careful::read(body.map_or_else(|bytes| bytes, str::as_bytes)))
}

/// Checks the fields that OpenAI's API knows; a field that is `null` counts as absent.
pub fn known(endpoint: Endpoint, body: &[u8], fields: &Fields, turns: &Turns) -> Result<Known, BadField> {
    let view = View { body, fields };
    let model = view.model()?;
    let models = view.models()?;
    view.question(endpoint, turns)?;
    view.settings(endpoint)?;
    let streams = endpoint != Endpoint::Embeddings;
    let stream = streams && view.read_at::<bool>(&fields.stream, "stream", "true or false")?.unwrap_or(false);
    let options = view.read_at::<StreamOptions>(
        &fields.stream_options,
        "stream_options",
        "an object like {\"include_usage\": true}",
    )?;
    let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    Ok(Known { model, models, stream, include_usage })
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Clone, Copy)]
struct View<'a> {
    body: &'a [u8],
    fields: &'a Fields,
}

impl<'a> View<'a> {
    fn raw_at(self, place: &Option<Place>) -> Option<&'a [u8]> {
        let raw = &self.body[place.as_ref()?.value.clone()];
        (raw != b"null").then_some(raw)
    }

    fn read_at<T: Deserialize<'a>>(
        self,
        place: &Option<Place>,
        name: &str,
        right: &str,
    ) -> Result<Option<T>, BadField> {
        let parse = |raw| serde_json::from_slice(raw).map_err(|_| wrong(name, right));
        self.raw_at(place).map(parse).transpose()
    }

    fn model(self) -> Result<String, BadField> {
        let model: String = self
            .read_at(&self.fields.model, "model", "a string: a route or model name")?
            .ok_or_else(|| missing("model", "a route or model name; GET /v1/models lists them"))?;
        name("model", model)
    }

    fn models(self) -> Result<Vec<String>, BadField> {
        let models: Vec<String> = self
            .read_at(&self.fields.models, "models", "an array of route or model names")?
            .unwrap_or_default();
        if models.len() > MAX_MODELS {
            return Err(wrong("models", &format!("at most {MAX_MODELS} names")));
        }
        models.into_iter().enumerate().map(|(i, model)| name(&format!("models[{i}]"), model)).collect()
    }

    /// The part that holds the question: messages, a prompt, or an input.
    fn question(self, endpoint: Endpoint, turns: &Turns) -> Result<(), BadField> {
        match endpoint {
            Endpoint::Chat if turns.are_plain() => Ok(()),
            Endpoint::Chat => self.messages(),
            Endpoint::Completions => self.text_or_list(&self.fields.prompt, "prompt"),
            Endpoint::Embeddings => self.text_or_list(&self.fields.input, "input"),
        }
    }

    fn messages(self) -> Result<(), BadField> {
        let messages: Vec<&RawValue> =
            self.read_at(&self.fields.messages, "messages", "an array of messages")?.ok_or_else(|| {
                missing("messages", "an array of messages like {\"role\": \"user\", \"content\": \"...\"}")
            })?;
        if messages.is_empty() {
            return Err(wrong("messages", "an array of at least one message"));
        }
        if messages.len() > MOST {
            return Err(wrong("messages", &format!("at most {MOST} messages")));
        }
        messages.iter().enumerate().try_for_each(|(i, raw)| message(i, raw.get()))
    }

    fn text_or_list(self, place: &Option<Place>, name: &str) -> Result<(), BadField> {
        let right = "a string or a non-empty array";
        match self.raw_at(place).ok_or_else(|| missing(name, right))? {
            [b'"', ..] => Ok(()),
            raw @ [b'[', ..] if raw[1..].trim_ascii_start() != b"]" => Ok(()),
            _ => Err(wrong(name, right)),
        }
    }

    fn settings(self, endpoint: Endpoint) -> Result<(), BadField> {
        let Fields { temperature, top_p, frequency_penalty, presence_penalty, .. } = self.fields;
        for (field, place) in [
            ("temperature", temperature),
            ("top_p", top_p),
            ("frequency_penalty", frequency_penalty),
            ("presence_penalty", presence_penalty),
        ] {
            self.read_at::<f64>(place, field, "a number")?;
        }
        let Fields { max_tokens, max_completion_tokens, dimensions, top_logprobs, best_of, n, .. } =
            self.fields;
        for (field, place) in [
            ("max_tokens", max_tokens),
            ("max_completion_tokens", max_completion_tokens),
            ("dimensions", dimensions),
            ("top_logprobs", top_logprobs),
            ("best_of", best_of),
        ] {
            self.read_at::<u64>(place, field, "a whole number, 0 or more")?;
        }
        if self.read_at::<u64>(n, "n", "a whole number")?.is_some_and(|n| n == 0 || n > MAX_N) {
            return Err(wrong("n", &format!("a whole number from 1 to {MAX_N}")));
        }
        self.kinds(endpoint)
    }

    /// Checks values' types by their first bytes, which is enough: the body is valid JSON.
    fn kinds(self, endpoint: Endpoint) -> Result<(), BadField> {
        let Fields { seed, user, reasoning_effort, response_format, metadata, logit_bias, .. } = self.fields;
        let Fields { stream_options, tools, tool_choice, stop, parallel_tool_calls, logprobs, .. } =
            self.fields;
        let logprobs = if endpoint == Endpoint::Chat { logprobs } else { &None };
        for (name, place, right, starts) in [
            ("seed", seed, "a whole number", "-0123456789"),
            ("user", user, "a string", "\""),
            ("reasoning_effort", reasoning_effort, "a string", "\""),
            ("response_format", response_format, "an object", "{"),
            ("metadata", metadata, "an object", "{"),
            ("logit_bias", logit_bias, "an object", "{"),
            ("stream_options", stream_options, "an object", "{"),
            ("tools", tools, "an array", "["),
            ("tool_choice", tool_choice, "a string or an object", "\"{"),
            ("stop", stop, "a string or an array of strings", "\"["),
            ("parallel_tool_calls", parallel_tool_calls, "true or false", "tf"),
            ("logprobs", logprobs, "true or false", "tf"),
        ] {
            if self.raw_at(place).is_some_and(|raw| !starts.as_bytes().contains(&raw[0])) {
                return Err(wrong(name, right));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Checks a message.
fn message(i: usize, raw: &str) -> Result<(), BadField> {
    let right = "an object with a string `role`";
    let Ok(message) = serde_json::from_str::<Message<'_>>(raw) else {
        let role = raw.starts_with('{') && raw.contains("\"role\"");
        return Err(if role {
            wrong(&format!("messages[{i}].role"), "a string that stands there once")
        } else {
            wrong(&format!("messages[{i}]"), right)
        });
    };
    if message.role.is_none_or(|role| role.is_empty()) {
        return Err(missing(&format!("messages[{i}].role"), "a string like \"user\""));
    }
    match message.content.map_or(b'n', |raw| raw.get().as_bytes()[0]) {
        b'[' | b'"' | b'n' => Ok(()),
        _ => Err(wrong(&format!("messages[{i}].content"), "a string or an array of parts")),
    }
}

/// Where in a message list a prefix of the system prompt goes, and as what.
///
/// `messages` is the raw array; the place counts from its start.
pub fn system_prefix(messages: &[u8], prefix: &str) -> (usize, String) {
    let first = serde_json::from_slice::<Vec<&RawValue>>(messages).ok().and_then(|all| all.first().copied());
    let fresh = || (1, format!("{{\"role\":\"system\",\"content\":{}}},", json_string(prefix)));
    let Some(Message { role: Some(role), content: Some(content) }) =
        first.and_then(|raw| serde_json::from_str(raw.get()).ok())
    else {
        return fresh();
    };
    if role != "system" && role != "developer" {
        return fresh();
    }
    let at = offset(messages, content.get()).start + 1;
    let quoted = json_string(&format!("{prefix}\n\n"));
    match content.get().as_bytes() {
        [b'"', ..] => (at, quoted[1..quoted.len() - 1].to_owned()),
        [b'[', rest @ ..] => {
            let comma = if rest.trim_ascii_start().starts_with(b"]") { "" } else { "," };
            (at, format!("{{\"type\":\"text\",\"text\":{}}}{comma}", json_string(prefix)))
        }
        _ => fresh(),
    }
}

/// Where the role `wanted` stands in a message list; the places count from the start of the raw array.
pub fn roles(messages: &[u8], wanted: &str) -> Vec<Range<usize>> {
    #[derive(Deserialize)]
    struct Role<'a> {
        #[serde(borrow)]
        role: &'a RawValue,
    }
    let all = serde_json::from_slice::<Vec<Role<'_>>>(messages).unwrap_or_default();
    let is_wanted =
        |raw: &RawValue| serde_json::from_str::<Cow<'_, str>>(raw.get()).is_ok_and(|role| role == wanted);
    all.iter()
        .filter(|message| is_wanted(message.role))
        .map(|message| offset(messages, message.role.get()))
        .collect()
}

/// The ids of tool calls in a message list, with those that results name; the places count from the start of the
/// raw array.
pub fn tool_ids(messages: &[u8]) -> Vec<(Range<usize>, String)> {
    #[derive(Deserialize)]
    struct Ids<'a> {
        #[serde(borrow)]
        tool_call_id: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_calls: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let mut ids = Vec::new();
    for message in serde_json::from_slice::<Vec<Ids<'_>>>(messages).unwrap_or_default() {
        let calls = message.tool_calls.and_then(|raw| serde_json::from_str::<Vec<Call<'_>>>(raw.get()).ok());
        let of_calls = calls.into_iter().flatten().filter_map(|call| call.id);
        ids.extend(of_calls.chain(message.tool_call_id).filter_map(|raw| {
            let id = serde_json::from_str::<String>(raw.get()).ok()?;
            Some((offset(messages, raw.get()), id))
        }));
    }
    ids
}

/// Where `part`, which borrows from `whole`, stands in it.
fn offset(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn name(param: &str, name: String) -> Result<String, BadField> {
    match name.len() {
        1..=MAX_NAME => Ok(name),
        _ => Err(wrong(param, &format!("a name of 1 to {MAX_NAME} bytes"))),
    }
}

fn wrong(param: &str, right: &str) -> BadField {
    BadField { param: Some(param.to_owned()), message: format!("`{param}` must be {right}.") }
}

fn missing(param: &str, right: &str) -> BadField {
    BadField { param: Some(param.to_owned()), message: format!("`{param}` is missing: it must be {right}.") }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::Ask;
    use super::*;

    fn fault(endpoint: Endpoint, body: &str) -> Option<String> {
        let error = Ask::parse(endpoint, Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
        error.param
    }

    #[test]
    fn names_the_field_at_fault() {
        for (body, param) in [
            (r#"{"messages":[{"role":"user"}]}"#, "model"),
            (r#"{"model":3,"messages":[{"role":"user"}]}"#, "model"),
            (r#"{"model":"","messages":[{"role":"user"}]}"#, "model"),
            (r#"{"model":"a"}"#, "messages"),
            (r#"{"model":"a","messages":[]}"#, "messages"),
            (r#"{"model":"a","messages":"hi"}"#, "messages"),
            (r#"{"model":"a","messages":[{"role":"user"},3]}"#, "messages[1]"),
            (r#"{"model":"a","messages":[{"content":"x"}]}"#, "messages[0].role"),
            (r#"{"model":"a","messages":[{"role":7}]}"#, "messages[0].role"),
            (r#"{"model":"a","messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
            (r#"{"model":"a","messages":[{"role":"user"}],"stream":"yes"}"#, "stream"),
            (
                r#"{"model":"a","messages":[{"role":"user"}],"stream_options":{"include_usage":1}}"#,
                "stream_options",
            ),
            (r#"{"model":"a","messages":[{"role":"user"}],"max_tokens":-1}"#, "max_tokens"),
            (r#"{"model":"a","messages":[{"role":"user"}],"n":0}"#, "n"),
            (r#"{"model":"a","messages":[{"role":"user"}],"temperature":"hot"}"#, "temperature"),
            (r#"{"model":"a","messages":[{"role":"user"}],"tools":{}}"#, "tools"),
            (r#"{"model":"a","messages":[{"role":"user"}],"models":["b",""]}"#, "models[1]"),
        ] {
            assert_eq!(fault(Endpoint::Chat, body).as_deref(), Some(param), "{body}");
        }
        assert_eq!(fault(Endpoint::Embeddings, r#"{"model":"a","input":[ ]}"#).as_deref(), Some("input"));
        assert_eq!(fault(Endpoint::Completions, r#"{"model":"a","prompt":{}}"#).as_deref(), Some("prompt"));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let body = r#"{"model":"a","messages":[{"role":"user","content":null}],"stream":null,"n":null,"stop":null,"tools":null}"#;
        assert!(!Ask::parse(Endpoint::Chat, body.into()).unwrap().stream());
    }

    #[test]
    fn deep_nesting_is_refused_early() {
        let deep = |n| {
            format!(
                r#"{{"model":"a","messages":[{{"role":"user"}}],"x":{}1{}}}"#,
                "[".repeat(n),
                "]".repeat(n)
            )
        };
        assert!(Ask::parse(Endpoint::Chat, deep(127).into()).is_ok());
        assert_eq!(fault(Endpoint::Chat, &deep(128)), None);
        let quoted =
            format!(r#"{{"model":"a","messages":[{{"role":"user","content":"\"{}"}}]}}"#, "[".repeat(500));
        assert!(Ask::parse(Endpoint::Chat, quoted.into()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for endpoint in [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings] {
                let _ = Ask::parse(endpoint, Bytes::copy_from_slice(&body));
            }
        }

        #[test]
        fn the_fast_way_finds_what_the_careful_one_finds(
            parts in prop::collection::vec(prop::sample::select(&[
                "\"model\":\"a\"", "\"messages\":[", "{\"role\":\"user\",\"content\":\"hi\"}", "{\"role\":\"user\"", "\"role\":\"\"",
                "\"content\":[{\"type\":\"text\"}]", "\"content\":null", "\"content\":5", "{\"role\":\"us\\u0065r\"}", "\"r\\u006fle\":\"system\"",
                "[\"user\",\"hi\"]", "\"\\ud800\":1", "\"x\":\"\\ud800\"", "\"n\":1e999", "\"stream\":true", "}", "]", "{", "[", ",", ",", ",", ":", " ", "3",
                "\"images\":[]", "\u{e9}",
            ][..]), 0..16),
            whole: bool,
        ) {
            let body = if whole { format!("{{\"model\":\"a\",\"messages\":[{}]}}", parts.concat()) } else { format!("{{{}}}", parts.concat()) };
            for endpoint in [Endpoint::Chat, Endpoint::Embeddings] {
                let fast = read(endpoint, Ok(&body));
                let careful = careful::read(body.as_bytes());
                prop_assert_eq!(fast.is_ok(), careful.is_ok());
                let (Ok(fast), Ok(careful)) = (fast, careful) else { continue };
                let fields = &fast.fields;
                prop_assert_eq!(format!("{fields:?}"), format!("{:?}", careful.fields));
                let known = |turns| known(endpoint, body.as_bytes(), fields, turns).map(|known| known.model);
                prop_assert_eq!(known(&fast.turns), known(&careful.turns), "{}", body);
                if endpoint == Endpoint::Chat {
                    let told = |turns: &Turns| (turns.user, turns.system_bytes, turns.last.clone(), turns.answer);
                    prop_assert_eq!(told(&fast.turns), told(&careful.turns), "{}", body);
                }
            }
        }

        #[test]
        fn a_rewritten_body_is_still_json(
            content in ".*", extra in "[a-z]{1,8}", model in ".{1,20}", prefix in ".*", stream: bool, first: bool,
        ) {
            let message = serde_json::json!({"role": if first { "system" } else { "user" }, "content": content});
            let mut body = serde_json::json!({"model": "a", "messages": [message], "stream": stream, "models": ["b"]});
            body[&format!("x_{extra}")] = serde_json::json!({"a": [content]});
            let ask = Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap();
            let defaults = [("top_p".to_owned(), "0.5".to_owned())];
            let out = ask.rewrite(&super::super::Rewrite { model: &model, defaults: &defaults, system_prefix: Some(&prefix), ..Default::default() });
            let out: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&out["model"], &serde_json::json!(model));
            prop_assert_eq!(&out["top_p"], &serde_json::json!(0.5));
            prop_assert!(out.get("models").is_none());
            prop_assert_eq!(out["stream_options"]["include_usage"].as_bool(), stream.then_some(true));
        }
    }
}
