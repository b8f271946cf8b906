//! Whether JSON surely lacks the shape that a JSON Schema asks for.
//!
//! Schemas come from clients, so the time is bounded: what takes more steps passes. So does what a keyword asks for that
//! is not read here (`pattern`, `format`, `not`, `if`, `uniqueItems` and their like); `oneOf` is read as `anyOf`. So what
//! fails here fails everywhere.

use serde_json::{Map, Number, Value};

/// The most pairs of a schema and a value that are looked at.
const STEPS: u32 = 100_000;
/// The deepest chain of such pairs; a stack bears it.
const DEPTH: u32 = 200;

/// Nobody knows: it would take too long.
#[derive(Debug)]
struct TooLong;

type Fit = Result<bool, TooLong>;

/// Whether `value` surely does not fit `schema`.
pub(crate) fn is_misfit(schema: &Value, value: &Value) -> bool {
    let mut look = Look { root: schema, steps: STEPS };
    matches!(look.fits(schema, value, DEPTH), Ok(false))
}

struct Look<'a> {
    root: &'a Value,
    steps: u32,
}

impl Look<'_> {
    fn fits(&mut self, schema: &Value, value: &Value, depth: u32) -> Fit {
        self.steps = self.steps.checked_sub(1).ok_or(TooLong)?;
        let depth = depth.checked_sub(1).ok_or(TooLong)?;
        let rules = match schema {
            Value::Object(rules) => rules,
            Value::Bool(anything) => return Ok(*anything),
            _ => return Ok(true),
        };
        if value.is_null() && rules.get("nullable") == Some(&Value::Bool(true)) {
            return Ok(true);
        }
        Ok(has_type(rules, value)
            && self.is_listed(rules, value)?
            && has_size(rules, value)
            && self.has_members(rules, value, depth)?
            && self.combines(rules, value, depth)?)
    }

    /// `enum`, `const`.
    fn is_listed(&mut self, rules: &Map<String, Value>, value: &Value) -> Fit {
        let only = rules.get("const");
        if only.is_some_and(|only| !same(only, value)) {
            return Ok(false);
        }
        let Some(list) = rules.get("enum").and_then(Value::as_array) else { return Ok(true) };
        let cost = u32::try_from(list.len()).unwrap_or(u32::MAX);
        self.steps = self.steps.checked_sub(cost).ok_or(TooLong)?;
        Ok(list.iter().any(|listed| same(listed, value)))
    }

    /// What is asked of fields and elements.
    fn has_members(&mut self, rules: &Map<String, Value>, value: &Value, depth: u32) -> Fit {
        match value {
            Value::Object(fields) => self.has_fields(rules, fields, depth),
            Value::Array(elements) => self.has_elements(rules, elements, depth),
            _ => Ok(true),
        }
    }

    fn has_fields(&mut self, rules: &Map<String, Value>, fields: &Map<String, Value>, depth: u32) -> Fit {
        let required = rules.get("required").and_then(Value::as_array);
        let cost = u32::try_from(required.map_or(0, Vec::len) + fields.len()).unwrap_or(u32::MAX);
        self.steps = self.steps.checked_sub(cost).ok_or(TooLong)?;
        let mut names = required.into_iter().flatten().filter_map(Value::as_str);
        if names.any(|name| !fields.contains_key(name)) {
            return Ok(false);
        }
        let known = rules.get("properties").and_then(Value::as_object);
        // Patterns are not read: whatever is no property may match one.
        let others = rules.get("additionalProperties").filter(|_| !rules.contains_key("patternProperties"));
        for (name, field) in fields {
            let schema = known.and_then(|known| known.get(name)).or(others);
            if let Some(schema) = schema
                && !self.fits(schema, field, depth)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_elements(&mut self, rules: &Map<String, Value>, elements: &[Value], depth: u32) -> Fit {
        // Older drafts have the list under `items`.
        let first = rules.get("prefixItems").or_else(|| rules.get("items").filter(|items| items.is_array()));
        let first = first.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let others = rules.get("items").filter(|items| !items.is_array());
        for (at, element) in elements.iter().enumerate() {
            let schema = first.get(at).or(others);
            if let Some(schema) = schema
                && !self.fits(schema, element, depth)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `$ref`, `allOf`, `anyOf`, `oneOf`.
    fn combines(&mut self, rules: &Map<String, Value>, value: &Value, depth: u32) -> Fit {
        let root = self.root;
        if let Some(place) = rules.get("$ref").and_then(Value::as_str)
            && let Some(schema) = referred(root, place)
            && !self.fits(schema, value, depth)?
        {
            return Ok(false);
        }
        for schema in rules.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            if !self.fits(schema, value, depth)? {
                return Ok(false);
            }
        }
        for name in ["anyOf", "oneOf"] {
            let Some(ways) = rules.get(name).and_then(Value::as_array).filter(|ways| !ways.is_empty()) else {
                continue;
            };
            let mut fits = false;
            for schema in ways {
                fits = fits || self.fits(schema, value, depth)?;
            }
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The schema behind a reference into the same document.
fn referred<'a>(root: &'a Value, place: &str) -> Option<&'a Value> {
    let pointer = place.strip_prefix('#')?;
    // What is written with percent signs is not followed.
    root.pointer(pointer).filter(|_| !pointer.contains('%'))
}

fn has_type(rules: &Map<String, Value>, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_number().is_some_and(is_whole),
        // A type that nobody knows says nothing.
        _ => true,
    };
    match rules.get("type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => {
            names.is_empty() || names.iter().any(|name| name.as_str().is_none_or(is))
        }
        _ => true,
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Lengths and bounds.
fn has_size(rules: &Map<String, Value>, value: &Value) -> bool {
    let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
    let within = |size: f64, least: &str, most: &str| {
        bound(least).is_none_or(|least| size >= least) && bound(most).is_none_or(|most| size <= most)
    };
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| {
            within(number, "minimum", "maximum")
                && bound("exclusiveMinimum").is_none_or(|least| number > least)
                && bound("exclusiveMaximum").is_none_or(|most| number < most)
        }),
        Value::String(text) => within(text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(elements) => within(elements.len() as f64, "minItems", "maxItems"),
        Value::Object(fields) => within(fields.len() as f64, "minProperties", "maxProperties"),
        Value::Null | Value::Bool(_) => true,
    }
}

/// Whether two values are the same; 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_are_told_apart() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1 },
                "age": { "type": ["integer", "null"], "minimum": 0 },
                "kind": { "enum": ["a", "b"] },
                "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" }, "maxItems": 2 },
                "pick": { "anyOf": [{ "const": 1 }, { "type": "boolean" }] },
            },
            "required": ["name"],
            "additionalProperties": false,
            "$defs": { "tag": { "type": "string" } },
        });
        for good in [
            json!({ "name": "x" }),
            json!({ "name": "x", "age": null, "kind": "b", "tags": ["t"], "pick": 1.0 }),
            json!({ "name": "x", "age": 3.0, "pick": false, "tags": [] }),
        ] {
            assert!(!is_misfit(&schema, &good), "{good}");
        }
        for bad in [
            json!({}),
            json!([]),
            json!({ "name": "" }),
            json!({ "name": 1 }),
            json!({ "name": "x", "age": 1.5 }),
            json!({ "name": "x", "age": -1 }),
            json!({ "name": "x", "kind": "c" }),
            json!({ "name": "x", "tags": [1] }),
            json!({ "name": "x", "tags": ["a", "b", "c"] }),
            json!({ "name": "x", "pick": 2 }),
            json!({ "name": "x", "more": 1 }),
        ] {
            assert!(is_misfit(&schema, &bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_passes() {
        for schema in [
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "$ref": "#/nowhere" }),
            json!({ "pattern": "^b" }),
            json!({ "type": "colour" }),
            json!({ "not": {} }),
            json!(7),
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }, { "type": "null" }] }),
        ] {
            assert!(!is_misfit(&schema, &json!("a")), "{schema}");
        }
    }

    #[test]
    fn a_schema_made_to_take_for_ever_does_not() {
        let mut defs = serde_json::Map::new();
        for level in 0..60 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            defs.insert(format!("d{level}"), json!({ "anyOf": [next, next, next] }));
        }
        defs.insert("d60".to_owned(), json!({ "type": "null" }));
        let schema = json!({ "$ref": "#/$defs/d0", "$defs": defs });
        let begun = Instant::now();
        assert!(!is_misfit(&schema, &json!("a")));
        assert!(begun.elapsed() < Duration::from_secs(20), "only a hang fails here");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..4).prop_map(Value::from),
            (-2.0_f64..2.0).prop_map(Value::from),
            "[ab]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let types =
            prop::sample::select(vec!["object", "array", "string", "number", "integer", "null", "boolean"]);
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            types.prop_map(|name| json!({ "type": name })),
            values().prop_map(|value| json!({ "const": value })),
            prop::collection::vec(values(), 1..3).prop_map(|values| json!({ "enum": values })),
            (-3_i64..3).prop_map(|bound| json!({ "minimum": bound, "exclusiveMaximum": 3 })),
            (0_u32..3).prop_map(|size| json!({ "minLength": size, "maxItems": size, "minProperties": size })),
            Just(json!({ "$ref": "#/$defs/x" })),
            Just(json!({ "pattern": "^a", "uniqueItems": true })),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, others)| json!({
                    "properties": { "a": a }, "required": ["a"], "additionalProperties": others,
                })),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "prefixItems": [a], "items": b })),
                list.clone().prop_map(|list| json!({ "allOf": list })),
                list.clone().prop_map(|list| json!({ "anyOf": list })),
                list.prop_map(|list| json!({ "oneOf": list })),
            ]
        })
    }

    proptest! {
        /// Another reader of schemas never takes what fails here.
        #[test]
        fn what_fails_fails_everywhere(schema in schemas(), value in values(), x in values()) {
            let schema = json!({ "allOf": [schema], "$defs": { "x": { "enum": [x] } } });
            if is_misfit(&schema, &value) {
                prop_assert!(!jsonschema::is_valid(&schema, &value), "{} {}", schema, value);
            }
        }
    }
}
