//! Looking at a whole answer without building it.

use std::fmt;

use super::{
    Endpoint, fault,
    fold::{self, Fold, Value},
    said::Said,
    scan::Fault,
    texts::Choice,
    usage::{BadUsage, Counts, Usage},
};

/// What an answer says, as far as a gateway has to know.
#[derive(Debug, Default)]
pub struct AnswerFacts<'a> {
    /// What was used; null and empty ones are `None`.
    pub usage: Option<Result<Usage, BadUsage>>,
    /// The provider's own name for the model that answered.
    pub model: Option<String>,
    /// Why the first choice ended.
    pub finish_reason: Option<String>,
    /// The JSON text of an error, which some providers send with a success status.
    pub error: Option<&'a str>,
    /// The body as a whole is an error without an envelope.
    pub is_error: bool,
}

/// A body that is not an answer in OpenAI's format.
#[derive(Debug)]
pub enum Invalid {
    /// Not one JSON object.
    Json(serde_json::Error),
    /// The list of results is absent or empty.
    Missing(&'static str),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "it is not a JSON object: {error}"),
            Self::Missing(field) => write!(f, "its `{field}` is absent or empty"),
        }
    }
}

impl std::error::Error for Invalid {}

/// Looks at the body of an answer to `endpoint`. An error body is no fault here: it is among the facts.
///
/// # Errors
/// The body is no JSON object, or has neither results nor an error.
pub fn inspect(body: &[u8], endpoint: Endpoint) -> Result<AnswerFacts<'_>, Invalid> {
    inspect_and_hear(body, endpoint, None)
}

/// As [`inspect`], taking in passing what the answer says.
///
/// # Errors
/// The same.
pub fn inspect_and_hear<'a>(
    body: &'a [u8],
    endpoint: Endpoint,
    said: Option<&mut Said>,
) -> Result<AnswerFacts<'a>, Invalid> {
    let text = std::str::from_utf8(body).map_err(|error| Invalid::Json(serde::de::Error::custom(error)))?;
    let mut answer = Answer { said, ..Answer::default() };
    fold::object(text, &mut answer).map_err(|Fault| Invalid::Json(fault::explain(text)))?;
    let (field, count) = match endpoint {
        Endpoint::Chat | Endpoint::Completions => ("choices", answer.choices),
        Endpoint::Embeddings => ("data", answer.data),
    };
    let mut facts = answer.facts;
    facts.is_error = count == 0 && (answer.error_object || answer.message);
    if count == 0 && facts.error.is_none() && !facts.is_error {
        return Err(Invalid::Missing(field));
    }
    Ok(facts)
}

#[derive(Default)]
struct Answer<'s, 'a> {
    facts: AnswerFacts<'a>,
    said: Option<&'s mut Said>,
    choices: usize,
    data: usize,
    error_object: bool,
    message: bool,
}

impl<'de> Fold<'de> for Answer<'_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "choices" => {
                let mut choices = Choices { finish_reason: None, count: 0, said: self.said.as_deref_mut() };
                value.fold(&mut choices)?;
                self.choices = choices.count;
                if choices.count > 0 {
                    self.facts.finish_reason = choices.finish_reason;
                }
            }
            "data" => {
                let mut data = Elements(0);
                value.fold(&mut data)?;
                self.data = data.0;
            }
            "model" => self.facts.model = fold::text(value.raw()?).map(Into::into),
            "usage" => self.read_usage(value)?,
            "x_groq" => drop(value.fold(&mut Groq(self))?),
            "object" => self.error_object = value.raw()? == "\"error\"",
            "message" | "detail" => self.message = fold::is_something(value.raw()?),
            "error" => {
                let error = value.raw()?;
                self.facts.error = fold::is_something(error).then_some(error);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl Answer<'_, '_> {
    fn read_usage(&mut self, value: Value<'_, '_>) -> Result<(), Fault> {
        let mut counts = Counts::default();
        let shape = value.fold(&mut counts)?;
        self.facts.usage = counts.usage(shape).transpose().or(self.facts.usage);
        Ok(())
    }
}

struct Groq<'a, 's, 'de>(&'a mut Answer<'s, 'de>);

impl<'de> Fold<'de> for Groq<'_, '_, 'de> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "usage" => self.0.read_usage(value),
            _ => value.skip(),
        }
    }
}

/// Counts the elements of a list, which may be long lists of numbers.
struct Elements(usize);

impl<'de> Fold<'de> for Elements {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        self.0 += 1;
        value.ignore()
    }
}

struct Choices<'s> {
    finish_reason: Option<String>,
    count: usize,
    said: Option<&'s mut Said>,
}

impl<'de> Fold<'de> for Choices<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut choice = Choice::default();
        value.fold(&mut choice)?;
        if self.count == 0 {
            self.finish_reason = choice.ended().and_then(fold::text).map(Into::into);
        }
        self.count += 1;
        if let Some(said) = &mut self.said {
            choice.tell(&mut |choice, kind, raw| said.add(choice, kind, raw));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_an_answer() {
        let body = br#"{"model":"gpt-4.1-2025","choices":[{"finish_reason":"stop","message":{"content":"\u0000"}},{"finish_reason":"length"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        let facts = inspect(body, Endpoint::Chat).unwrap();
        assert_eq!(facts.model.as_deref(), Some("gpt-4.1-2025"));
        assert_eq!(facts.finish_reason.as_deref(), Some("stop"));
        assert_eq!(facts.usage.unwrap().unwrap().completion(), 4);
        assert!(facts.error.is_none() && !facts.is_error);
    }

    #[test]
    fn an_error_under_a_success_status_is_a_fact() {
        let errors = [
            r#"{"error":{"message":"no"},"choices":null}"#,
            r#"{"object":"error","message":"no"}"#,
            r#"{"detail":[{"msg":"no"}]}"#,
        ];
        for body in errors {
            let facts = inspect(body.as_bytes(), Endpoint::Chat).unwrap();
            assert!(facts.error.is_some() || facts.is_error, "{body}");
        }
    }

    #[test]
    fn results_must_be_there() {
        let cases = [
            (Endpoint::Chat, r#"{"choices":[]}"#),
            (Endpoint::Chat, r#"{"data":[1]}"#),
            (Endpoint::Completions, r#"{"error":null}"#),
            (Endpoint::Embeddings, r#"{"choices":[{}]}"#),
            (Endpoint::Embeddings, r#"[{"data":[1]}]"#),
            (Endpoint::Chat, "<html>"),
            (Endpoint::Chat, r#"{"choices":[{}]"#),
            (Endpoint::Chat, ""),
        ];
        for (endpoint, body) in cases {
            assert!(inspect(body.as_bytes(), endpoint).is_err(), "{body}");
        }
        assert!(inspect(br#"{"data":[{"embedding":[0.1,-2e-9]}]}"#, Endpoint::Embeddings).is_ok());
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = inspect(&bytes, Endpoint::Chat);
        }
    }
}
