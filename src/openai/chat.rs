//! A chat request in full, for codecs that translate it.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::ask::BadField;

/// The body of `POST /v1/chat/completions`, as far as OpenAI's API defines it for text, tools and media.
///
/// Top-level fields that are not here are told by [`super::Ask::present`]; fields inside messages, parts and tools
/// that are not here stand in `extra`, so that a codec can refuse what it would lose.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chat {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The functions that the model may call.
    pub tools: Option<Vec<Tool>>,
    /// Whether it may, must, or must not call one, or which.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// Where the answer ends.
    pub stop: Option<Stop>,
    /// 0 to 2 in OpenAI's API.
    pub temperature: Option<f64>,
    /// The nucleus, 0 to 1.
    pub top_p: Option<f64>,
    /// How many answers.
    pub n: Option<u64>,
    /// The seed of the sampling.
    pub seed: Option<i64>,
    /// The older name of `max_completion_tokens`.
    pub max_tokens: Option<u64>,
    /// The most tokens of the answer, reasoning included.
    pub max_completion_tokens: Option<u64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Whether to tell the probabilities of the tokens.
    pub logprobs: Option<bool>,
    /// How many alternatives to tell for each token.
    pub top_logprobs: Option<u64>,
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`.
    pub reasoning_effort: Option<String>,
    /// Who asks, in the client's own words.
    pub user: Option<String>,
    /// The newer name of `user`.
    pub safety_identifier: Option<String>,
}

/// A turn of the conversation.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool` or `function`.
    pub role: String,
    /// What was said.
    #[serde(default)]
    pub content: Option<Content>,
    /// The speaker's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The calls that an assistant's turn made.
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call that a tool's turn answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Why an assistant would not answer.
    #[serde(default)]
    pub refusal: Option<String>,
    /// What an assistant thought, as DeepSeek and others name it.
    #[serde(default)]
    pub reasoning_content: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What was said: a text, or parts of several kinds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts.
    Parts(Vec<Part>),
}

/// A part of a turn.
#[derive(Debug, Deserialize)]
pub struct Part {
    /// `text`, `image_url`, `input_audio`, `file`, `refusal`, or a provider's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a `text` part.
    #[serde(default)]
    pub text: Option<String>,
    /// The picture of an `image_url` part.
    #[serde(default)]
    pub image_url: Option<ImageUrl>,
    /// The sound of an `input_audio` part.
    #[serde(default)]
    pub input_audio: Option<InputAudio>,
    /// The file of a `file` part.
    #[serde(default)]
    pub file: Option<File>,
    /// The text of a `refusal` part.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Anthropic's mark of where a cached prefix ends.
    #[serde(default)]
    pub cache_control: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A picture.
#[derive(Debug, Deserialize)]
pub struct ImageUrl {
    /// `https://...`, or `data:image/png;base64,...`.
    pub url: String,
    /// `low`, `high` or `auto`.
    #[serde(default)]
    pub detail: Option<String>,
}

/// A sound.
#[derive(Debug, Deserialize)]
pub struct InputAudio {
    /// Base64.
    pub data: String,
    /// `wav` or `mp3`.
    pub format: String,
}

/// A file.
#[derive(Debug, Deserialize)]
pub struct File {
    /// `data:application/pdf;base64,...`.
    #[serde(default)]
    pub file_data: Option<String>,
    /// The id of a file that was uploaded before.
    #[serde(default)]
    pub file_id: Option<String>,
    /// Its name.
    #[serde(default)]
    pub filename: Option<String>,
}

/// A call that an assistant made.
#[derive(Debug, Deserialize)]
pub struct ToolCall {
    /// What its result refers to.
    pub id: String,
    /// `function`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Which function, with what.
    pub function: FunctionCall,
    /// Everything else, like a provider's signature.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function's name with its arguments.
#[derive(Debug, Deserialize)]
pub struct FunctionCall {
    /// Its name.
    pub name: String,
    /// JSON, as the model wrote it; may be empty.
    #[serde(default)]
    pub arguments: String,
}

/// A tool that may be called.
#[derive(Debug, Deserialize)]
pub struct Tool {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The function.
    #[serde(default)]
    pub function: Option<Function>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function that may be called.
#[derive(Debug, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON Schema of its arguments, as the client wrote it.
    #[serde(default)]
    pub parameters: Option<Box<RawValue>>,
    /// Whether the arguments have to fit the schema exactly.
    #[serde(default)]
    pub strict: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Whether a tool is called.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ToolChoice {
    /// `auto`, `none` or `required`.
    Mode(String),
    /// This function.
    Named {
        /// `function`.
        #[serde(rename = "type")]
        kind: String,
        /// Which.
        function: NamedFunction,
    },
}

/// A function's name.
#[derive(Debug, Deserialize)]
pub struct NamedFunction {
    /// Its name.
    pub name: String,
}

/// The form of an answer.
#[derive(Debug, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema, for `json_schema`.
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
}

/// A named schema.
#[derive(Debug, Deserialize)]
pub struct JsonSchema {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The schema, as the client wrote it.
    #[serde(default)]
    pub schema: Option<Box<RawValue>>,
    /// Whether the answer has to fit it exactly.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// Where an answer ends.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    /// At this text.
    One(String),
    /// At any of these.
    Many(Vec<String>),
}

impl Chat {
    /// Reads a body that [`super::Ask`] found well-formed.
    ///
    /// # Errors
    /// What OpenAI's API would not take either.
    pub fn parse(body: &[u8]) -> Result<Self, BadField> {
        serde_json::from_slice(body).map_err(|error| BadField {
            param: None,
            message: format!("The body is no chat request: {error}."),
        })
    }

    /// The most tokens of the answer, by whichever name the client gave it.
    pub fn output_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }
}

impl Content {
    /// All text in it, parts joined as they stand.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(|part| part.text.as_deref()).collect(),
        }
    }
}

impl Stop {
    /// The texts, borrowed.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    /// The texts.
    pub fn into_texts(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}
