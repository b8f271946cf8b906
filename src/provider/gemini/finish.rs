//! Why an answer ended, in OpenAI's words.

use serde_json::Value;

use crate::provider::Failure;

/// OpenAI's word for Gemini's. `calls`: functions were called; `spoke`: something was said.
///
/// # Errors
/// Gemini gave up: the next target may do better.
pub fn reason(name: &str, calls: bool, spoke: bool) -> Result<&'static str, Failure> {
    match name {
        "STOP" if calls => Ok("tool_calls"),
        "STOP" => Ok("stop"),
        "MAX_TOKENS" => Ok("length"),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Ok("content_filter"),
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => Err(Failure::invalid(format!("Gemini ended its answer with {name}."))),
        // OTHER, NO_IMAGE, whatever comes: an answer only if something was said.
        _ if calls => Ok("tool_calls"),
        _ if spoke => Ok("stop"),
        _ => Err(Failure::invalid(format!("Gemini ended without an answer: {name}."))),
    }
}

/// Gemini's word. Some of Vertex AI's answers give its number instead.
pub fn name(reason: &Value) -> String {
    const NAMES: [&str; 14] = [
        "FINISH_REASON_UNSPECIFIED",
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "RECITATION",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    ];
    match reason {
        Value::String(name) => name.chars().take(64).collect(),
        Value::Number(number) => {
            let name = number.as_u64().and_then(|at| NAMES.get(usize::try_from(at).ok()?));
            name.copied().unwrap_or("OTHER").to_owned()
        }
        _ => "OTHER".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::outcome::Outcome;

    #[test]
    fn endings_have_openais_words() {
        let of = |name, calls, spoke| reason(name, calls, spoke).map_err(|failure| failure.outcome);
        assert_eq!(of("STOP", false, true), Ok("stop"));
        assert_eq!(of("STOP", true, true), Ok("tool_calls"));
        assert_eq!(of("MAX_TOKENS", false, false), Ok("length"));
        assert_eq!(of("MAX_TOKENS", true, true), Ok("length"));
        for name in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"] {
            assert_eq!(of(name, false, false), Ok("content_filter"), "{name}");
        }
        for name in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"] {
            assert_eq!(of(name, true, true), Err(Outcome::InvalidAnswer), "{name}");
        }
        assert_eq!(of("OTHER", false, true), Ok("stop"));
        assert_eq!(of("OTHER", true, true), Ok("tool_calls"));
        assert_eq!(of("OTHER", false, false), Err(Outcome::InvalidAnswer));
    }

    #[test]
    fn numbers_have_names() {
        let names =
            [json!("STOP"), json!(2), json!(9), json!(99), json!(-1), json!([])].map(|value| name(&value));
        assert_eq!(names, ["STOP", "MAX_TOKENS", "MALFORMED_FUNCTION_CALL", "OTHER", "OTHER", "OTHER"]);
    }
}
