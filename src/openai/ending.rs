//! How the choices of an answer end. What else is in it need only be JSON.

use super::{
    fold::{self, Fold, Shape, Value},
    scan::Fault,
    usage::Usage,
};

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its model wanted so.
    Own,
    /// It reached a limit of tokens.
    Length,
    /// Whatever else.
    Other,
}

/// What is said of one choice.
#[derive(Debug, Default)]
pub struct Choice {
    /// Which one it is, where that is said.
    pub index: Option<u64>,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// It refuses in the field that is meant for that.
    pub refuses: bool,
}

/// What an answer, or a part of one, says of its end.
#[derive(Debug, Default)]
pub struct Ending {
    /// Its choices, in their order.
    pub choices: Vec<Choice>,
    /// How many vectors there are.
    pub vectors: usize,
    /// What was used, where it is said: `None` in it if it cannot be read or counts nothing.
    pub usage: Option<Option<Usage>>,
}

/// Looks at an answer or a part of one; `None` where that cannot be read.
pub fn read(body: &[u8]) -> Option<Ending> {
    let mut ending = Ending::default();
    fold::object(std::str::from_utf8(body).ok()?, &mut ending).ok()?;
    Some(ending)
}

impl<'de> Fold<'de> for Ending {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "choices" => {
                self.choices.clear();
                is(Shape::List, value.fold(&mut Choices(&mut self.choices))?)
            }
            "data" => {
                self.vectors = 0;
                is(Shape::List, value.fold(&mut Vectors(&mut self.vectors))?)
            }
            "usage" => {
                let raw = value.raw()?;
                self.usage = (raw != "null").then(|| Usage::parse(raw).ok().flatten());
                Ok(())
            }
            _ => value.ignore(),
        }
    }
}

/// What is wanted may be null, but nothing else.
fn is(wanted: Shape, shape: Shape) -> Result<(), Fault> {
    if shape == wanted || shape == Shape::Null { Ok(()) } else { Err(Fault) }
}

struct Vectors<'a>(&'a mut usize);

impl<'de> Fold<'de> for Vectors<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        *self.0 += 1;
        value.ignore()
    }
}

struct Choices<'a>(&'a mut Vec<Choice>);

impl<'de> Fold<'de> for Choices<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        let mut choice = Choice::default();
        let shape = value.fold(&mut choice)?;
        self.0.push(choice);
        if shape == Shape::Object { Ok(()) } else { Err(Fault) }
    }
}

impl<'de> Fold<'de> for Choice {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "index" => {
                self.index = match value.raw()? {
                    "null" => None,
                    // Taken for another choice it would hide that this one did not end.
                    number => Some(number.parse().map_err(|_| Fault)?),
                };
                Ok(())
            }
            "finish_reason" => {
                self.end = match value.raw()? {
                    "null" => None,
                    "\"stop\"" | "\"tool_calls\"" | "\"function_call\"" => Some(End::Own),
                    "\"length\"" => Some(End::Length),
                    text if text.starts_with('"') => Some(End::Other),
                    _ => return Err(Fault),
                };
                Ok(())
            }
            "message" | "delta" => is(Shape::Object, value.fold(&mut Message(&mut self.refuses))?),
            _ => value.ignore(),
        }
    }
}

struct Message<'a>(&'a mut bool);

impl<'de> Fold<'de> for Message<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "refusal" => {
                *self.0 |= fold::is_something(value.raw()?);
                Ok(())
            }
            _ => value.ignore(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn each_choice_is_told() {
        let ending = read(
            br#"{"choices":[{"index":2,"finish_reason":"stop","message":{"refusal":null}},
                {"finish_reason":null,"delta":{"refusal":"No."}},{"finish_reason":"content_filter"}],
                "usage":{"prompt_tokens":3}}"#,
        )
        .unwrap();
        let told: Vec<_> =
            ending.choices.iter().map(|choice| (choice.index, choice.end, choice.refuses)).collect();
        assert_eq!(
            told,
            [(Some(2), Some(End::Own), false), (None, None, true), (None, Some(End::Other), false)]
        );
        assert_eq!(ending.usage.flatten().map(|usage| usage.input), Some(3));
        assert_eq!(read(br#"{"data":[[1e-9],{}],"usage":null}"#).unwrap().vectors, 2);
    }

    #[test]
    fn what_is_another_thing_cannot_be_read() {
        for bad in [
            "",
            "[]",
            "{",
            r#"{"choices":1}"#,
            r#"{"choices":[1]}"#,
            r#"{"choices":[[]]}"#,
            r#"{"choices":[{"index":"1"}]}"#,
            r#"{"choices":[{"index":1.5}]}"#,
            r#"{"choices":[{"index":-1}]}"#,
            r#"{"choices":[{"finish_reason":1}]}"#,
            r#"{"choices":[{"message":"a"}]}"#,
            r#"{"choices":[{"delta":[]}]}"#,
            r#"{"data":{}}"#,
        ] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(read(b"{\"id\":\"\xff\"}").is_none());
        let usage = |text: &str| read(text.as_bytes()).unwrap().usage;
        for (text, said) in [("{}", None), (r#"{"usage":null}"#, None), (r#"{"usage":-1}"#, Some(None))] {
            assert_eq!(usage(text), said, "{text}");
        }
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":1,"cost":1e999}}"#), Some(None));
    }

    #[test]
    fn what_does_not_matter_need_only_be_json() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for other in [r#""\ud83d""#, "1e999", &deep] {
            let text =
                format!(r#"{{"x":{other},"choices":[{{"y":{other},"delta":{{"content":{other}}}}}]}}"#);
            assert_eq!(read(text.as_bytes()).unwrap().choices.len(), 1, "{text}");
            assert_eq!(read(format!(r#"{{"data":[{other}]}}"#).as_bytes()).unwrap().vectors, 1);
        }
        // A refusal is one in whatever form.
        for (refusal, refuses) in [("[\"No\"]", true), ("true", true), ("\"\"", false), ("null", false)] {
            let text = format!(r#"{{"choices":[{{"message":{{"refusal":{refusal}}}}}]}}"#);
            assert_eq!(read(text.as_bytes()).unwrap().choices[0].refuses, refuses, "{refusal}");
        }
    }

    fn choices() -> impl Strategy<Value = Json> {
        let reason = prop::sample::select(vec![
            json!("stop"),
            json!("length"),
            json!("tool_calls"),
            json!(null),
            json!("x"),
        ]);
        let refusal = prop::sample::select(vec![json!(null), json!(""), json!("No \"more\".")]);
        let choice = (0_u64..3, reason, refusal, any::<String>()).prop_map(|(index, reason, refusal, text)| {
            json!({ "index": index, "message": { "content": text, "refusal": refusal }, "finish_reason": reason })
        });
        prop::collection::vec(choice, 0..4).prop_map(Json::Array)
    }

    proptest! {
        #[test]
        fn a_reader_that_builds_it_finds_the_same(choices in choices()) {
            let ending = read(json!({ "id": "a", "choices": choices }).to_string().as_bytes()).unwrap();
            prop_assert_eq!(ending.choices.len(), choices.as_array().map_or(0, Vec::len));
            for (mine, theirs) in ending.choices.iter().zip(choices.as_array().into_iter().flatten()) {
                let end = theirs["finish_reason"].as_str().map(|reason| match reason {
                    "stop" | "tool_calls" => End::Own,
                    "length" => End::Length,
                    _ => End::Other,
                });
                let refusal = theirs["message"]["refusal"].as_str().unwrap_or_default();
                prop_assert_eq!((mine.index, mine.end), (theirs["index"].as_u64(), end));
                prop_assert_eq!(mine.refuses, !refusal.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
