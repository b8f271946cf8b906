//! Why an answer ended, in OpenAI's words.

use serde::Deserialize;

/// What is said to a refusal that gives no reason.
const REFUSED: &str = "The model declined to answer.";

/// Anthropic's words for the end of an answer.
#[derive(Debug, Default, Deserialize)]
pub struct Stop {
    /// Like `end_turn`.
    #[serde(default)]
    pub stop_reason: Option<String>,
    #[serde(default)]
    stop_details: Option<Details>,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    explanation: Option<String>,
}

impl Stop {
    /// OpenAI's `finish_reason`. `answered`: the call that ended the answer was the answer itself.
    ///
    /// A refusal is `content_filter`: Anthropic's own filters stopped the answer, wherever it was.
    pub fn finish_reason(&self, answered: bool) -> &'static str {
        match self.stop_reason.as_deref() {
            Some("max_tokens" | "model_context_window_exceeded") => "length",
            Some("tool_use") if !answered => "tool_calls",
            Some("refusal") => "content_filter",
            // `end_turn`, `stop_sequence`, and `pause_turn`: a turn of the provider's own tools that it did not end.
            _ => "stop",
        }
    }

    /// The text of a refusal.
    pub fn refusal(self) -> Option<String> {
        (self.stop_reason.as_deref() == Some("refusal")).then(|| {
            let explanation = self.stop_details.and_then(|details| details.explanation);
            explanation.filter(|text| !text.is_empty()).unwrap_or_else(|| REFUSED.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_word() {
        for (reason, expected) in [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("pause_turn", "stop"),
            ("new_one", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
        ] {
            let stop = Stop { stop_reason: Some(reason.into()), stop_details: None };
            assert_eq!(stop.finish_reason(false), expected, "{reason}");
        }
        let answered = Stop { stop_reason: Some("tool_use".into()), stop_details: None };
        assert_eq!(answered.finish_reason(true), "stop");
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = |json| serde_json::from_str::<Stop>(json).unwrap().refusal();
        let told = r#"{"stop_reason":"refusal","stop_details":{"explanation":"Because."}}"#;
        assert_eq!(refusal(told).as_deref(), Some("Because."));
        assert_eq!(refusal(r#"{"stop_reason":"refusal","stop_details":null}"#).as_deref(), Some(REFUSED));
        assert_eq!(refusal(r#"{"stop_reason":"end_turn"}"#), None);
    }
}
