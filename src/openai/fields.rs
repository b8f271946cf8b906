//! Where each top-level field of a request body stands, found in one borrowed pass.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    careful::MAX_DEPTH,
    fold::{self, Fold, Value},
    scan::Fault,
    stretch::Stretch,
    turns::Turns,
};

/// A field's place in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The value's bytes.
    pub value: Range<usize>,
    /// The end of the value before it, or the byte after the opening brace: what lies between is its comma,
    /// its name and its colon.
    pub after: usize,
}

/// Declares the fields that OpenAI's API knows, each with its slot.
macro_rules! fields {
    ($($name:ident),+ $(,)?) => {
        /// The places of all fields of a body; `None` where the client did not send one.
        #[derive(Clone, Debug, Default)]
        pub struct Fields {
            $(#[doc = concat!("The field `", stringify!($name), "`.")] pub $name: Option<Place>,)+
            /// Fields that OpenAI's API does not know, by name.
            pub unknown: Vec<(Box<str>, Place)>,
        }

        impl Fields {
            /// The names of all fields that OpenAI's API knows.
            pub const KNOWN: &[&str] = &[$(stringify!($name)),+];

            /// The place of the field called `name`.
            pub fn get(&self, name: &str) -> Option<&Place> {
                match name {
                    $(stringify!($name) => self.$name.as_ref(),)+
                    _ => self.unknown.iter().find(|(known, _)| &**known == name).map(|(_, place)| place),
                }
            }

            /// The names of the fields that the client sent.
            pub fn names(&self) -> impl Iterator<Item = &str> {
                let known = [$((stringify!($name), self.$name.is_some())),+];
                let known = known.into_iter().filter_map(|(name, sent)| sent.then_some(name));
                known.chain(self.unknown.iter().map(|(name, _)| &**name))
            }

            /// Notes a field; `false` if it stood there already.
            fn put(&mut self, name: &str, place: Place) -> bool {
                let known = match name {
                    $(stringify!($name) => &mut self.$name,)+
                    _ => {
                        let is_new = self.unknown.iter().all(|(known, _)| &**known != name);
                        self.unknown.push((name.into(), place));
                        return is_new;
                    }
                };
                known.replace(place).is_none()
            }
        }
    };
}

fields! {
    audio, best_of, dimensions, echo, encoding_format, frequency_penalty, function_call, functions, input,
    logit_bias, logprobs, max_completion_tokens, max_tokens, messages, metadata, modalities, model, models, n,
    parallel_tool_calls, prediction, presence_penalty, prompt, prompt_cache_key, reasoning_effort,
    response_format, safety_identifier, seed, service_tier, stop, store, stream, stream_options, suffix,
    temperature, tool_choice, tools, top_logprobs, top_p, user, verbosity, web_search_options,
}

/// The largest number of unknown fields: looking for duplicates among them stays cheap.
const MAX_UNKNOWN: usize = 256;

/// What one pass over a body finds.
pub(super) struct Found {
    /// Boxed: there are many, and a request changes hands often.
    pub(super) fields: Box<Fields>,
    /// What its messages are, if it is a chat's.
    pub(super) turns: Turns,
    /// The long texts in it.
    pub(super) long: Vec<Stretch>,
}

/// Reads a body, which must be one JSON object without repeated names, in one pass.
pub(super) fn read(body: &str, is_chat: bool) -> Result<Found, Fault> {
    let after = body.bytes().position(|byte| byte == b'{').map_or(0, |at| at + 1);
    let mut reading = Reading { is_chat, fields: Box::default(), turns: Turns::default(), after };
    let long = fold::within(body, MAX_DEPTH, &mut reading)?;
    Ok(Found { fields: reading.fields, turns: reading.turns, long })
}

struct Reading {
    is_chat: bool,
    fields: Box<Fields>,
    turns: Turns,
    /// The end of the last field.
    after: usize,
}

impl<'de> Fold<'de> for Reading {
    fn field(&mut self, name: &str, value: Value<'_, 'de>) -> Result<(), Fault> {
        let place = match self.is_chat && name == "messages" {
            true => value.fold_placed(&mut self.turns)?,
            false => value.placed().map(|(start, raw)| start..start + raw.len())?,
        };
        let end = place.end;
        let is_new = self.fields.put(name, Place { value: place, after: self.after });
        self.after = end;
        if is_new && self.fields.unknown.len() <= MAX_UNKNOWN { Ok(()) } else { Err(Fault) }
    }
}

/// Finds the fields of a body, as [`read`] does, by a reader that has words for what is wrong with it.
///
/// # Errors
/// What is wrong with the JSON, with line and column.
pub(super) fn find(body: &[u8]) -> Result<Fields, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let fields = deserializer.deserialize_map(Finder { base: body.as_ptr() as usize, body })?;
    deserializer.end()?;
    Ok(fields)
}

struct Finder<'a> {
    base: usize,
    body: &'a [u8],
}

impl<'de> Visitor<'de> for Finder<'de> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        let mut after = self.body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let raw: &'de RawValue = map.next_value()?;
            // The raw value borrows from the body, so its address tells where it stands.
            let start = raw.get().as_ptr() as usize - self.base;
            let value = start..start + raw.get().len();
            let end = value.end;
            if !fields.put(&name.0, Place { value, after }) {
                return Err(de::Error::custom(format_args!(
                    "the field `{}` stands there twice",
                    Shown(&name.0)
                )));
            }
            if fields.unknown.len() > MAX_UNKNOWN {
                return Err(de::Error::custom("more than 256 unknown fields"));
            }
            after = end;
        }
        Ok(fields)
    }
}

/// A field's name, borrowed unless it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// A client's text cut to a length that an error message can bear.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().take(64).try_for_each(|c| write!(f, "{}", c.escape_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(body: &'a str, place: &Place) -> &'a str {
        &body[place.value.clone()]
    }

    #[test]
    fn finds_values_with_their_own_spacing() {
        let body = " {\t\"model\" : \"a\" ,\"x\":{ \"y\" : [1, 2] } , \"stream\":true}  ";
        let fields = find(body.as_bytes()).unwrap();
        assert_eq!(text(body, fields.model.as_ref().unwrap()), "\"a\"");
        assert_eq!(text(body, fields.get("x").unwrap()), "{ \"y\" : [1, 2] }");
        assert_eq!(text(body, fields.stream.as_ref().unwrap()), "true");
        assert!(fields.n.is_none());
    }

    #[test]
    fn a_name_written_with_escapes_is_the_same_name() {
        let body = r#"{"model":"a","mod\u0065l":"b"}"#;
        assert!(find(body.as_bytes()).unwrap_err().to_string().contains("`model` stands there twice"));
    }

    #[test]
    fn refuses_what_is_not_one_object() {
        for bad in ["", "[]", "1", "{", "{} {}", "{\"a\":}", "{\"a\":1,}", "\u{feff}{}"] {
            assert!(find(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(find(b"{\"a\":\"\xff\"}").is_err());
    }
}
