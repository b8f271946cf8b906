//! How the choices of an answer end, seen without building it.

use super::{
    fold::{self, Fold, Shape, Value},
    scan::Fault,
    usage::{Counts, Usage},
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
pub struct Ended {
    /// Its choices, in their order.
    pub choices: Vec<Choice>,
    /// How many vectors there are.
    pub vectors: usize,
    /// What was used, where it is said: `None` in it if it cannot be read or counts nothing.
    pub usage: Option<Option<Usage>>,
}

/// Looks at an answer or a part of one; `None` where that cannot be read.
pub fn read(body: &[u8]) -> Option<Ended> {
    let mut ended = Ended::default();
    fold::object(std::str::from_utf8(body).ok()?, &mut ended).ok()?;
    Some(ended)
}

impl<'de> Fold<'de> for Ended {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "choices" => {
                self.choices.clear();
                list(value.fold(&mut Choices(&mut self.choices))?)
            }
            "data" => {
                self.vectors = 0;
                list(value.fold(&mut Vectors(&mut self.vectors))?)
            }
            "usage" => {
                let mut counts = Counts::default();
                let shape = value.fold(&mut counts)?;
                self.usage = (shape != Shape::Null).then(|| counts.usage(shape).ok().flatten());
                Ok(())
            }
            _ => value.skip(),
        }
    }
}

/// What is to be a list may be absent, but nothing else.
fn list(shape: Shape) -> Result<(), Fault> {
    if matches!(shape, Shape::List | Shape::Null) { Ok(()) } else { Err(Fault) }
}

struct Vectors<'a>(&'a mut usize);

impl<'de> Fold<'de> for Vectors<'_> {
    fn element(&mut self, value: Value<'_, 'de>) -> Result<(), Fault> {
        *self.0 += 1;
        value.skip()
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
            "index" => self.index = value.read()?.parse().ok(),
            "finish_reason" => {
                self.end = match value.read()? {
                    "null" => None,
                    "\"stop\"" | "\"tool_calls\"" | "\"function_call\"" => Some(End::Own),
                    "\"length\"" => Some(End::Length),
                    _ => Some(End::Other),
                }
            }
            "message" | "delta" => drop(value.fold(&mut Message(&mut self.refuses))?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct Message<'a>(&'a mut bool);

impl<'de> Fold<'de> for Message<'_> {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        match name {
            "refusal" => *self.0 |= fold::is_text(value.read()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn each_choice_is_told() {
        let ended = read(
            br#"{"choices":[{"index":2,"finish_reason":"stop","message":{"refusal":null}},
                {"finish_reason":null,"delta":{"refusal":"No."}},{"finish_reason":"content_filter"}],
                "usage":{"prompt_tokens":3}}"#,
        )
        .unwrap();
        let told: Vec<_> =
            ended.choices.iter().map(|choice| (choice.index, choice.end, choice.refuses)).collect();
        assert_eq!(
            told,
            [(Some(2), Some(End::Own), false), (None, None, true), (None, Some(End::Other), false)]
        );
        assert_eq!(ended.usage.flatten().map(|usage| usage.input), Some(3));
        assert_eq!(read(br#"{"data":[[1e-9],{}],"usage":null}"#).unwrap().vectors, 2);
    }

    #[test]
    fn what_is_another_thing_cannot_be_read() {
        for bad in
            [&b""[..], b"[]", b"{", b"{\"choices\":1}", b"{\"choices\":[1]}", b"{\"data\":{}}", b"\"\xff\""]
        {
            assert!(read(bad).is_none(), "{bad:?}");
        }
        let usage = |text: &[u8]| read(text).unwrap().usage;
        assert_eq!(
            (usage(b"{}"), usage(b"{\"usage\":null}"), usage(b"{\"usage\":-1}")),
            (None, None, Some(None))
        );
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
            let ended = read(json!({ "id": "a", "choices": choices }).to_string().as_bytes()).unwrap();
            prop_assert_eq!(ended.choices.len(), choices.as_array().map_or(0, Vec::len));
            for (mine, theirs) in ended.choices.iter().zip(choices.as_array().into_iter().flatten()) {
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
