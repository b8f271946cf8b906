//! An answer in the making, event by event or all at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    candidate::{Choice, Heard},
    response::{PromptFeedback, Response},
};
use crate::{
    base::outcome::Outcome,
    openai::{
        Usage, foreign_error,
        write::{Choice as Written, Delta, Head, Message, ToolCall},
    },
    provider::{Decoded, Expected, Failure},
};

/// The most choices of one answer.
const MAX_CHOICES: usize = 128;

/// What was told so far.
#[derive(Debug)]
pub struct Answer {
    /// The name of the answer; known from its first event on.
    pub head: Option<Head>,
    /// What was used, by the latest event that tells it.
    pub usage: Option<Usage>,
    choices: BTreeMap<usize, Choice>,
    model: String,
    created: u64,
}

impl Answer {
    /// None so far.
    pub fn new(expected: &Expected) -> Self {
        Self {
            head: None,
            usage: None,
            choices: BTreeMap::new(),
            model: expected.model.clone(),
            created: expected.created,
        }
    }

    /// Takes an event or a whole answer: what it adds to each choice.
    ///
    /// # Errors
    /// It is an error, or nothing that Gemini says.
    pub fn take(&mut self, body: &[u8]) -> Result<Vec<(usize, Heard)>, Failure> {
        // A list would be read as a struct's fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Failure::invalid("The provider's answer is not the JSON object that Gemini sends."));
        }
        let response: Response = serde_json::from_slice(body).map_err(|error| {
            let error = serde_json::Error::classify(&error);
            Failure::invalid(format!(
                "The provider's answer cannot be read as Gemini's: {error:?} fault in its JSON."
            ))
        })?;
        if response.error.is_some() {
            return Err(reported(body));
        }
        if let Some(usage) = response.usage_metadata.and_then(|metadata| metadata.usage()) {
            self.usage = Some(usage);
        }
        let head = self.head.get_or_insert_with(|| {
            let id = response.response_id.unwrap_or_else(|| format!("gemini-{}", self.created));
            Head::new(id, self.created, response.model_version.unwrap_or_else(|| self.model.clone()))
        });
        let candidates = response.candidates.unwrap_or_default();
        if candidates.is_empty()
            && let Some((reason, refusal)) = response.prompt_feedback.and_then(blocked)
        {
            self.choices.insert(0, Choice::blocked(&reason));
            let delta = Delta { refusal: Some(refusal), ..Delta::default() };
            return Ok(vec![(0, Heard { delta, logprobs: None })]);
        }
        let mut heard = Vec::with_capacity(candidates.len());
        for (place, candidate) in candidates.into_iter().enumerate() {
            let index = candidate.index.unwrap_or(place);
            if index >= MAX_CHOICES {
                return Err(Failure::invalid(format!("The answer has more than {MAX_CHOICES} choices.")));
            }
            let choice = self.choices.entry(index).or_insert_with(|| Choice::new(index));
            heard.push((index, choice.hear(candidate, head.id())?));
        }
        Ok(heard)
    }

    /// Whether there is a choice, and none without its end.
    pub fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(Choice::is_finished)
    }

    /// The end of each choice.
    ///
    /// # Errors
    /// Gemini gave up on one.
    pub fn end(&mut self) -> Result<Vec<(usize, Delta, &'static str)>, Failure> {
        let ends = self.choices.iter_mut().map(|(index, choice)| {
            let (delta, finish) = choice.end()?;
            Ok((*index, delta, finish))
        });
        ends.collect()
    }
}

/// Why a prompt was not answered: Gemini's word, and a sentence for the client.
fn blocked(feedback: PromptFeedback) -> Option<(String, String)> {
    let reason = match feedback.block_reason? {
        Value::String(reason) => reason,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let sentence = feedback.block_reason_message.filter(|text| !text.is_empty());
    Some(("SAFETY".into(), sentence.unwrap_or_else(|| format!("Gemini blocked the prompt: {reason}."))))
}

/// A failure under a success status.
pub fn reported(body: &[u8]) -> Failure {
    Failure::new(Outcome::ErrorEvent, foreign_error::parse_upstream(body))
}

/// Reads a whole answer.
///
/// # Errors
/// It is an error, or nothing that Gemini says.
pub fn decode(expected: &Expected, body: &[u8]) -> Result<Decoded, Failure> {
    let mut answer = Answer::new(expected);
    let heard = answer.take(body)?;
    let mut messages: BTreeMap<usize, (Message, Option<Value>)> = BTreeMap::new();
    for (index, heard) in heard {
        let (message, logprobs) = messages.entry(index).or_default();
        add(message, heard.delta);
        *logprobs = heard.logprobs;
    }
    let mut choices = Vec::new();
    for (index, delta, finish_reason) in answer.end()? {
        let (mut message, logprobs) = messages.remove(&index).unwrap_or_default();
        add(&mut message, delta);
        if message.tool_calls.is_empty() && message.extra.get("images").is_none() {
            message.content.get_or_insert_default();
        }
        choices.push(Written { index, message, logprobs, finish_reason });
    }
    let Some(finish) = choices.first().map(|choice| choice.finish_reason) else {
        return Err(Failure::invalid("The provider's answer has no candidates."));
    };
    let head = answer.head.take().expect("set with the first thing that was taken");
    Ok(Decoded {
        body: head.answer(choices, answer.usage.as_ref()),
        usage: answer.usage,
        model: Some(head.model().to_owned()).filter(|model| !model.is_empty()),
        finish_reason: Some(finish.to_owned()),
        said: None,
    })
}

/// Adds a delta to a message.
fn add(message: &mut Message, delta: Delta) {
    let join = |place: &mut Option<String>, more: Option<String>| {
        if let Some(more) = more {
            place.get_or_insert_default().push_str(&more);
        }
    };
    join(&mut message.content, delta.content);
    join(&mut message.refusal, delta.refusal);
    join(&mut message.reasoning_content, delta.reasoning_content);
    for call in delta.tool_calls {
        let number = call.index.unwrap_or(message.tool_calls.len());
        match message.tool_calls.get_mut(number) {
            Some(known) => known.function.arguments.push_str(&call.function.arguments),
            None => message.tool_calls.push(ToolCall { index: None, ..call }),
        }
    }
    merge(&mut message.extra, delta.extra);
}

/// Adds objects to objects, lists to lists.
fn merge(map: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (map.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, value) => drop(map.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decoded(body: Value) -> Result<Value, Failure> {
        let expected = Expected { created: 5, model: "asked".into(), ..Expected::default() };
        let decoded = decode(&expected, body.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&decoded.body).unwrap())
    }

    #[test]
    fn a_plain_answer_has_openais_form() {
        let answer = decoded(json!({"candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"},
            "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}))
        .unwrap();
        assert_eq!(
            (&answer["id"], &answer["model"], &answer["created"]),
            (&json!("gemini-5"), &json!("asked"), &json!(5))
        );
        assert_eq!(
            answer["choices"][0],
            json!({"index": 0, "message": {"role": "assistant", "content": "hi", "refusal": null},
                "logprobs": null, "finish_reason": "stop"})
        );
        assert_eq!(answer["usage"]["total_tokens"], 4);
    }

    #[test]
    fn a_blocked_prompt_is_a_refusal() {
        for (feedback, text) in [
            (json!({"blockReason": "SAFETY"}), "Gemini blocked the prompt: SAFETY."),
            (json!({"blockReason": "OTHER", "blockReasonMessage": "No."}), "No."),
        ] {
            let answer =
                decoded(json!({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}));
            let choice = &answer.unwrap()["choices"][0];
            assert_eq!(choice["finish_reason"], "content_filter");
            assert_eq!(choice["message"], json!({"role": "assistant", "content": "", "refusal": text}));
        }
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        let outcome = |body: Value| decoded(body).unwrap_err().outcome;
        assert_eq!(outcome(json!({"error": {"message": "no"}})), Outcome::ErrorEvent);
        for body in
            [json!([{"candidates": []}]), json!({}), json!({"candidates": [{"index": 999}]}), json!("x")]
        {
            assert_eq!(outcome(body), Outcome::InvalidAnswer);
        }
    }

    #[test]
    fn several_choices_keep_their_numbers() {
        let said = |text: &str, index: usize| json!({"index": index, "content": {"parts": [{"text": text}]}, "finishReason": "STOP"});
        let answer = decoded(json!({"candidates": [said("b", 1), said("a", 0)]})).unwrap();
        let texts: Vec<_> =
            answer["choices"].as_array().unwrap().iter().map(|c| &c["message"]["content"]).collect();
        assert_eq!(texts, [&json!("a"), &json!("b")]);
    }
}
