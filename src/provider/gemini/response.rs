//! What `generateContent` answers, whole or as an event of a stream.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::openai::{Usage, usage::MAX_TOKENS};

/// An answer or a piece of one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Response {
    /// The choices, or what this event adds to them.
    pub candidates: Option<Vec<Candidate>>,
    /// Why there are none.
    pub prompt_feedback: Option<PromptFeedback>,
    /// What was used so far.
    pub usage_metadata: Option<UsageMetadata>,
    /// The model's own name.
    pub model_version: Option<String>,
    /// The answer's id.
    pub response_id: Option<String>,
    /// A failure under a success status.
    pub error: Option<Value>,
}

/// A choice, or what an event adds to it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Candidate {
    /// Its number; absent for the first.
    pub index: Option<usize>,
    /// What was said.
    pub content: Option<Content>,
    /// Why it ended: a name, or its number in some of Vertex AI's answers.
    pub finish_reason: Option<Value>,
    /// The probabilities of its tokens.
    pub logprobs_result: Option<Logprobs>,
    /// Everything else: sources, ratings.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What was said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Content {
    /// Its parts.
    pub parts: Option<Vec<Part>>,
}

/// A part of what was said.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Part {
    /// A text.
    pub text: Option<String>,
    /// Whether the text is a thought.
    pub thought: Option<bool>,
    /// What has to come back with the part.
    pub thought_signature: Option<String>,
    /// A call.
    pub function_call: Option<FunctionCall>,
    /// A picture or the like.
    pub inline_data: Option<Blob>,
    /// Everything else, like code that Gemini ran.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A call, or the continuation of the one before.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionCall {
    /// Gemini 3 and later have one.
    pub id: Option<String>,
    /// Absent in continuations.
    pub name: Option<String>,
    /// The arguments, whole.
    pub args: Option<Box<RawValue>>,
    /// Or pieces of them.
    pub partial_args: Option<Vec<PartialArg>>,
    /// Whether more pieces follow.
    pub will_continue: Option<bool>,
}

/// A piece of a call's arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialArg {
    /// Where it belongs, like `$.list[0].name`.
    pub json_path: String,
    /// A text, or a piece of one.
    pub string_value: Option<String>,
    /// A number.
    pub number_value: Option<serde_json::Number>,
    /// A truth value.
    pub bool_value: Option<bool>,
}

/// Data in base64.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Blob {
    /// Like `image/png`.
    pub mime_type: String,
    /// Base64.
    pub data: String,
}

/// Why a prompt was not answered.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PromptFeedback {
    /// Like `SAFETY`.
    pub block_reason: Option<Value>,
    /// The same as a sentence.
    pub block_reason_message: Option<String>,
}

/// The probabilities of a choice's tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logprobs {
    /// For each token its likeliest alternatives.
    pub top_candidates: Vec<TopCandidates>,
    /// The tokens.
    pub chosen_candidates: Vec<Token>,
}

/// A token's likeliest alternatives.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TopCandidates {
    /// They.
    pub candidates: Vec<Token>,
}

/// A token.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Token {
    /// Its text.
    pub token: String,
    /// The logarithm of its probability.
    pub log_probability: f64,
}

/// What was used. Counts that cannot be make it no usage instead of failing the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageMetadata {
    prompt_token_count: Value,
    cached_content_token_count: Value,
    candidates_token_count: Value,
    thoughts_token_count: Value,
    tool_use_prompt_token_count: Value,
    total_token_count: Value,
    prompt_tokens_details: Value,
    cache_tokens_details: Value,
    candidates_tokens_details: Value,
    tool_use_prompt_tokens_details: Value,
}

/// The tokens of sound in a list of counts by modality; `None` if a count cannot be one.
fn audio(details: &Value) -> Option<u64> {
    let mut sum = 0_u64;
    for detail in details.as_array().into_iter().flatten() {
        if detail["modality"] == "AUDIO" && !detail["tokenCount"].is_null() {
            let count = detail["tokenCount"].as_u64().filter(|count| *count <= MAX_TOKENS)?;
            sum = sum.saturating_add(count);
        }
    }
    Some(sum)
}

impl UsageMetadata {
    /// The tokens by kind; `None` if nothing is counted, or something that cannot be.
    ///
    /// Cached tokens are among the prompt's; thoughts are outside the candidates'; what tools brought (like a fetched
    /// page) is outside the prompt's. Sound is among each of them, save thoughts; what of it was cached counts as
    /// cached. <https://ai.google.dev/api/generate-content#UsageMetadata>
    pub fn usage(&self) -> Option<Usage> {
        let count = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().filter(|count| *count <= MAX_TOKENS).map(Some),
        };
        let prompt = count(&self.prompt_token_count)?;
        let candidates = count(&self.candidates_token_count)?;
        let thoughts = count(&self.thoughts_token_count)?;
        let total = count(&self.total_token_count)?;
        let cached = count(&self.cached_content_token_count)?.unwrap_or(0);
        let tools = count(&self.tool_use_prompt_token_count)?.unwrap_or(0);
        prompt.or(candidates).or(thoughts).or(total)?;
        let (prompt, reasoning) = (prompt.unwrap_or(0), thoughts.unwrap_or(0));
        let left = total.unwrap_or(0).saturating_sub(prompt + tools + reasoning);
        let cached_input = cached.min(prompt);
        let heard = audio(&self.prompt_tokens_details)?.saturating_sub(audio(&self.cache_tokens_details)?);
        let heard = heard.min(prompt - cached_input);
        let heard_by_tools = audio(&self.tool_use_prompt_tokens_details)?.min(tools);
        let candidates = candidates.unwrap_or(left);
        let audio_output = audio(&self.candidates_tokens_details)?.min(candidates);
        Some(Usage {
            input: prompt - cached_input - heard + tools - heard_by_tools,
            cached_input,
            audio_input: heard + heard_by_tools,
            output: candidates - audio_output,
            reasoning,
            audio_output,
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage(value: Value) -> Option<Usage> {
        serde_json::from_value::<UsageMetadata>(value).unwrap().usage()
    }

    #[test]
    fn kinds_are_disjoint() {
        let all =
            usage(json!({"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2, "toolUsePromptTokenCount": 7, "totalTokenCount": 22}));
        let expected = Usage { input: 13, cached_input: 4, output: 3, reasoning: 2, ..Usage::default() };
        assert_eq!(all, Some(expected));
        assert_eq!(
            usage(json!({"promptTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 9}))
                .unwrap()
                .output,
            0
        );
        assert_eq!(usage(json!({"promptTokenCount": 5, "totalTokenCount": 9})).unwrap().output, 4);
        assert_eq!(usage(json!({"trafficType": "ON_DEMAND"})), None);
        assert_eq!(usage(json!({"promptTokenCount": -1})), None);
        assert_eq!(usage(json!({"promptTokenCount": 1, "candidatesTokenCount": "x"})), None);
        assert_eq!(usage(json!({"promptTokenCount": 1_u64 << 41})), None);
    }

    #[test]
    fn sound_is_a_kind_of_its_own() {
        let by = |text: u64, audio: u64| json!([{"modality": "TEXT", "tokenCount": text}, {"modality": "AUDIO", "tokenCount": audio}, {"modality": "IMAGE"}]);
        let mut object = json!({"promptTokenCount": 100, "cachedContentTokenCount": 30, "candidatesTokenCount": 50,
            "thoughtsTokenCount": 5, "toolUsePromptTokenCount": 9, "promptTokensDetails": by(40, 60),
            "cacheTokensDetails": by(10, 20), "candidatesTokensDetails": by(2, 48),
            "toolUsePromptTokensDetails": by(6, 3)});
        let mut expected = Usage {
            input: 30 + 6,
            cached_input: 30,
            audio_input: 40 + 3,
            output: 2,
            reasoning: 5,
            audio_output: 48,
            ..Usage::default()
        };
        assert_eq!(usage(object.clone()), Some(expected));
        // Where nobody tells what was cached, no more was heard anew than there is.
        object["cacheTokensDetails"] = json!(null);
        object["promptTokensDetails"] = by(0, 100);
        (expected.input, expected.audio_input) = (6, 70 + 3);
        assert_eq!(usage(object.clone()), Some(expected));
        object["promptTokensDetails"] = json!([{"modality": "AUDIO", "tokenCount": -1}]);
        assert_eq!(usage(object.clone()), None);
        object["promptTokensDetails"] = json!("none");
        assert_eq!(usage(object).unwrap().audio_input, 3);
    }
}
