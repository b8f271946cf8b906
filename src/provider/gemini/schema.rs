//! JSON Schemas in the words that Gemini knows, the order of their members kept.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The schema for `parametersJsonSchema` or `responseJsonSchema`: `const` becomes an `enum` of one, `$schema` is left
/// out, everything else stays as it was written.
pub fn translate(schema: &RawValue) -> Box<RawValue> {
    RawValue::from_string(one(schema.get())).expect("rewritten from JSON, member by member")
}

/// An object's members in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Ordered)
    }
}

/// A schema: an object or a boolean.
fn one(text: &str) -> String {
    let Ok(Members(members)) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    let has_enum = members.iter().any(|(name, _)| name == "enum");
    let written = members.iter().filter_map(|(name, value)| {
        let value = value.get();
        match name.as_ref() {
            "$schema" => None,
            "const" if has_enum => None,
            "const" => Some(member("enum", &format!("[{value}]"))),
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                Some(member(name, &each_member(value)))
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => Some(member(name, &each_item(value))),
            "items" if value.starts_with('[') => Some(member(name, &each_item(value))),
            "items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains" => {
                Some(member(name, &one(value)))
            }
            _ => Some(member(name, value)),
        }
    });
    object(written)
}

/// An object whose members are schemas.
fn each_member(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Members(members)) => object(members.iter().map(|(name, value)| member(name, &one(value.get())))),
        Err(_) => text.to_owned(),
    }
}

/// A list of schemas.
fn each_item(text: &str) -> String {
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(items) => {
            let items: Vec<String> = items.iter().map(|item| one(item.get())).collect();
            format!("[{}]", items.join(","))
        }
        Err(_) => text.to_owned(),
    }
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", crate::openai::ask::json_string(name))
}

fn object(members: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> String {
        translate(&RawValue::from_string(text.into()).unwrap()).get().to_owned()
    }

    #[test]
    fn order_stays_and_const_becomes_enum() {
        assert_eq!(
            translated(
                r#"{"$schema":"x","type":"object","properties":{"z":{"const":"k"},"a":{"type":"array","items":{"const":1}},"const":{"type":"string"}},"required":["z"]}"#
            ),
            r#"{"type":"object","properties":{"z":{"enum":["k"]},"a":{"type":"array","items":{"enum":[1]}},"const":{"type":"string"}},"required":["z"]}"#
        );
        assert_eq!(
            translated(
                r#"{"anyOf":[{"const":"a"},{"type":"null"},true],"$defs":{"A":{"const":2,"enum":[2]}}}"#
            ),
            r#"{"anyOf":[{"enum":["a"]},{"type":"null"},true],"$defs":{"A":{"enum":[2]}}}"#
        );
    }

    #[test]
    fn what_is_no_schema_stays() {
        // Values are not schemas, even if they look like some.
        let text = r#"{"default":{"const":1},"enum":[{"$schema":2}],"a\"b":1e400}"#;
        assert_eq!(translated(text), text);
        for text in ["true", "3", "[]", r#"{"properties":3,"items":[],"anyOf":{}}"#] {
            assert_eq!(translated(text), text);
        }
    }
}
