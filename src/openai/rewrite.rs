//! A client's request, changed for an upstream.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use super::{
    ask::{Ask, Endpoint, json_string},
    bounds::COMPLETION,
    check,
    edit::{Edits, Spliced},
    fields::Place,
    limit::{self, Limits, NAMES},
};

/// What an upstream gets to read instead of what the client wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// The upstream's own name of the model.
    pub model: &'a str,
    /// Fields with their JSON, put in where the client said nothing.
    pub defaults: &'a [(String, String)],
    /// Text put before the system prompt.
    pub system_prefix: Option<&'a str>,
    /// The most tokens that the model can answer, where known; for providers that must be told one.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of an answer that a budget affords: written where more would be asked for.
    pub max_output: Option<u64>,
    /// Drop, but name, what the provider cannot take, instead of refusing it.
    pub drop_unsupported: bool,
}

impl Ask {
    /// The body for an upstream: only what `rewrite` names is changed, `models` (which is for Weir) is taken
    /// out, and a stream is made to report its usage.
    pub fn rewrite(&self, rewrite: &Rewrite<'_>) -> Bytes {
        self.edited(self.changes(rewrite))
    }

    /// The same without a copy of what may stay as it is, if that is long.
    pub fn splice(&self, rewrite: &Rewrite<'_>) -> Spliced {
        self.changes(rewrite).splice(self.body())
    }

    fn changes(&self, rewrite: &Rewrite<'_>) -> Edits {
        let limits = rewrite.max_output.map(|most| self.limits(rewrite, most)).unwrap_or_default();
        let mut edits = Edits::default();
        for (place, limit) in self.limit_places().into_iter().zip(limits.instead) {
            if let (Some(place), Some(limit)) = (place, limit) {
                edits.replace(place.value.clone(), limit.to_string());
            }
        }
        if let Some(limit) = limits.fresh {
            let end = self.model_place().value.end;
            edits.replace(end..end, format!(",\"{}\":{limit}", self.limit_name()));
        }
        self.edit(rewrite, &limits, &mut edits);
        if self.stream() && !self.include_usage() {
            self.ask_for_usage(&mut edits);
        }
        edits
    }

    /// Where limits stand, in the order of their names.
    fn limit_places(&self) -> [Option<&Place>; 2] {
        NAMES.map(|name| self.fields().get(name))
    }

    /// What has to be said of limits so that none is above `most`: those of the client, else those of the defaults.
    fn limits(&self, rewrite: &Rewrite<'_>, most: u64) -> Limits {
        let absent = match self.endpoint() {
            Endpoint::Chat => most,
            // Saying nothing is saying little here.
            Endpoint::Completions => most.min(COMPLETION),
            Endpoint::Embeddings => return Limits::default(),
        };
        let places = self.limit_places();
        let said = match places {
            [None, None] => NAMES.map(|name| {
                let wish = rewrite.defaults.iter().find(|(known, _)| known == name);
                wish.map(|(_, json)| json.as_bytes())
            }),
            places => places.map(|place| place.map(|place| &self.body()[place.value.clone()])),
        };
        limit::limits(said, most, absent)
    }

    /// A body made of this one with no output limit above `most`, which `names` may name; where none does, `absent`
    /// will.
    pub fn lowered(&self, body: &Bytes, most: u64, names: &[&str], absent: &str) -> Bytes {
        match self.endpoint() {
            Endpoint::Chat => limit::lower(body, names, most, (absent, most)),
            // Saying nothing is saying little here.
            Endpoint::Completions => limit::lower(body, names, most, (absent, most.min(COMPLETION))),
            Endpoint::Embeddings => body.clone(),
        }
    }

    /// The field of OpenAI's API that names an output limit.
    pub fn limit_name(&self) -> &'static str {
        match self.endpoint() {
            Endpoint::Completions => "max_tokens",
            Endpoint::Chat | Endpoint::Embeddings => "max_completion_tokens",
        }
    }

    /// The body with changes of a codec's own.
    pub fn edited(&self, edits: Edits) -> Bytes {
        edits.apply(self.body())
    }

    /// The changes of [`Self::rewrite`], save that nothing asks for a stream's usage or lowers a limit.
    pub fn edits(&self, rewrite: &Rewrite<'_>) -> Edits {
        let mut edits = Edits::default();
        self.edit(rewrite, &Limits::default(), &mut edits);
        edits
    }

    /// Makes the changes of [`Self::edits`], with other limits in the defaults.
    fn edit(&self, rewrite: &Rewrite<'_>, limits: &Limits, edits: &mut Edits) {
        let model = self.model_place();
        if rewrite.model != self.model() {
            edits.replace(model.value.clone(), json_string(rewrite.model));
        }
        self.remove("models", edits);
        // They are wishes for an answer's text, which embeddings do not have.
        let defaults = if self.endpoint() == Endpoint::Embeddings { &[] } else { rewrite.defaults };
        for (name, json) in defaults {
            if !self.says(name) {
                let limit = limits.of(name).map(|limit| limit.to_string());
                let json = limit.as_ref().unwrap_or(json);
                edits.replace(model.value.end..model.value.end, format!(",{}:{json}", json_string(name)));
            }
        }
        if let (Some(prefix), Endpoint::Chat) = (rewrite.system_prefix, self.endpoint()) {
            self.prefix_system(prefix, edits);
        }
    }

    fn model_place(&self) -> &Place {
        self.fields().model.as_ref().expect("checked when the ask was read")
    }

    /// Takes a field out, if it is there. `model` has to stay.
    pub fn remove(&self, name: &str, edits: &mut Edits) {
        if let Some(range) = self.member(name) {
            edits.replace(range, "");
        }
    }

    /// Gives a field another name, if it is there.
    pub fn rename(&self, name: &str, to: &str, edits: &mut Edits) {
        let Some(place) = self.fields().get(name) else { return };
        let gap = &self.body()[place.after..place.value.start];
        // Between the values stand a comma, the name in its quotes, a colon.
        let quote = |byte: &u8| *byte == b'"';
        if let (Some(open), Some(close)) = (gap.iter().position(quote), gap.iter().rposition(quote)) {
            edits.replace(place.after + open..place.after + close + 1, json_string(to));
        }
    }

    /// Gives a field another value, as JSON, if it is there.
    pub fn replace(&self, name: &str, json: &str, edits: &mut Edits) {
        if let Some(place) = self.fields().get(name) {
            edits.replace(place.value.clone(), json);
        }
    }

    /// Writes the role `from` as `to` in every message.
    pub fn rename_role(&self, from: &str, to: &str, edits: &mut Edits) {
        let Some(messages) = &self.fields().messages else { return };
        for role in check::roles(&self.body()[messages.value.clone()], from) {
            let start = messages.value.start;
            edits.replace(start + role.start..start + role.end, json_string(to));
        }
    }

    /// Writes the ids of tool calls, and those that results name, as `fit` gives them.
    pub fn rewrite_tool_ids(&self, fit: impl Fn(&str) -> Cow<'_, str>, edits: &mut Edits) {
        let Some(messages) = &self.fields().messages else { return };
        let start = messages.value.start;
        for (place, id) in check::tool_ids(&self.body()[messages.value.clone()]) {
            let fitting = fit(&id);
            if fitting != id {
                edits.replace(start + place.start..start + place.end, json_string(&fitting));
            }
        }
    }

    /// Makes a stream report its usage.
    pub fn ask_for_usage(&self, edits: &mut Edits) {
        match &self.fields().stream_options {
            None => {
                let stream = self.fields().stream.as_ref().expect("a stream was asked for");
                let end = stream.value.end;
                edits.replace(end..end, r#","stream_options":{"include_usage":true}"#);
            }
            Some(place) => {
                let usage = with_usage(&self.body()[place.value.clone()]);
                edits.replace(place.value.clone(), usage);
            }
        }
    }

    /// The bytes of a whole member, with the comma that becomes superfluous without it. `model` always stays, so
    /// a member before it takes along the comma behind, one after it the comma before: members that are taken
    /// out never share one.
    fn member(&self, name: &str) -> Option<Range<usize>> {
        let place = self.fields().get(name)?;
        if place.value.start > self.model_place().value.start {
            return Some(place.after..place.value.end);
        }
        let comma =
            |from: usize| self.body()[from..].iter().position(|byte| *byte == b',').map(|at| from + at + 1);
        let first = self.body()[place.after..].trim_ascii_start().starts_with(b"\"");
        let start = if first { place.after } else { comma(place.after)? };
        Some(start..comma(place.value.end)?)
    }

    fn prefix_system(&self, prefix: &str, edits: &mut Edits) {
        let messages = self.fields().messages.as_ref().expect("checked when the ask was read");
        let start = messages.value.start;
        let (at, text) = check::system_prefix(&self.body()[messages.value.clone()], prefix);
        edits.replace(start + at..start + at, text);
    }
}

/// `stream_options` with `include_usage: true` and everything else that stood there.
fn with_usage(options: &[u8]) -> Vec<u8> {
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(options).unwrap_or_default();
    map.insert("include_usage".into(), true.into());
    serde_json::to_vec(&map).expect("a JSON map always serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Ask {
        Ask::parse(Endpoint::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn to(model: &str) -> Rewrite<'_> {
        Rewrite { model, ..Rewrite::default() }
    }

    #[test]
    fn the_same_model_leaves_the_body_untouched() {
        let ask =
            chat(r#"{ "model":"a" ,"messages":[{"role":"user","content":"hi"}], "new":{"deep":[1e400]}}"#);
        assert_eq!(ask.rewrite(&to("a")).as_ptr(), ask.body().as_ptr());
    }

    #[test]
    fn only_the_model_changes() {
        let ask =
            chat(r#"{ "big":12345678901234567890123, "model" : "a\u0062","messages":[{"role":"user"}] }"#);
        assert_eq!(
            ask.rewrite(&to("x\"y")),
            r#"{ "big":12345678901234567890123, "model" : "x\"y","messages":[{"role":"user"}] }"#
        );
    }

    #[test]
    fn a_stream_reports_its_usage() {
        let ask = chat(r#"{"model":"a","stream":true,"messages":[{"role":"user"}]}"#);
        assert_eq!(
            ask.rewrite(&to("a")),
            r#"{"model":"a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}"#
        );
        let ask =
            chat(r#"{"model":"a","stream":true,"stream_options":{"x":1},"messages":[{"role":"user"}]}"#);
        assert_eq!(
            ask.rewrite(&to("a")),
            r#"{"model":"a","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[{"role":"user"}]}"#
        );
        let body = r#"{"model":"a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}"#;
        assert_eq!(chat(body).rewrite(&to("a")), body);
    }

    #[test]
    fn the_clients_list_of_models_stays_here() {
        for body in [
            r#"{"models":["b"],"model":"a","messages":[{"role":"user"}]}"#,
            r#"{"model":"a","models":["b"],"messages":[{"role":"user"}]}"#,
            r#"{"model":"a","messages":[{"role":"user"}],"models":["b"]}"#,
        ] {
            let ask = chat(body);
            assert_eq!(ask.models(), ["b"]);
            assert_eq!(ask.rewrite(&to("a")), r#"{"model":"a","messages":[{"role":"user"}]}"#, "{body}");
        }
    }

    #[test]
    fn defaults_apply_where_the_client_said_nothing() {
        let defaults = [("max_tokens".to_owned(), "5".to_owned()), ("seed".to_owned(), "1".to_owned())];
        let rewrite = Rewrite { model: "a", defaults: &defaults, ..Rewrite::default() };
        let ask = chat(r#"{"model":"a","messages":[{"role":"user"}],"max_completion_tokens":9}"#);
        assert_eq!(
            ask.rewrite(&rewrite),
            r#"{"model":"a","seed":1,"messages":[{"role":"user"}],"max_completion_tokens":9}"#
        );
    }

    #[test]
    fn embeddings_get_no_defaults() {
        let body = r#"{"model":"a","input":"x"}"#;
        let ask = Ask::parse(Endpoint::Embeddings, body.into()).unwrap();
        let defaults = [("temperature".to_owned(), "0".to_owned())];
        let rewrite = Rewrite { model: "a", defaults: &defaults, max_output: Some(9), ..Rewrite::default() };
        assert_eq!(ask.rewrite(&rewrite), body);
    }

    #[test]
    fn a_budget_lowers_what_would_be_asked_for() {
        let defaults = [("max_tokens".to_owned(), "5000".to_owned())];
        let lowered = |endpoint, body: &str, defaults: &[(String, String)], most| {
            let ask = Ask::parse(endpoint, Bytes::copy_from_slice(body.as_bytes())).unwrap();
            let rewrite = Rewrite { model: "a", defaults, max_output: Some(most), ..Rewrite::default() };
            String::from_utf8(ask.rewrite(&rewrite).to_vec()).unwrap()
        };
        let chat = r#"{"model":"a","messages":[{"role":"user"}]}"#;
        assert_eq!(
            lowered(Endpoint::Chat, chat, &defaults, 300),
            r#"{"model":"a","max_tokens":300,"messages":[{"role":"user"}]}"#
        );
        assert_eq!(
            lowered(Endpoint::Chat, chat, &[], 300),
            r#"{"model":"a","max_completion_tokens":300,"messages":[{"role":"user"}]}"#
        );
        let text = r#"{"model":"a","prompt":"p"}"#;
        assert_eq!(
            lowered(Endpoint::Completions, text, &[], 300),
            r#"{"model":"a","max_tokens":16,"prompt":"p"}"#
        );
        assert_eq!(
            lowered(Endpoint::Completions, text, &defaults, 300),
            r#"{"model":"a","max_tokens":300,"prompt":"p"}"#
        );
    }

    #[test]
    fn a_system_prefix_comes_first() {
        let prefixed = |messages: &str| {
            let ask = chat(&format!(r#"{{"model":"a","messages":{messages}}}"#));
            let rewrite = Rewrite { model: "a", system_prefix: Some("Be \"kind\"."), ..Rewrite::default() };
            let body: serde_json::Value = serde_json::from_slice(&ask.rewrite(&rewrite)).unwrap();
            body["messages"].clone()
        };
        assert_eq!(prefixed(r#"[{"role":"system","content":"S"}]"#)[0]["content"], "Be \"kind\".\n\nS");
        let parts = prefixed(r#"[ {"content":[{"type":"text","text":"S"}],"role":"developer"}]"#);
        assert_eq!(parts[0]["content"][0]["text"], "Be \"kind\".");
        assert_eq!(parts[0]["content"][1]["text"], "S");
        let fresh = prefixed(r#"[{"role":"user","content":"U"}]"#);
        assert_eq!((&fresh[0]["role"], &fresh[1]["content"]), (&"system".into(), &"U".into()));
    }
}
