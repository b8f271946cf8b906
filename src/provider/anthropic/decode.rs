//! A whole answer of Anthropic's Messages API as OpenAI's.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    super::{Decoded, Expected, Failure},
    block::{Block, redacted, thought},
    fault,
    stop::Stop,
    usage::Counts,
};
use crate::openai::write::{Choice, FunctionCall, Head, Message, ToolCall};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// Decodes an answer.
///
/// # Errors
/// The body is an error or no answer of this API.
pub fn decode(expected: &Expected, body: &[u8]) -> Result<Decoded, Failure> {
    let answer: Answer<'_> = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return Err(fault::unreadable("answer", &error)),
    };
    if answer.kind == "error" {
        return Err(fault::reported(body));
    }
    if answer.kind != "message" {
        return Err(Failure::invalid("The provider's answer is no message."));
    }
    let mut message = Draft::default();
    for raw in answer.content {
        let block = Block::read(raw).map_err(|error| fault::unreadable("answer", &error))?;
        message.block(block, expected.answer_tool.as_deref());
    }
    let stop: Stop = serde_json::from_slice(body).map_err(|error| fault::unreadable("answer", &error))?;
    let finish_reason = stop.finish_reason(message.answered && message.tool_calls.is_empty());
    let mut counts = Counts::default();
    answer.usage.into_iter().for_each(|usage| counts.update(usage));
    let usage = counts.usage();
    let head = Head::new(answer.id, expected.created, answer.model);
    let choice = Choice { index: 0, message: message.finish(stop.refusal()), logprobs: None, finish_reason };
    Ok(Decoded {
        body: head.answer(vec![choice], usage.as_ref()),
        usage,
        model: Some(head.model().to_owned()).filter(|model| !model.is_empty()),
        finish_reason: Some(finish_reason.to_owned()),
        said: None,
    })
}

/// A message that is being put together.
#[derive(Debug, Default)]
struct Draft {
    text: String,
    thinking: String,
    tool_calls: Vec<ToolCall>,
    /// The answer came as a tool's arguments.
    answered: bool,
    thoughts: Vec<Value>,
    citations: Vec<Value>,
    others: Vec<Value>,
}

impl Draft {
    fn block(&mut self, block: Block, answer_tool: Option<&str>) {
        match block {
            Block::Text { text, citations } => {
                self.text.push_str(&text);
                self.citations.extend(citations);
            }
            Block::Thinking { thinking, signature } => {
                self.thinking.push_str(&thinking);
                self.thoughts.push(thought(thinking, signature).into());
            }
            Block::Redacted { data } => self.thoughts.push(redacted(data).into()),
            Block::Tool { name, input, .. } if Some(&*name) == answer_tool => {
                self.text.push_str(&input);
                self.answered = true;
            }
            Block::Tool { id, name, input } => self.tool_calls.push(ToolCall {
                id: Some(id),
                kind: Some("function"),
                function: FunctionCall { name: Some(name), arguments: input },
                ..ToolCall::default()
            }),
            Block::Other(block) => self.others.push(block.into()),
        }
    }

    fn finish(self, refusal: Option<String>) -> Message {
        let lists = [
            ("thinking_blocks", self.thoughts),
            ("citations", self.citations),
            ("provider_blocks", self.others),
        ];
        let filled = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let extra: Map<String, Value> = filled.map(|(name, list)| (name.to_owned(), list.into())).collect();
        let silent = self.text.is_empty() && (!self.tool_calls.is_empty() || refusal.is_some());
        let mut message = Message::default();
        message.content = (!silent).then_some(self.text);
        message.refusal = refusal;
        message.reasoning_content = Some(self.thinking).filter(|thinking| !thinking.is_empty());
        message.tool_calls = self.tool_calls;
        message.extra = extra;
        message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{base::outcome::Outcome, openai::Usage};

    fn decoded(answer_tool: Option<&str>, content: Value, stop: &str) -> (Value, Decoded) {
        let body = json!({"type": "message", "id": "msg_1", "model": "claude-x", "role": "assistant",
            "content": content, "stop_reason": stop, "usage": {"input_tokens": 3, "output_tokens": 2}});
        let expected =
            Expected { created: 7, answer_tool: answer_tool.map(str::to_owned), ..Expected::default() };
        let decoded = decode(&expected, body.to_string().as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
        assert_eq!((&answer["id"], &answer["created"]), (&json!("msg_1"), &json!(7)));
        (answer["choices"][0].clone(), decoded)
    }

    #[test]
    fn blocks_become_a_message() {
        let content = json!([
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
            {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
            {"type": "text", "text": "b", "citations": null},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"z": 1, "a": 2}},
        ]);
        let (choice, decoded) = decoded(None, content, "tool_use");
        assert_eq!(
            choice["message"],
            json!({
                "role": "assistant", "content": "ab", "refusal": null, "reasoning_content": "hm",
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": r#"{"a":2,"z":1}"#}}],
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                ],
                "citations": [{"type": "char_location"}],
                "provider_blocks": [{"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}],
            })
        );
        assert_eq!(decoded.finish_reason.as_deref(), Some("tool_calls"));
        assert_eq!(decoded.usage, Some(Usage { input: 3, output: 2, ..Usage::default() }));
        assert_eq!(decoded.model.as_deref(), Some("claude-x"));
    }

    #[test]
    fn the_answers_tool_is_the_answer() {
        let content = json!([{"type": "tool_use", "id": "t", "name": "city", "input": {"a": 1}}]);
        let (choice, _) = decoded(Some("city"), content.clone(), "tool_use");
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!(r#"{"a":1}"#), &json!("stop"))
        );
        assert_eq!(choice["message"].get("tool_calls"), None);
        assert_eq!(decoded(Some("other"), content, "tool_use").0["finish_reason"], "tool_calls");
    }

    #[test]
    fn silence_is_an_empty_text_or_a_refusal() {
        assert_eq!(decoded(None, json!([]), "end_turn").0["message"]["content"], "");
        let refused = decoded(None, json!([]), "refusal").0;
        assert_eq!(refused["message"]["content"], Value::Null);
        assert_eq!(refused["message"]["refusal"], "The model declined to answer.");
        assert_eq!(refused["finish_reason"], "content_filter");
    }

    #[test]
    fn errors_and_nonsense_are_failures() {
        let outcome = |body: &str| decode(&Expected::default(), body.as_bytes()).unwrap_err().outcome;
        let error = r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#;
        assert_eq!(outcome(error), Outcome::ErrorEvent);
        assert_eq!(outcome(&error.replace("api_error", "overloaded_error")), Outcome::RateLimited);
        for body in ["", "<html>", "{}", r#"{"type":"completion"}"#, r#"{"type":"message","content":[{}]}"#] {
            assert_eq!(outcome(body), Outcome::InvalidAnswer, "{body}");
        }
    }
}
