//! What becomes of each top-level field of a chat request.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::losses::{Losses, is_neutral};
use crate::openai::BadField;

/// The fields of a request with their JSON.
pub type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Fields that reach Gemini under some name.
const TRANSLATED: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "modalities",
    "stream",
    "safety_settings",
    "safetySettings",
    "cached_content",
    "cachedContent",
];

/// Fields that do not change the answer: accounting, storage, speed.
const HARMLESS: &[&str] = &[
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
];

/// Fields of an embeddings request that reach Gemini.
pub const EMBEDDINGS: &[&str] = &["model", "input", "dimensions", "encoding_format", "user", "task_type"];

/// Reads the fields of a body.
///
/// # Errors
/// It is no JSON object.
pub fn read(body: &[u8]) -> Result<Fields<'_>, BadField> {
    serde_json::from_slice(body).map_err(|error| BadField {
        param: None,
        message: format!("The body is not a valid JSON request: {error}."),
    })
}

/// Looks for what cannot be translated in a chat request.
///
/// # Errors
/// The first such field, unless they may be dropped.
pub fn check(fields: &Fields<'_>, losses: &mut Losses) -> Result<(), BadField> {
    only(fields, |name| TRANSLATED.contains(&name) || HARMLESS.contains(&name), losses)?;
    let forbids = |name: &str| fields.get(name).is_some_and(|raw| raw.get() == "false");
    let has_tools = fields.get("tools").is_some_and(|raw| !["null", "[]"].contains(&raw.get()));
    if forbids("parallel_tool_calls") && has_tools {
        losses.lose(
            "parallel_tool_calls".into(),
            "Gemini cannot be kept from calling several tools at once: `parallel_tool_calls` cannot be false."
                .into(),
        )?;
    }
    Ok(())
}

/// Refuses every field that says something and that `known` does not know.
///
/// # Errors
/// The first such field, unless they may be dropped.
pub fn only(fields: &Fields<'_>, known: impl Fn(&str) -> bool, losses: &mut Losses) -> Result<(), BadField> {
    for (name, raw) in fields {
        let says = || !serde_json::from_str(raw.get()).is_ok_and(|value| is_neutral(&value));
        if !known(name) && says() {
            losses.field(name.as_str())?;
        }
    }
    Ok(())
}

/// The JSON of the first of these fields that is there and not null.
pub fn first<'a>(fields: &Fields<'a>, names: &[&str]) -> Option<&'a RawValue> {
    names.iter().filter_map(|name| fields.get(*name)).copied().find(|raw| raw.get() != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str, drop: bool) -> Result<Vec<String>, Option<String>> {
        let mut losses = Losses::new(drop);
        check(&read(body.as_bytes()).unwrap(), &mut losses).map_err(|bad| bad.param)?;
        Ok(losses.into_dropped())
    }

    #[test]
    fn every_field_has_one_fate() {
        for name in TRANSLATED {
            assert!(!HARMLESS.contains(name), "{name}");
        }
        assert_eq!(checked(r#"{"model":"m","user":"u","store":true}"#, false), Ok(vec![]));
        for name in ["logit_bias", "audio", "functions", "web_search_options", "verbosity", "brand_new"] {
            let body = format!(r#"{{"{name}":{{"a":1}}}}"#);
            assert_eq!(checked(&body, false), Err(Some(name.into())));
            assert_eq!(checked(&body, true), Ok(vec![name.to_owned()]));
            assert_eq!(checked(&format!(r#"{{"{name}":null}}"#), false), Ok(vec![]));
        }
    }

    #[test]
    fn parallel_calls_cannot_be_forbidden() {
        let body = r#"{"tools":[{}],"parallel_tool_calls":false}"#;
        assert_eq!(checked(body, false), Err(Some("parallel_tool_calls".into())));
        assert_eq!(checked(r#"{"tools":[{}],"parallel_tool_calls":true}"#, false), Ok(vec![]));
        assert_eq!(checked(r#"{"tools":[],"parallel_tool_calls":false}"#, false), Ok(vec![]));
        assert_eq!(checked(r#"{"parallel_tool_calls":false}"#, false), Ok(vec![]));
    }
}
