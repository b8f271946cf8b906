//! Which top-level fields of a chat request Anthropic's API can serve.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, value::RawValue};

use super::gap::Gaps;
use crate::openai::BadField;

/// The fields of a body by name, as they stand there.
pub type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// What becomes of a field.
enum Fate {
    /// It is translated.
    Translated,
    /// It changes nothing of the answer.
    Harmless,
    /// These values, as JSON, change nothing; others have no counterpart.
    HarmlessAs(&'static [&'static str]),
}

use Fate::{Harmless, HarmlessAs, Translated};

/// Every field that is not refused. `cache_control`, `thinking` and `top_k` are Anthropic's own, which OpenAI's clients
/// send as extra fields.
const FIELDS: &[(&str, Fate)] = &[
    ("cache_control", Translated),
    ("max_completion_tokens", Translated),
    ("max_tokens", Translated),
    ("messages", Translated),
    ("metadata", Translated),
    ("model", Translated),
    ("parallel_tool_calls", Translated),
    ("reasoning_effort", Translated),
    ("response_format", Translated),
    ("safety_identifier", Translated),
    ("service_tier", Translated),
    ("stop", Translated),
    ("stream", Translated),
    ("temperature", Translated),
    ("thinking", Translated),
    ("tool_choice", Translated),
    ("tools", Translated),
    ("top_k", Translated),
    ("top_p", Translated),
    ("user", Translated),
    // Usage is always told.
    ("stream_options", Harmless),
    // Hints for OpenAI's own cache.
    ("prompt_cache_key", Harmless),
    ("prompt_cache_retention", Harmless),
    ("frequency_penalty", HarmlessAs(&["0", "0.0"])),
    ("logit_bias", HarmlessAs(&["{}"])),
    ("logprobs", HarmlessAs(&["false"])),
    ("modalities", HarmlessAs(&[r#"["text"]"#])),
    ("n", HarmlessAs(&["1"])),
    ("presence_penalty", HarmlessAs(&["0", "0.0"])),
    ("store", HarmlessAs(&["false"])),
    ("top_logprobs", HarmlessAs(&["0"])),
    ("verbosity", HarmlessAs(&["\"medium\""])),
];

/// Meets every field that has no counterpart.
///
/// # Errors
/// The first such field, unless it may be left out.
pub fn check(fields: &Fields<'_>, gaps: &mut Gaps<'_>) -> Result<(), BadField> {
    for (name, value) in fields {
        if value.get() != "null" && !is_served(name, value) {
            gaps.meet(&**name, "Anthropic's API has no counterpart to this field")?;
        }
    }
    Ok(())
}

fn is_served(name: &str, value: &RawValue) -> bool {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    match FIELDS.iter().find(|(known, _)| *known == name) {
        Some((_, Translated | Harmless)) => true,
        Some((_, HarmlessAs(values))) => values.iter().any(|known| json(known) == json(value.get())),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(body: &str, drop: bool) -> Result<Vec<String>, Option<String>> {
        let mut gaps = Gaps::new(drop);
        let fields: Fields<'_> = serde_json::from_str(body).unwrap();
        check(&fields, &mut gaps).map_err(|bad| bad.param)?;
        Ok(gaps.dropped)
    }

    #[test]
    fn what_changes_nothing_passes() {
        let body = r#"{"n":1,"logprobs":false,"store":false,"logit_bias":{ },"modalities":[ "text" ],"seed":null,
            "presence_penalty":0.0,"stream_options":{},"prompt_cache_key":"k","verbosity":"medium","user":"u"}"#;
        assert_eq!(met(body, false), Ok(vec![]));
    }

    #[test]
    fn what_has_no_counterpart_is_refused_or_dropped_by_name() {
        for (name, value) in [
            ("n", "2"),
            ("seed", "1"),
            ("logprobs", "true"),
            ("top_logprobs", "3"),
            ("logit_bias", r#"{"1":2}"#),
            ("frequency_penalty", "0.5"),
            ("presence_penalty", "-1"),
            ("modalities", r#"["text","audio"]"#),
            ("audio", "{}"),
            ("prediction", "{}"),
            ("store", "true"),
            ("web_search_options", "{}"),
            ("functions", "[]"),
            ("verbosity", "\"low\""),
            ("unheard_of", "1"),
        ] {
            let body = format!("{{\"{name}\":{value}}}");
            assert_eq!(met(&body, false), Err(Some(name.to_owned())), "{body}");
            assert_eq!(met(&body, true), Ok(vec![name.to_owned()]), "{body}");
        }
    }
}
