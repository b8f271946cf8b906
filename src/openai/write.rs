//! Writes OpenAI's answers, for codecs that translate into them.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::usage::Usage;

/// The longest id or name of a model, in bytes. Each chunk of a stream repeats them: without a bound a long one would
/// make a short stream fill the memory.
const MAX_NAME: usize = 256;

/// What is the same in all chunks of a stream, or names a whole answer.
#[derive(Clone, Debug)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
}

/// A whole chat answer.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice>,
    usage: Option<UsageObject>,
}

/// One of a whole answer's choices.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// Its number, from 0.
    pub index: usize,
    /// What was said.
    pub message: Message,
    /// The probabilities of its tokens in OpenAI's form; null where there are none.
    pub logprobs: Option<Value>,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    pub finish_reason: &'static str,
}

/// What was said.
#[derive(Debug, Default, Serialize)]
pub struct Message {
    role: Assistant,
    /// The text; null where there is none.
    pub content: Option<String>,
    /// Why it would not answer.
    pub refusal: Option<String>,
    /// What it thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// What it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// A provider's own fields, which a client may send back.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Always `assistant`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
enum Assistant {
    #[default]
    Assistant,
}

/// A call of a function, whole or as a delta.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ToolCall {
    /// Its number; only in deltas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// What the result refers to; in a stream only in the first delta of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`; like `id`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Which function, with what.
    pub function: FunctionCall,
    /// A provider's own fields, which a client may send back.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function's name with its arguments, or a piece of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FunctionCall {
    /// Its name; in a stream only in the first delta of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// JSON.
    pub arguments: String,
}

/// What a chunk adds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Text of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// A provider's own fields, which a client may send back.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageObject>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: &'a Delta,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'static str>,
}

/// OpenAI's form of a usage: prompt and completion include their parts.
#[derive(Clone, Copy, Debug, Serialize)]
struct UsageObject {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    /// Not a field of OpenAI's, whose caches cost nothing to write.
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
    /// As other gateways tell which of them stay for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_token_details: Option<WriteDetails>,
    #[serde(skip_serializing_if = "is_zero")]
    audio_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct WriteDetails {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    audio_tokens: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        let (prompt, completion) = (usage.prompt(), usage.completion());
        let by_time = (usage.cache_write_1h > 0).then_some(WriteDetails {
            ephemeral_5m_input_tokens: usage.cache_write,
            ephemeral_1h_input_tokens: usage.cache_write_1h,
        });
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt.saturating_add(completion),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cached_input,
                cache_write_tokens: usage.cache_write.saturating_add(usage.cache_write_1h),
                cache_creation_token_details: by_time,
                audio_tokens: usage.audio_input,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning,
                audio_tokens: usage.audio_output,
            },
        }
    }
}

impl Head {
    /// What begins with the provider's id of the answer, seconds since 1970, the provider's own name for what answered.
    /// Names that are too long lose their ends.
    pub fn new(mut id: String, created: u64, mut model: String) -> Self {
        for name in [&mut id, &mut model] {
            name.truncate(name.floor_char_boundary(MAX_NAME));
        }
        Self { id, created, model }
    }

    /// The provider's id of the answer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The provider's own name for what answered.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// A whole answer as JSON.
    pub fn answer(&self, choices: Vec<Choice>, usage: Option<&Usage>) -> Bytes {
        json(&Answer {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices,
            usage: usage.map(Into::into),
        })
        .into()
    }

    /// A chunk of a stream as an event.
    pub fn chunk(&self, index: usize, delta: &Delta, finish_reason: Option<&'static str>) -> Bytes {
        self.chunk_with(index, delta, finish_reason, None)
    }

    /// A chunk with the probabilities of its tokens.
    pub fn chunk_with(
        &self,
        index: usize,
        delta: &Delta,
        finish_reason: Option<&'static str>,
        logprobs: Option<&Value>,
    ) -> Bytes {
        self.event(&[ChunkChoice { index, delta, logprobs, finish_reason }], None)
    }

    /// The chunk that tells the usage, as an event.
    pub fn usage_chunk(&self, usage: &Usage) -> Bytes {
        self.event(&[], Some(usage))
    }

    fn event(&self, choices: &[ChunkChoice<'_>], usage: Option<&Usage>) -> Bytes {
        super::sse::frame(&json(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: usage.map(Into::into),
        }))
    }
}

/// The event that ends a stream.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("structs of texts and numbers always serialize")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        Head::new("x".into(), 1, "m".into())
    }

    #[test]
    fn long_names_lose_their_ends() {
        let head = Head::new("é".repeat(1000), 1, format!("a{}", "é".repeat(1000)));
        assert_eq!(head.id(), "é".repeat(128));
        assert_eq!(head.model(), format!("a{}", "é".repeat(127)));
    }

    #[test]
    fn a_whole_answer_has_openais_form() {
        let usage = Usage { input: 3, cached_input: 2, output: 4, reasoning: 1, ..Usage::default() };
        let message = Message { content: Some("hi".into()), ..Message::default() };
        let choice = Choice { index: 0, message, logprobs: None, finish_reason: "stop" };
        let answer: Value = serde_json::from_slice(&head().answer(vec![choice], Some(&usage))).unwrap();
        assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
        assert_eq!(answer["usage"]["prompt_tokens"], 5);
        assert_eq!(answer["usage"]["completion_tokens"], 5);
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
        assert!(answer["choices"][0]["message"].get("tool_calls").is_none());
    }

    #[test]
    fn a_chunk_holds_only_what_it_adds() {
        let delta = Delta { content: Some("hi".into()), ..Delta::default() };
        assert_eq!(
            head().chunk(0, &delta, None),
            "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n"
        );
        assert!(head().usage_chunk(&Usage::default()).starts_with(b"data: {\"id\":\"x\""));
    }

    proptest! {
        #[test]
        fn a_usage_comes_back_in_its_kinds(counts: [u32; 8], zeros: [bool; 8]) {
            let at = |i: usize| if zeros[i] { 0 } else { u64::from(counts[i]) };
            let usage = Usage {
                input: at(0),
                cached_input: at(1),
                cache_write: at(2),
                cache_write_1h: at(3),
                audio_input: at(4),
                output: at(5),
                reasoning: at(6),
                audio_output: at(7),
            };
            let written = json(&UsageObject::from(&usage));
            let read = Usage::parse(std::str::from_utf8(&written).unwrap());
            prop_assert_eq!(read, Ok(Some(usage)));
        }
    }
}
