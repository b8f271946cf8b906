//! The checks that a request body has to pass, each with the name of the field at fault.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ask::{BadField, Endpoint, json_string},
    fields::{Fields, Place},
};

/// The deepest nesting of arrays and objects in a body.
const MAX_DEPTH: usize = 128;
/// The most messages in one request.
const MAX_MESSAGES: usize = 10_000;
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
    /// Some message consists of parts rather than of one text.
    pub parts: bool,
}

/// Refuses a body that is nested too deeply for those who read it after us.
pub fn depth(body: &[u8]) -> Result<(), BadField> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind_text(body, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(whole(format!("The body is nested deeper than {MAX_DEPTH} levels.")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Where a text ends that begins before `at`. Nearly all of a body is texts, a picture one of a megabyte, so the search
/// looks at many bytes at once.
fn behind_text(body: &[u8], mut at: usize) -> usize {
    while let Some(rest) = body.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            // The byte behind a backslash ends nothing.
            Some(found) => at += found + 2,
            None => break,
        }
    }
    body.len()
}

/// Checks the fields that OpenAI's API knows; a field that is `null` counts as absent.
pub fn known(endpoint: Endpoint, body: &[u8], fields: &Fields) -> Result<Known, BadField> {
    let view = View { body, fields };
    let model = view.model()?;
    let models = view.models()?;
    let parts = view.question(endpoint)?;
    view.settings(endpoint)?;
    let streams = endpoint != Endpoint::Embeddings;
    let stream = streams && view.read::<bool>("stream", "true or false")?.unwrap_or(false);
    let options = view.read::<StreamOptions>("stream_options", "an object like {\"include_usage\": true}")?;
    let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    Ok(Known { model, models, stream, include_usage, parts })
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
    fn raw(self, name: &str) -> Option<&'a [u8]> {
        let Place { value, .. } = self.fields.get(name)?;
        let raw = &self.body[value.clone()];
        (raw != b"null").then_some(raw)
    }

    fn read<T: Deserialize<'a>>(self, name: &str, right: &str) -> Result<Option<T>, BadField> {
        let parse = |raw| serde_json::from_slice(raw).map_err(|_| wrong(name, right));
        self.raw(name).map(parse).transpose()
    }

    fn model(self) -> Result<String, BadField> {
        let model: String = self
            .read("model", "a string: a route or model name")?
            .ok_or_else(|| missing("model", "a route or model name; GET /v1/models lists them"))?;
        name("model", model)
    }

    fn models(self) -> Result<Vec<String>, BadField> {
        let models: Vec<String> =
            self.read("models", "an array of route or model names")?.unwrap_or_default();
        if models.len() > MAX_MODELS {
            return Err(wrong("models", &format!("at most {MAX_MODELS} names")));
        }
        models.into_iter().enumerate().map(|(i, model)| name(&format!("models[{i}]"), model)).collect()
    }

    /// The part that holds the question: messages, a prompt, or an input. Tells whether a message has parts.
    fn question(self, endpoint: Endpoint) -> Result<bool, BadField> {
        match endpoint {
            Endpoint::Chat => self.messages(),
            Endpoint::Completions => self.text_or_list("prompt").map(|()| false),
            Endpoint::Embeddings => self.text_or_list("input").map(|()| false),
        }
    }

    fn messages(self) -> Result<bool, BadField> {
        let messages: Vec<&RawValue> = self.read("messages", "an array of messages")?.ok_or_else(|| {
            missing("messages", "an array of messages like {\"role\": \"user\", \"content\": \"...\"}")
        })?;
        if messages.is_empty() {
            return Err(wrong("messages", "an array of at least one message"));
        }
        if messages.len() > MAX_MESSAGES {
            return Err(wrong("messages", &format!("at most {MAX_MESSAGES} messages")));
        }
        let mut all = messages.iter().enumerate();
        all.try_fold(false, |parts, (i, raw)| Ok(parts | message(i, raw.get())?))
    }

    fn text_or_list(self, name: &str) -> Result<(), BadField> {
        let right = "a string or a non-empty array";
        match self.raw(name).ok_or_else(|| missing(name, right))? {
            [b'"', ..] => Ok(()),
            raw @ [b'[', ..] if raw[1..].trim_ascii_start() != b"]" => Ok(()),
            _ => Err(wrong(name, right)),
        }
    }

    fn settings(self, endpoint: Endpoint) -> Result<(), BadField> {
        for field in ["temperature", "top_p", "frequency_penalty", "presence_penalty"] {
            self.read::<f64>(field, "a number")?;
        }
        for field in ["max_tokens", "max_completion_tokens", "dimensions", "top_logprobs", "best_of"] {
            self.read::<u64>(field, "a whole number, 0 or more")?;
        }
        if self.read::<u64>("n", "a whole number")?.is_some_and(|n| n == 0 || n > MAX_N) {
            return Err(wrong("n", &format!("a whole number from 1 to {MAX_N}")));
        }
        self.kind("seed", "a whole number", b"-0123456789")?;
        for field in ["user", "reasoning_effort"] {
            self.kind(field, "a string", b"\"")?;
        }
        for field in ["response_format", "metadata", "logit_bias", "stream_options"] {
            self.kind(field, "an object", b"{")?;
        }
        self.kind("tools", "an array", b"[")?;
        self.kind("tool_choice", "a string or an object", b"\"{")?;
        self.kind("stop", "a string or an array of strings", b"\"[")?;
        self.kind("parallel_tool_calls", "true or false", b"tf")?;
        if endpoint == Endpoint::Chat {
            self.kind("logprobs", "true or false", b"tf")?;
        }
        Ok(())
    }

    /// Checks a value's type by its first byte, which is enough: the body is valid JSON.
    fn kind(self, name: &str, right: &str, starts: &[u8]) -> Result<(), BadField> {
        match self.raw(name) {
            Some(raw) if !starts.contains(&raw[0]) => Err(wrong(name, right)),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Checks a message; tells whether it consists of parts.
fn message(i: usize, raw: &str) -> Result<bool, BadField> {
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
        b'[' => Ok(true),
        b'"' | b'n' => Ok(false),
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

fn whole(message: String) -> BadField {
    BadField { param: None, message }
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
