//! JSON Schemas as Anthropic's API takes them.

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Value, value::RawValue};

use super::gap::bad;
use crate::openai::BadField;

/// Keywords that the API refuses in schemas which it enforces.
const NOT_ENFORCED: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "oneOf",
    "not",
    "if",
];

/// Whether the API can enforce the schema: every object is closed, nothing is recursive, no keyword is among those
/// it refuses.
pub fn is_enforceable(schema: &RawValue) -> bool {
    serde_json::from_str(schema.get()).is_ok_and(|schema: Value| closed(&schema) && is_finite(&schema))
}

/// Whether every reference leads to a definition of the schema's own, none in a circle.
fn is_finite(schema: &Value) -> bool {
    let Ok(mut whole) = refs(schema) else {
        return false;
    };
    let mut open: Vec<(&str, Vec<&str>)> = Vec::new();
    for defs in ["$defs", "definitions"].iter().filter_map(|name| schema.get(*name)?.as_object()) {
        for (name, definition) in defs {
            let Ok(refs) = refs(definition) else {
                return false;
            };
            open.push((name, refs));
        }
    }
    whole.retain(|name| !open.iter().any(|(known, _)| known == name));
    // What refers only to what is done is done.
    loop {
        let before = open.len();
        let names: HashSet<&str> = open.iter().map(|(name, _)| *name).collect();
        open.retain(|(_, refs)| refs.iter().any(|name| names.contains(name)));
        if open.len() == before {
            return whole.is_empty() && open.is_empty();
        }
    }
}

/// The definitions that a schema refers to.
fn refs(schema: &Value) -> Result<Vec<&str>, ()> {
    let mut found = Vec::new();
    let mut waiting = vec![schema];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(list) => waiting.extend(list),
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    let name = to.strip_prefix("#/$defs/").or_else(|| to.strip_prefix("#/definitions/"));
                    found.push(name.ok_or(())?);
                }
                waiting.extend(map.values());
            }
            _ => {}
        }
    }
    Ok(found)
}

fn closed(schema: &Value) -> bool {
    let Value::Object(map) = schema else {
        return schema.is_boolean();
    };
    let refused = NOT_ENFORCED.iter().any(|keyword| map.contains_key(*keyword));
    let few = map.get("minItems").is_none_or(|least| least.as_u64().is_some_and(|least| least <= 1));
    if refused || !few {
        return false;
    }
    let object = map.get("type").is_some_and(|kind| {
        kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
    });
    if (object || map.contains_key("properties"))
        && map.get("additionalProperties") != Some(&Value::Bool(false))
    {
        return false;
    }
    let named = ["properties", "$defs", "definitions"].iter().filter_map(|name| map.get(*name)?.as_object());
    let listed = ["anyOf", "allOf", "prefixItems"].iter().filter_map(|name| map.get(*name)?.as_array());
    let single = map.get("items").into_iter();
    named.flat_map(|map| map.values()).chain(listed.flatten()).chain(single).all(closed)
}

/// The schema of a tool's input: an object's. Without one, any object will do.
///
/// # Errors
/// `place`, where the schema is not an object's.
pub fn input<'a>(place: &str, schema: Option<&'a RawValue>) -> Result<Cow<'a, RawValue>, BadField> {
    let text = schema.map_or("null", RawValue::get);
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(with_member("{}", r#""type":"object","properties":{}"#)),
        Ok(Value::Object(map)) => match (map.get("type"), schema) {
            (Some(kind), Some(schema)) if kind == "object" => Ok(Cow::Borrowed(schema)),
            (None, _) => Ok(with_member(text, r#""type":"object""#)),
            _ => Err(bad(place, format!("`{place}` must be the JSON Schema of an object."))),
        },
        _ => Err(bad(place, format!("`{place}` must be a JSON Schema."))),
    }
}

/// The schema with a description of its own, where it has none.
pub fn described<'a>(schema: &'a RawValue, description: Option<&str>) -> Cow<'a, RawValue> {
    let has_one = || {
        let map = serde_json::from_str::<Value>(schema.get()).ok();
        map.is_none_or(|map| !map.is_object() || map.get("description").is_some())
    };
    match description {
        Some(text) if !has_one() => {
            let text = serde_json::to_string(text).expect("a text always serializes");
            with_member(schema.get(), &format!("\"description\":{text}"))
        }
        _ => Cow::Borrowed(schema),
    }
}

/// A JSON object with members put before its own, which keep their order.
fn with_member<'a>(object: &str, members: &str) -> Cow<'a, RawValue> {
    let rest = object.trim_start().trim_start_matches('{').trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    let text = format!("{{{members}{comma}{rest}");
    Cow::Owned(RawValue::from_string(text).expect("an object with members more is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_closed_schemas_are_enforced() {
        let closed = r#"{"type":"object","additionalProperties":false,"properties":"#;
        for good in [
            r#"{"type":"string","enum":["a"]}"#.to_owned(),
            format!(r#"{closed}{{"a":{{"type":"array","items":{closed}{{}}}},"minItems":1}}}}}}"#),
            format!(r#"{closed}{{"minimum":{{"type":"integer"}}}}}}"#),
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#/$defs/b"}},"b":{"type":"string"}}}"##
                .to_owned(),
        ] {
            assert!(is_enforceable(&raw(&good)), "{good}");
        }
        for bad in [
            r#"{"type":"object","properties":{}}"#.to_owned(),
            r#"{"type":["object","null"]}"#.to_owned(),
            format!(r#"{closed}{{"a":{{"type":"integer","minimum":0}}}}}}"#),
            format!(r#"{closed}{{"a":{{"anyOf":[{{"type":"object"}}]}}}}}}"#),
            format!(r##"{closed}{{"a":{{"$ref":"#"}}}}}}"##),
            format!(r##"{closed}{{"a":{{"$ref":"#/$defs/missing"}}}}}}"##),
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"items":{"$ref":"#/$defs/a"}}}}"##
                .to_owned(),
            r#"{"type":"array","minItems":2,"items":{}}"#.to_owned(),
        ] {
            assert!(!is_enforceable(&raw(&bad)), "{bad}");
        }
    }

    #[test]
    fn a_tools_input_is_an_object() {
        let text = |schema: Option<&str>| {
            let schema = schema.map(raw);
            input("p", schema.as_deref()).map(|schema| schema.get().to_owned()).map_err(|bad| bad.param)
        };
        let any = r#"{"type":"object","properties":{}}"#;
        assert_eq!(text(None).unwrap(), any);
        assert_eq!(text(Some("null")).unwrap(), any);
        assert_eq!(text(Some("{ }")).unwrap(), r#"{"type":"object"}"#);
        assert_eq!(text(Some(r#"{ "properties":{}}"#)).unwrap(), r#"{"type":"object","properties":{}}"#);
        assert_eq!(text(Some(r#"{"b":1, "type":"object"}"#)).unwrap(), r#"{"b":1, "type":"object"}"#);
        for bad in [r#"{"type":"array"}"#, "[]", "true"] {
            assert_eq!(text(Some(bad)), Err(Some("p".into())), "{bad}");
        }
    }

    #[test]
    fn a_description_is_added_where_there_is_none() {
        let schema = raw(r#"{"type":"string"}"#);
        assert_eq!(described(&schema, Some("a \"b\"")).get(), r#"{"description":"a \"b\"","type":"string"}"#);
        let schema = raw(r#"{"description":"own"}"#);
        assert_eq!(described(&schema, Some("x")).get(), schema.get());
    }
}
