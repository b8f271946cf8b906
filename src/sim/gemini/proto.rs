//! Google's reading of JSON as messages whose fields are all known.

use serde_json::{Map, Value};

use super::{base64, error::Refusal};
use crate::sim::text::head;

/// How deep messages may nest.
const DEEPEST: u32 = 100;
/// How many faults are told.
const TOLD: usize = 20;

/// A message: its fields by their names in JSON.
#[derive(Debug)]
pub(crate) struct Message(pub(crate) &'static [(&'static str, Kind)]);

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any JSON.
    Any,
    /// Any JSON object.
    Struct,
    Text,
    Bytes,
    Bool,
    Number,
    Integer,
    /// The name of the type, with its values.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static Message),
    List(&'static Kind),
    /// Messages by names of the client's choice.
    Map(&'static Message),
}

/// A fault with the place where it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

/// Reads a body: the same JSON with each field's name in camel case, and without nulls.
///
/// # Errors
/// Names all unknown fields and wrong types, as Google does.
pub(crate) fn read(body: &Value, message: &'static Message) -> Result<Value, Refusal> {
    let mut reader = Reader { violations: Vec::new() };
    let read = reader.message(body, message, "", 0);
    if reader.violations.is_empty() { Ok(read) } else { Err(Refusal::of_violations(reader.violations)) }
}

/// A list's or object's item, if it is there.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text; empty where it is not there.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number that may come as text.
pub(crate) fn number(value: &Value, name: &str) -> Option<f64> {
    let value = value.get(name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

struct Reader {
    violations: Vec<Violation>,
}

impl Reader {
    fn message(&mut self, value: &Value, message: &'static Message, place: &str, depth: u32) -> Value {
        let Value::Object(object) = value else {
            self.wrong(place, "message", value);
            return Value::Null;
        };
        let mut read = Map::new();
        for (key, value) in object {
            let name = camel(key);
            let Some((name, kind)) = message.0.iter().find(|(known, _)| *known == name) else {
                self.unknown(key, place);
                continue;
            };
            // Null is the same as absent.
            if value.is_null() {
                continue;
            }
            let inner = snake(name);
            let place = if place.is_empty() { inner } else { format!("{place}.{inner}") };
            let value = self.value(value, kind, &place, depth);
            read.insert((*name).to_owned(), value);
        }
        Value::Object(read)
    }

    fn value(&mut self, value: &Value, kind: &'static Kind, place: &str, depth: u32) -> Value {
        if depth > DEEPEST {
            self.add(place, "Invalid JSON payload received. Message too deep.".to_owned());
            return Value::Null;
        }
        let fits = match kind {
            Kind::Any => true,
            Kind::Struct => value.is_object(),
            Kind::Text => value.is_string(),
            Kind::Bytes => value.as_str().is_some_and(|text| base64::decode(text).is_ok()),
            Kind::Bool => value.is_boolean(),
            Kind::Number => {
                value.is_number() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok())
            }
            Kind::Integer => {
                let text = value.as_str().is_some_and(|text| text.parse::<i64>().is_ok());
                text || value.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            Kind::Enum(_, values) => {
                let known = |word: &str| values.contains(&word.to_ascii_uppercase().as_str());
                value.is_u64() || value.as_str().is_some_and(known)
            }
            Kind::Message(message) if !value.is_array() => {
                return self.message(value, message, place, depth + 1);
            }
            Kind::Message(_) => {
                let message = "Proto field is not repeating, cannot start list.";
                self.add(place, format!("Invalid value at '{place}'. {message}"));
                return Value::Null;
            }
            Kind::List(inner) => return self.list(value, inner, place, depth),
            Kind::Map(message) => match value {
                Value::Object(object) => {
                    let mut read = Map::new();
                    for (key, value) in object {
                        let place = format!("{place}[{}].value", read.len());
                        read.insert(key.clone(), self.message(value, message, &place, depth + 1));
                    }
                    return Value::Object(read);
                }
                _ => false,
            },
        };
        if fits {
            return value.clone();
        }
        if value.is_array() {
            let message = "Proto field is not repeating, cannot start list.";
            self.add(place, format!("Invalid value at '{place}'. {message}"));
        } else {
            self.wrong(place, &kind.name(), value);
        }
        Value::Null
    }

    fn list(&mut self, value: &Value, inner: &'static Kind, place: &str, depth: u32) -> Value {
        match value {
            Value::Array(items) => {
                let read = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.value(item, inner, &format!("{place}[{index}]"), depth + 1));
                Value::Array(read.collect())
            }
            // One message stands for a list of one.
            Value::Object(_) => Value::Array(vec![self.value(value, inner, place, depth + 1)]),
            _ => {
                self.wrong(place, &inner.name(), value);
                Value::Null
            }
        }
    }

    fn unknown(&mut self, key: &str, place: &str) {
        let at = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
        let description =
            format!("Invalid JSON payload received. Unknown name \"{key}\"{at}: Cannot find field.");
        self.add(place, description);
    }

    fn wrong(&mut self, place: &str, kind: &str, value: &Value) {
        let value = value.to_string();
        let shown = head(&value, 200);
        self.add(place, format!("Invalid value at '{place}' ({kind}), {shown}"));
    }

    fn add(&mut self, field: &str, description: String) {
        if self.violations.len() < TOLD {
            self.violations.push(Violation { field: field.to_owned(), description });
        }
    }
}

impl Kind {
    fn name(&self) -> String {
        match self {
            Self::Any => "google.protobuf.Value".to_owned(),
            Self::Struct => "type.googleapis.com/google.protobuf.Struct".to_owned(),
            Self::Text => "TYPE_STRING".to_owned(),
            Self::Bytes => "TYPE_BYTES".to_owned(),
            Self::Bool => "TYPE_BOOL".to_owned(),
            Self::Number => "TYPE_DOUBLE".to_owned(),
            Self::Integer => "TYPE_INT32".to_owned(),
            Self::Enum(name, _) => {
                format!("type.googleapis.com/google.ai.generativelanguage.v1beta.{name}")
            }
            Self::Message(_) | Self::List(_) | Self::Map(_) => "message".to_owned(),
        }
    }
}

/// `function_call` and `functionCall` are the same name; this is the latter.
fn camel(name: &str) -> String {
    let mut whole = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' if !whole.is_empty() => upper = true,
            c if upper => {
                whole.extend(c.to_uppercase());
                upper = false;
            }
            c => whole.push(c),
        }
    }
    whole
}

fn snake(name: &str) -> String {
    let mut whole = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            whole.push('_');
        }
        whole.push(c.to_ascii_lowercase());
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::messages::GENERATE, *};

    #[test]
    fn all_faults_are_told_with_their_places() {
        let body = json!({ "foo": 1, "contents": [{ "role": "user", "bar": 2, "parts": [{ "text": 3 }] }],
            "generationConfig": { "maxOutputTokens": "many" }, "safety_settings": [{ "threshold": "FOO" }] });
        let message = read(&body, &GENERATE).unwrap_err().message;
        for part in [
            "Unknown name \"foo\": Cannot find field.",
            "Unknown name \"bar\" at 'contents[0]': Cannot find field.",
            "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 3",
            "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), \"many\"",
            "'safety_settings[0].threshold' (type.googleapis.com/google.ai.generativelanguage.v1beta.",
        ] {
            assert!(message.contains(part), "{part}\n{message}");
        }
    }

    #[test]
    fn both_spellings_come_to_the_same() {
        let body = json!({ "contents": [{ "parts": [{ "function_call": { "name": "f", "args": { "a_b": 1 } },
            "thought_signature": "AB-_" }] }], "tool_config": null });
        let read = read(&body, &GENERATE).unwrap();
        let part =
            json!({ "functionCall": { "name": "f", "args": { "a_b": 1 } }, "thoughtSignature": "AB-_" });
        assert_eq!(read, json!({ "contents": [{ "parts": [part] }] }));
    }

    proptest! {
        #[test]
        fn any_names_are_read(name in "\\PC{0,20}") {
            let _ = (camel(&name), snake(&name));
            let _ = read(&json!({ "contents": [{ name: [1] }] }), &GENERATE);
        }
    }
}
