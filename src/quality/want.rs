//! What an answer has to be, by its request: the checks themselves.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{findings::Findings, rating::rating, refusal::is_refusal, schema::is_misfit};
use crate::{
    config::QualityCheck as Check,
    openai::{Ask, Endpoint, Finish, Said},
};

/// How much of an answer's text is kept where nothing more is needed, in bytes.
const BRIEF: usize = 512;
/// How much of it is kept where JSON was asked for, in bytes; of longer ones nobody says whether they are JSON.
const JSON: usize = 128 * 1024;
/// The largest `response_format` whose schema is looked at, in bytes.
const SCHEMA: usize = 256 * 1024;
/// A character takes four bytes at most.
const CHARACTER: usize = 4;

/// What the answer to one request has to be; clones share the request.
#[derive(Clone, Debug)]
pub struct Want {
    ask: Arc<Ask>,
    json: bool,
    least: usize,
    /// It has to be a number, and nothing is checked.
    rating: bool,
}

#[derive(Deserialize)]
struct Format {
    json_schema: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// Whether JSON is asked for.
fn is_json(ask: &Ask) -> bool {
    let format = ask.field("response_format").and_then(|raw| serde_json::from_slice::<Kind<'_>>(raw).ok());
    let kind = format.and_then(|format| format.kind);
    kind.is_some_and(|kind| kind == "json_object" || kind == "json_schema")
}

impl Want {
    /// What is wanted of a chat's answer, with so many characters at least; `None` for other requests: they are not
    /// checked.
    pub fn of(ask: &Arc<Ask>, least: usize) -> Option<Self> {
        (ask.endpoint() == Endpoint::Chat).then(|| Self {
            ask: Arc::clone(ask),
            json: is_json(ask),
            least,
            rating: false,
        })
    }

    /// What is wanted of a model that rates something: a number from 1 to 10.
    pub fn rating(ask: &Arc<Ask>) -> Self {
        Self { ask: Arc::clone(ask), json: false, least: 0, rating: true }
    }

    /// How much text of an answer has to be kept for the checks, in bytes.
    pub fn keep(&self) -> usize {
        let least = self.least.saturating_mul(CHARACTER);
        if self.json { JSON.max(least) } else { BRIEF.max(least) }
    }

    /// Checks a whole answer in OpenAI's format.
    pub fn judge_body(&self, body: &[u8]) -> Findings {
        self.judge(&Said::of(body, self.keep()))
    }

    /// Checks what was said.
    pub fn judge(&self, said: &Said) -> Findings {
        let mut findings = Findings::default();
        let text = said.text().trim();
        if self.rating {
            return Findings { rating: rating(text), ..findings };
        }
        let silent = text.is_empty() && !said.is_cut();
        findings.note(Check::Empty, silent && !said.shows() && !said.is_refused());
        let refuses = said.is_refused()
            || said.finish() == Some(Finish::Filter)
            || !said.is_cut() && !said.shows() && is_refusal(text);
        findings.note(Check::Refusal, refuses);
        findings.note(Check::Truncated, said.finish() == Some(Finish::Length));
        // Tools are called instead of an answer in JSON, and pictures shown instead of one in words.
        let in_words = !said.shows() && !said.is_refused();
        if in_words && self.json && !said.is_cut() {
            self.judge_json(text, &mut findings);
        }
        if in_words && self.least > 0 {
            let short = !said.is_cut() && text.chars().take(self.least).count() < self.least;
            findings.note(Check::TooShort, short);
        }
        findings
    }

    fn judge_json(&self, text: &str, findings: &mut Findings) {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        findings.note(Check::InvalidJson, !is_json);
        if !is_json {
            return;
        }
        // What is nested too deeply to be read is not compared.
        if let (Some(schema), Ok(value)) = (self.schema(), serde_json::from_str(text)) {
            findings.note(Check::SchemaMismatch, is_misfit(&schema, &value));
        }
    }

    /// The schema that was asked for, if it can be read.
    fn schema(&self) -> Option<Value> {
        let format = self.ask.field("response_format").filter(|raw| raw.len() <= SCHEMA)?;
        serde_json::from_slice::<Format>(format).ok()?.json_schema?.schema
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::openai::Produced;

    fn want(more: Value, least: usize) -> Want {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let ask = Ask::parse(Endpoint::Chat, Bytes::from(body.to_string())).unwrap();
        Want::of(&Arc::new(ask), least).unwrap()
    }

    fn json_mode() -> Value {
        json!({ "response_format": { "type": "json_object" } })
    }

    fn with_schema() -> Value {
        let schema =
            json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
        let named = json!({ "name": "n", "schema": schema });
        json!({ "response_format": { "type": "json_schema", "json_schema": named } })
    }

    fn word(want: &Want, message: &Value, finish: &str) -> &'static str {
        let body = json!({ "choices": [{ "index": 0, "finish_reason": finish, "message": message }] });
        want.judge_body(body.to_string().as_bytes()).word().unwrap()
    }

    fn says(want: &Want, text: &str) -> &'static str {
        word(want, &json!({ "role": "assistant", "content": text }), "stop")
    }

    #[test]
    fn plain_answers_are_checked() {
        let want = want(json!({}), 0);
        assert_eq!(says(&want, "Yes."), "ok");
        assert_eq!(says(&want, " \n"), "empty");
        assert_eq!(word(&want, &json!({ "content": null }), "stop"), "empty");
        assert_eq!(says(&want, "I'm sorry, but I can't help with that."), "refusal");
        assert_eq!(word(&want, &json!({ "content": null, "refusal": "No." }), "stop"), "refusal");
        assert_eq!(word(&want, &json!({ "content": "Well" }), "content_filter"), "refusal");
        assert_eq!(word(&want, &json!({ "content": "Well" }), "length"), "truncated");
        let call =
            json!({ "content": null, "tool_calls": [{ "function": { "name": "f", "arguments": "" } }] });
        assert_eq!(word(&want, &call, "tool_calls"), "ok");
        assert_eq!(want.judge_body(b"{}").word(), Some("empty"));
    }

    #[test]
    fn json_is_checked_where_it_was_asked_for() {
        let mode = want(json_mode(), 0);
        for (text, expected) in [
            (" {\"a\":1}\n", "ok"),
            ("[]", "ok"),
            ("{\"a\":", "invalid_json"),
            ("```json\n{}\n```", "invalid_json"),
        ] {
            assert_eq!(says(&mode, text), expected, "{text}");
        }
        let failed = mode.judge_body(b"{}").failed;
        assert!(failed.contains(Check::Empty) && failed.contains(Check::InvalidJson));
        assert_eq!(says(&want(json!({}), 0), "{\"a\":"), "ok");
        let call =
            json!({ "content": null, "tool_calls": [{ "function": { "name": "f", "arguments": "" } }] });
        assert_eq!(word(&mode, &call, "tool_calls"), "ok");
        assert_eq!(word(&mode, &json!({ "content": "{\"a\"" }), "length"), "invalid_json");
        let long = format!("[{}", "1,".repeat(200_000));
        assert_eq!(says(&mode, &long), "ok", "nobody knows");
    }

    #[test]
    fn schemas_are_compared() {
        let want = want(with_schema(), 0);
        for (text, expected) in [
            ("{\"a\":1}", "ok"),
            ("{\"a\":\"1\"}", "schema_mismatch"),
            ("[]", "schema_mismatch"),
            ("a", "invalid_json"),
        ] {
            assert_eq!(says(&want, text), expected, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(says(&want, &deep), "ok", "nobody knows");
    }

    #[test]
    fn short_answers_are_short_in_characters() {
        let want = want(json!({}), 300);
        assert_eq!(says(&want, &"é".repeat(299)), "too_short");
        assert_eq!(says(&want, &"é".repeat(300)), "ok");
        assert_eq!(says(&want, &"日".repeat(2000)), "ok");
        assert_eq!(says(&want, &format!(" {} ", "a".repeat(299))), "too_short");
    }

    #[test]
    fn only_chats_are_checked() {
        let body = Bytes::from_static(br#"{"model":"m","prompt":"x"}"#);
        let ask = Arc::new(Ask::parse(Endpoint::Completions, body).unwrap());
        assert!(Want::of(&ask, 0).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(body in prop::collection::vec(any::<u8>(), 0..300), least in 0_usize..20) {
            for more in [json!({}), json_mode(), with_schema()] {
                prop_assert!(want(more, least).judge_body(&body).word().is_some());
            }
        }

        #[test]
        fn a_stream_is_judged_as_its_whole(text in "[{}\\[\\]\":,a1é ]{0,40}", size in 1_usize..9, length in any::<bool>()) {
            let finish = if length { "length" } else { "stop" };
            for more in [json!({}), json_mode(), with_schema()] {
                let want = want(more, 5);
                let whole = json!({ "choices": [{ "finish_reason": finish, "message": { "content": text } }] });
                let mut produced = Produced::keeping(want.keep());
                let letters: Vec<char> = text.chars().collect();
                for piece in letters.chunks(size) {
                    let piece: String = piece.iter().collect();
                    let chunk = json!({ "choices": [{ "finish_reason": null, "delta": { "content": piece } }] });
                    produced.push(format!("data: {chunk}\n\n").as_bytes());
                }
                let last = json!({ "choices": [{ "finish_reason": finish, "delta": {} }] });
                produced.push(format!("data: {last}\n\n").as_bytes());
                prop_assert_eq!(want.judge(produced.said()), want.judge_body(whole.to_string().as_bytes()));
            }
        }
    }
}
