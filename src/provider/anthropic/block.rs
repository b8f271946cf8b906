//! The content blocks of an answer.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// A block of an answer, or the beginning of one in a stream.
#[derive(Debug)]
pub enum Block {
    /// A text with what it cites.
    Text { text: String, citations: Vec<Value> },
    /// What was thought. The signature proves it to the provider.
    Thinking { thinking: String, signature: String },
    /// What was thought and is not shown.
    Redacted { data: String },
    /// A call of one of the client's tools; its input as JSON.
    Tool { id: String, name: String, input: String },
    /// A block that OpenAI's format has no counterpart to: the provider's own tools, their results, marks of a
    /// compaction or of a fallback.
    Other(Map<String, Value>),
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    #[serde(default)]
    citations: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Thinking {
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
}

#[derive(Deserialize)]
struct Redacted {
    data: String,
}

#[derive(Deserialize)]
struct Tool<'a> {
    id: String,
    name: String,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

impl Block {
    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        let kind: Kind<'_> = serde_json::from_str(text)?;
        Ok(match &*kind.kind {
            "text" => {
                let Text { text, citations } = serde_json::from_str(text)?;
                Self::Text { text, citations: citations.unwrap_or_default() }
            }
            "thinking" => {
                let Thinking { thinking, signature } = serde_json::from_str(text)?;
                Self::Thinking { thinking, signature }
            }
            "redacted_thinking" => Self::Redacted { data: serde_json::from_str::<Redacted>(text)?.data },
            "tool_use" => {
                let Tool { id, name, input } = serde_json::from_str(text)?;
                Self::Tool { id, name, input: input.map_or("{}", RawValue::get).to_owned() }
            }
            _ => Self::Other(serde_json::from_str(text)?),
        })
    }
}

/// An entry of `thinking_blocks` for what was thought.
pub fn thought(thinking: String, signature: String) -> Map<String, Value> {
    entry([("type", "thinking".into()), ("thinking", thinking.into()), ("signature", signature.into())])
}

/// An entry of `thinking_blocks` for what is not shown.
pub fn redacted(data: String) -> Map<String, Value> {
    entry([("type", "redacted_thinking".into()), ("data", data.into())])
}

fn entry<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
