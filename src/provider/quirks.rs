//! Shaping a request in OpenAI's format for a provider that takes a little less of it, or another word for it.

use bytes::Bytes;
use memchr::memmem;

use super::tool_id;
use crate::{
    config::{OutputLimit, Provider, Quirks, ToolId},
    openai::{Ask, BadField, Endpoint, Rewrite, edit::Edits, limit::NAMES},
};

const OLD_LIMIT: &str = "max_tokens";
const NEW_LIMIT: &str = "max_completion_tokens";

/// Fits requests to one provider.
#[derive(Clone, Debug, Default)]
pub struct Shaper {
    quirks: Quirks,
    /// There are quirks; else bodies pass.
    odd: bool,
}

impl Shaper {
    /// Fits requests to a provider.
    pub fn new(provider: &Provider) -> Self {
        let odd = provider.quirks != Quirks::default();
        Self { quirks: provider.quirks.clone(), odd }
    }

    /// Whether the provider takes the request in the client's own words.
    pub fn passes(&self, ask: &Ask) -> bool {
        !self.odd && !bears_signatures(ask)
    }

    /// The body for the provider, with the client's fields that were left out.
    ///
    /// # Errors
    /// The field that the provider cannot take.
    pub fn shape(&self, ask: &Ask, rewrite: &Rewrite<'_>) -> Result<(Bytes, Vec<String>), BadField> {
        if self.passes(ask) {
            return Ok((ask.rewrite(rewrite), Vec::new()));
        }
        let defaults = self.defaults(ask, rewrite.defaults);
        let mut edits = ask.edits(&Rewrite { defaults: &defaults, ..*rewrite });
        let mut dropped = Vec::new();
        for name in self.unfit(ask) {
            let says_nothing = ask.field(&name).is_none_or(|raw| is_idle(&name, raw));
            if !says_nothing {
                if !rewrite.drop_unsupported {
                    return Err(refused(&name, &self.reason(&name)));
                }
                dropped.push(name.clone());
            }
            ask.remove(&name, &mut edits);
        }
        for (name, to) in &self.quirks.renamed_fields {
            // The client may know the provider's own name and use both: its own goes first.
            match ask.field(to) {
                Some(_) => ask.remove(name, &mut edits),
                None => ask.rename(name, to, &mut edits),
            }
        }
        self.name_limit(ask, &mut edits);
        if !self.quirks.developer_role {
            ask.rename_role("developer", "system", &mut edits);
        }
        match self.quirks.tool_id {
            ToolId::Nine => ask.rewrite_tool_ids(tool_id::nine, &mut edits),
            ToolId::Any if bears_signatures(ask) => {
                ask.rewrite_tool_ids(tool_id::plain, &mut edits);
            }
            ToolId::Any => {}
        }
        match self.quirks.stream_options {
            false => ask.remove("stream_options", &mut edits),
            true if ask.stream() && !ask.include_usage() => ask.ask_for_usage(&mut edits),
            true => {}
        }
        let body = ask.edited(edits);
        let body = rewrite.max_output.map_or_else(|| body.clone(), |most| self.lowered(ask, &body, most));
        Ok((body, dropped))
    }

    /// A shaped body with no output limit above `most`, under whatever name.
    fn lowered(&self, ask: &Ask, body: &Bytes, most: u64) -> Bytes {
        let own = |name: &str| self.quirks.renamed_fields.get(name).map(String::as_str);
        let taken = |name: &&str| !self.quirks.refused_fields.iter().any(|refused| refused == name);
        let wanted = self.limit(ask.endpoint()).map_or(ask.limit_name(), |(_, to)| to);
        let names: Vec<&str> = NAMES.into_iter().flat_map(|name| [Some(name), own(name)]).flatten().collect();
        let absent = [wanted, OLD_LIMIT, NEW_LIMIT].into_iter().find(taken).unwrap_or(wanted);
        ask.lowered(body, most, &names, own(absent).unwrap_or(absent))
    }

    /// The fields of the body that the provider cannot take, each once.
    fn unfit(&self, ask: &Ask) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in &self.quirks.refused_fields {
            if ask.has(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        for (name, most) in
            [("n", self.quirks.max_n.map(f64::from)), ("temperature", self.quirks.max_temperature)]
        {
            let number = ask.field(name).and_then(|raw| serde_json::from_slice::<f64>(raw).ok());
            let above = number.zip(most).is_some_and(|(number, most)| number > most);
            if above && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn reason(&self, name: &str) -> String {
        match (name, self.quirks.max_n, self.quirks.max_temperature) {
            _ if self.quirks.refused_fields.iter().any(|refused| refused == name) => {
                "The provider does not take it".to_owned()
            }
            ("n", Some(most), _) => format!("The provider takes at most {most}"),
            ("temperature", _, Some(most)) => format!("The provider takes at most {most}"),
            _ => "The provider does not take it".to_owned(),
        }
    }

    /// The name under which the provider takes a chat's output limit.
    fn limit(&self, endpoint: Endpoint) -> Option<(&'static str, &'static str)> {
        match self.quirks.output_limit {
            // The older endpoints know the older name only.
            _ if endpoint != Endpoint::Chat => None,
            OutputLimit::AsSent => None,
            OutputLimit::MaxTokens => Some((NEW_LIMIT, OLD_LIMIT)),
            OutputLimit::MaxCompletionTokens => Some((OLD_LIMIT, NEW_LIMIT)),
        }
    }

    /// Sends the output limit in the provider's own field; where the client sent both, the lower one.
    fn name_limit(&self, ask: &Ask, edits: &mut Edits) {
        let Some((from, to)) = self.limit(ask.endpoint()) else { return };
        let number = |name| ask.field(name).and_then(|raw| serde_json::from_slice::<u64>(raw).ok());
        match (number(from), number(to)) {
            // A null of the other name must not stand beside the renamed field.
            (Some(_), None) => {
                ask.remove(to, edits);
                ask.rename(from, to, edits);
            }
            (lower, other) => {
                ask.remove(from, edits);
                if let (Some(lower), Some(other)) = (lower, other)
                    && lower < other
                {
                    ask.replace(to, &lower.to_string(), edits);
                }
            }
        }
    }

    /// The route's defaults as the provider takes them. They are wishes of the gateway's own: what does not fit is
    /// left out without a word.
    fn defaults(&self, ask: &Ask, defaults: &[(String, String)]) -> Vec<(String, String)> {
        let limit = self.limit(ask.endpoint());
        let fitting = defaults.iter().filter(|(name, _)| !self.quirks.refused_fields.contains(name));
        fitting
            .filter(|(name, _)| !ask.says(name))
            .map(|(name, json)| {
                let own = self.quirks.renamed_fields.get(name).map(String::as_str);
                let limit = limit.filter(|(from, _)| from == name).map(|(_, to)| to);
                (own.or(limit).unwrap_or(name).to_owned(), json.clone())
            })
            .collect()
    }
}

/// Whether the conversation may have ids of tool calls with a signature of Gemini's.
fn bears_signatures(ask: &Ask) -> bool {
    ask.may_call()
        && ask.field("messages").is_some_and(|raw| memmem::find(raw, tool_id::MARK.as_bytes()).is_some())
}

/// Fields that change nothing of the answer: who asks, and what is kept of it.
const BOOKKEEPING: [&str; 5] = ["user", "safety_identifier", "prompt_cache_key", "store", "metadata"];

/// Whether a value asks for nothing, so that nothing is lost without it.
fn is_idle(name: &str, raw: &[u8]) -> bool {
    match raw {
        b"false" | b"{}" | b"[]" => true,
        b"0" | b"0.0" => name.ends_with("_penalty"),
        b"1" => name == "n",
        b"\"auto\"" => name == "service_tier",
        _ => BOOKKEEPING.contains(&name),
    }
}

fn refused(name: &str, reason: &str) -> BadField {
    let message = format!(
        "{reason}: `{name}`. Leave the field out, name another model, or set `drop_unsupported = true` on the provider."
    );
    BadField { param: Some(name.to_owned()), message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shaper(quirks: Value) -> Shaper {
        let provider = json!({ "quirks": quirks });
        Shaper::new(&serde_json::from_value(provider).unwrap())
    }

    fn ask(body: &str) -> Ask {
        Ask::parse(Endpoint::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn shaped(quirks: Value, body: &str) -> (String, Vec<String>) {
        let rewrite = Rewrite { model: "m", drop_unsupported: true, ..Rewrite::default() };
        let (body, dropped) = shaper(quirks).shape(&ask(body), &rewrite).unwrap();
        (String::from_utf8(body.to_vec()).unwrap(), dropped)
    }

    const HELLO: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    #[test]
    fn without_quirks_the_bytes_pass() {
        let body = format!(r#"{{ "model":"m", {HELLO}, "odd" : 1e400 }}"#);
        let ask = ask(&body);
        let rewrite = Rewrite { model: "m", ..Rewrite::default() };
        let (out, dropped) = Shaper::new(&Provider::default()).shape(&ask, &rewrite).unwrap();
        assert_eq!((out.as_ptr(), dropped.len()), (ask.body().as_ptr(), 0));
    }

    #[test]
    fn the_limit_goes_into_the_providers_field() {
        let old = json!({ "output_limit": "max_tokens" });
        let new = json!({ "output_limit": "max_completion_tokens" });
        for (quirks, sent, expected) in [
            (&old, r#""max_completion_tokens" : 7"#, r#""max_tokens" : 7"#),
            (&old, r#""max_tokens":7"#, r#""max_tokens":7"#),
            (&new, r#""max_tokens":7"#, r#""max_completion_tokens":7"#),
            (&new, r#""max_t\u006fkens":7"#, r#""max_completion_tokens":7"#),
            (&old, r#""max_tokens":9,"max_completion_tokens":7"#, r#""max_tokens":7"#),
            (&old, r#""max_completion_tokens":9,"max_tokens":7"#, r#""max_tokens":7"#),
            (&old, r#""max_completion_tokens":9,"max_tokens":null"#, r#""max_tokens":9"#),
            (&old, r#""max_completion_tokens":null,"max_tokens":7"#, r#""max_tokens":7"#),
        ] {
            let (body, _) = shaped(quirks.clone(), &format!(r#"{{"model":"m",{sent},{HELLO}}}"#));
            assert_eq!(body, format!(r#"{{"model":"m",{expected},{HELLO}}}"#), "{sent}");
            let (body, _) = shaped(quirks.clone(), &format!(r#"{{{sent},"model":"m",{HELLO}}}"#));
            assert_eq!(body, format!(r#"{{{expected},"model":"m",{HELLO}}}"#), "{sent}");
        }
    }

    #[test]
    fn the_older_endpoint_keeps_the_older_name() {
        let body = Bytes::from_static(br#"{"model":"m","prompt":"p","max_tokens":7}"#);
        let ask = Ask::parse(Endpoint::Completions, body.clone()).unwrap();
        let rewrite = Rewrite { model: "m", ..Rewrite::default() };
        let shaper = shaper(json!({ "output_limit": "max_completion_tokens" }));
        assert_eq!(shaper.shape(&ask, &rewrite).unwrap().0, body);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_by_name_or_dropped_by_name() {
        let quirks =
            json!({ "refused_fields": ["logprobs", "logit_bias"], "max_n": 1, "max_temperature": 1.0 });
        let body = format!(
            r#"{{"n":2,"logprobs":true,"model":"m",{HELLO},"logit_bias":{{"1":2}},"temperature":1.5}}"#
        );
        let (out, dropped) = shaped(quirks.clone(), &body);
        assert_eq!(out, format!(r#"{{"model":"m",{HELLO}}}"#));
        assert_eq!(dropped, ["logprobs", "logit_bias", "n", "temperature"]);
        let rewrite = Rewrite { model: "m", ..Rewrite::default() };
        let strict = shaper(quirks.clone());
        for (field, param) in
            [(r#""logprobs":true"#, "logprobs"), (r#""n":2"#, "n"), (r#""temperature":1.01"#, "temperature")]
        {
            let refused =
                strict.shape(&ask(&format!(r#"{{"model":"m",{field},{HELLO}}}"#)), &rewrite).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param));
            assert!(refused.message.contains("drop_unsupported"), "{}", refused.message);
        }
        let idle =
            format!(r#"{{"logprobs":false,"model":"m","logit_bias":{{}},"n":1,{HELLO},"temperature":1}}"#);
        let (out, dropped) = strict.shape(&ask(&idle), &rewrite).unwrap();
        assert_eq!(out, format!(r#"{{"model":"m","n":1,{HELLO},"temperature":1}}"#));
        assert!(dropped.is_empty());
    }

    #[test]
    fn what_changes_nothing_of_the_answer_is_left_out() {
        let quirks = json!({ "refused_fields": ["user", "store", "metadata", "service_tier"] });
        let rewrite = Rewrite { model: "m", ..Rewrite::default() };
        let shape = |fields: &str| {
            shaper(quirks.clone()).shape(&ask(&format!(r#"{{"model":"m",{fields},{HELLO}}}"#)), &rewrite)
        };
        let idle = r#""user":"u","store":true,"metadata":{"a":"b"},"service_tier":"auto""#;
        assert_eq!(shape(idle).unwrap(), (format!(r#"{{"model":"m",{HELLO}}}"#).into(), vec![]));
        assert_eq!(shape(r#""service_tier":"flex""#).unwrap_err().param.as_deref(), Some("service_tier"));
    }

    #[test]
    fn words_are_the_providers_own() {
        let quirks = json!({ "renamed_fields": { "seed": "random_seed" }, "developer_role": false, "stream_options": false });
        let body = r#"{"seed":5,"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"developer","content":"d"},{"content":"developer","role":"user"}]}"#;
        let (out, dropped) = shaped(quirks.clone(), body);
        let expected = r#"{"random_seed":5,"model":"m","stream":true,"messages":[{"role":"system","content":"d"},{"content":"developer","role":"user"}]}"#;
        assert_eq!((out.as_str(), dropped.len()), (expected, 0));
        let both = format!(r#"{{"model":"m","seed":5,"random_seed":6,{HELLO}}}"#);
        assert_eq!(shaped(quirks, &both).0, format!(r#"{{"model":"m","random_seed":6,{HELLO}}}"#));
    }

    const TOOLS: &str = r#"{"model":"m","messages":[{"role":"user","content":"a__ts_AAAA"},{"tool_calls":[{"id" : "a__ts_AAAA","type":"function","function":{"name":"f","arguments":"{}"}},{"function":{},"id":"b\u005f_ts_BBBB"}, {}],"role":"assistant"},{"role":"tool","tool_call_id":"b__ts_BBBB","content":"x"},{"role":"tool","tool_call_id": "a__ts_AAAA" ,"content":"x"}, {"role":"assistant","tool_calls":null}]}"#;

    #[test]
    fn signatures_do_not_leave_gemini() {
        let (a, b) = (tool_id::plain("a__ts_AAAA"), tool_id::plain("b__ts_BBBB"));
        let expected = TOOLS
            .replace("\"id\" : \"a__ts_AAAA", &format!("\"id\" : \"{a}"))
            .replace("b\\u005f_ts_BBBB", &b)
            .replace("b__ts_BBBB", &b)
            .replace("\"tool_call_id\": \"a__ts_AAAA", &format!("\"tool_call_id\": \"{a}"));
        assert_eq!(expected.matches("__ts_").count(), 1, "the user's own words stay");
        for quirks in [json!({}), json!({ "output_limit": "max_tokens" })] {
            assert_eq!(shaped(quirks, TOOLS).0, expected);
        }
    }

    #[test]
    fn mistral_gets_nine_letters() {
        let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"call_1"},{"id":"abcdefgh9"}]},{"role":"tool","tool_call_id":"call_1","content":""}]}"#;
        let expected = body.replace("call_1", &tool_id::nine("call_1"));
        assert_eq!(shaped(json!({ "tool_id": "nine" }), body).0, expected);
        assert_eq!(shaped(json!({ "max_n": 1 }), body).0, body);
    }

    #[test]
    fn a_stream_still_reports_its_usage() {
        let (out, _) = shaped(json!({ "max_n": 1 }), &format!(r#"{{"model":"m","stream":true,{HELLO}}}"#));
        assert!(out.contains(r#""stream_options":{"include_usage":true}"#), "{out}");
    }

    #[test]
    fn defaults_are_shaped_too() {
        let quirks = json!({ "output_limit": "max_completion_tokens", "refused_fields": ["logprobs"], "renamed_fields": { "seed": "random_seed" } });
        let defaults = [("max_tokens", "5"), ("logprobs", "true"), ("seed", "1")];
        let defaults = defaults.map(|(name, json)| (name.to_owned(), json.to_owned()));
        let rewrite = Rewrite { model: "m", defaults: &defaults, ..Rewrite::default() };
        let (out, dropped) =
            shaper(quirks.clone()).shape(&ask(&format!(r#"{{"model":"m",{HELLO}}}"#)), &rewrite).unwrap();
        assert_eq!(out, format!(r#"{{"model":"m","max_completion_tokens":5,"random_seed":1,{HELLO}}}"#));
        assert!(dropped.is_empty());
        let own = ask(&format!(r#"{{"model":"m",{HELLO},"max_tokens":9,"seed":2}}"#));
        let (out, _) = shaper(quirks).shape(&own, &rewrite).unwrap();
        assert_eq!(out, format!(r#"{{"model":"m",{HELLO},"max_completion_tokens":9,"random_seed":2}}"#));
    }

    #[test]
    fn a_budget_lowers_the_limit_in_the_providers_field() {
        for (quirks, sent, expected) in [
            (json!({ "output_limit": "max_tokens" }), "", r#""max_tokens":300,"#),
            (json!({ "output_limit": "max_completion_tokens" }), "", r#""max_completion_tokens":300,"#),
            (
                json!({ "output_limit": "max_tokens" }),
                r#""max_completion_tokens":900,"#,
                r#""max_tokens":300,"#,
            ),
            (json!({ "output_limit": "max_tokens" }), r#""max_tokens":7,"#, r#""max_tokens":7,"#),
            (json!({ "renamed_fields": { "max_tokens": "most" } }), r#""max_tokens":900,"#, r#""most":300,"#),
            (json!({ "refused_fields": ["max_completion_tokens"] }), "", r#""max_tokens":300,"#),
            (json!({ "max_n": 1 }), r#""max_tokens":900,"#, r#""max_tokens":300,"#),
        ] {
            let ask = ask(&format!(r#"{{"model":"m",{sent}{HELLO}}}"#));
            let rewrite = Rewrite { model: "m", max_output: Some(300), ..Rewrite::default() };
            let (out, dropped) = shaper(quirks.clone()).shape(&ask, &rewrite).unwrap();
            assert_eq!((out, dropped.len()), (format!(r#"{{"model":"m",{expected}{HELLO}}}"#).into(), 0));
        }
    }

    const POOL: [(&str, &str); 9] = [
        ("n", "2"),
        ("seed", "5"),
        ("logprobs", "true"),
        ("max_tokens", "5"),
        ("max_completion_tokens", "6"),
        ("temperature", "1.7"),
        ("models", r#"["b"]"#),
        ("stream_options", r#"{"include_usage":true}"#),
        ("odd", r#"{"a":[",",{}]}"#),
    ];

    proptest! {
        #[test]
        fn a_shaped_body_is_still_json(
            order in Just((0..POOL.len()).collect::<Vec<_>>()).prop_shuffle(),
            taken in 0..=POOL.len(), at in 0..=POOL.len(), gap in "[ \n]{0,2}", stream: bool, stream_options: bool,
        ) {
            let member = |(name, value): (&str, &str)| format!("{gap}\"{name}\"{gap}:{gap}{value}{gap}");
            let mut members: Vec<_> = order.into_iter().take(taken).map(|i| member(POOL[i])).collect();
            members.insert(at.min(members.len()), member(("model", "\"m\"")));
            members.push(member(("messages", r#"[{"role":"developer"}]"#)));
            members.push(member(("stream", if stream { "true" } else { "false" })));
            let quirks = json!({
                "refused_fields": ["logprobs", "seed"], "max_n": 1, "max_temperature": 1.0, "developer_role": false,
                "output_limit": "max_tokens", "stream_options": stream_options,
            });
            let (out, _) = shaped(quirks, &format!("{{{}}}", members.join(",")));
            let out: Value = serde_json::from_str(&out).unwrap();
            for gone in ["n", "seed", "logprobs", "temperature", "models", "max_completion_tokens"] {
                prop_assert!(out.get(gone).is_none(), "{}: {}", gone, out);
            }
            prop_assert_eq!(&out["messages"][0]["role"], "system");
            prop_assert_eq!(out.get("stream_options").is_some(), stream_options && (stream || members.iter().any(|m| m.contains("stream_options"))));
        }
    }
}
