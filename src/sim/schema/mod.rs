//! Values that fit a JSON Schema.

use serde_json::{Map, Value, json};

mod form;

pub(crate) use form::check;

use crate::quality::is_misfit;

use super::{
    dice::Dice,
    leaves::{Leaves, size},
};

/// How deep a value nests before only what is required is made, and before nothing is.
const SHALLOW: u32 = 5;
const DEEPEST: u32 = 48;
/// How many values one instance may hold.
const NODES: u32 = 5_000;
/// How often another instance is tried where one does not fit.
const TRIES: u64 = 8;

/// A value that fits `schema`, made of `words` where it needs texts. Where a schema asks for what
/// is not understood here, or for the impossible, it is the best of a few tries.
pub(crate) fn instance(schema: &Value, dice: &mut Dice, words: &[String]) -> Value {
    let mut last = Value::Null;
    for _ in 0..TRIES {
        last = Maker { root: schema, leaves: Leaves { dice, words }, nodes: 0 }.make(schema, "", 0);
        if !is_misfit(schema, &last) {
            break;
        }
    }
    last
}

struct Maker<'a> {
    root: &'a Value,
    leaves: Leaves<'a>,
    nodes: u32,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, name: &str, depth: u32) -> Value {
        self.nodes += 1;
        let Value::Object(schema) = schema else {
            return json!(self.leaves.word());
        };
        if depth > DEEPEST || self.nodes > NODES {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            return self.leaves.dice.pick(values).cloned().unwrap_or(Value::Null);
        }
        if let Some(merged) = self.merged(schema, depth) {
            return self.make(&merged, name, depth + 1);
        }
        match self.kind(schema, depth) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => self.leaves.integer(schema),
            "number" => self.leaves.number(schema),
            "boolean" => json!(self.leaves.dice.below(2) == 1),
            "null" => Value::Null,
            _ => json!(self.leaves.string(schema, name)),
        }
    }

    /// `$ref`, `allOf`, `anyOf` and `oneOf` folded into one schema; `None` where there are none.
    fn merged(&mut self, schema: &Map<String, Value>, depth: u32) -> Option<Value> {
        let mut rest = schema.clone();
        let mut parts = Vec::new();
        if let Some(Value::String(reference)) = rest.remove("$ref") {
            parts.push(self.root.pointer(reference.strip_prefix('#')?)?.clone());
        }
        if let Some(Value::Array(all)) = rest.remove("allOf") {
            parts.extend(all);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(choices)) = rest.remove(key) {
                let simple = choices.iter().find(|choice| is_simple(choice));
                let choice = match simple {
                    Some(simple) if depth > SHALLOW => Some(simple),
                    _ => self.leaves.dice.pick(&choices),
                };
                parts.extend(choice.cloned());
            }
        }
        if parts.is_empty() {
            return None;
        }
        for part in parts {
            let Value::Object(part) = part else { continue };
            for (key, value) in part {
                match (rest.get_mut(&key), value) {
                    (Some(Value::Object(have)), Value::Object(more)) if key == "properties" => {
                        have.extend(more)
                    }
                    (Some(Value::Array(have)), Value::Array(more)) if key == "required" => have.extend(more),
                    (_, value) => drop(rest.insert(key, value)),
                }
            }
        }
        Some(Value::Object(rest))
    }

    fn kind<'s>(&self, schema: &'s Map<String, Value>, depth: u32) -> &'s str {
        let has = |keys: &[&str]| keys.iter().any(|key| schema.contains_key(*key));
        match schema.get("type") {
            Some(Value::String(kind)) => kind,
            Some(Value::Array(kinds)) => {
                let mut kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
                kinds.sort_by_key(|kind| (*kind == "null") != (depth > SHALLOW));
                kinds.first().copied().unwrap_or("null")
            }
            _ if has(&["properties", "required", "additionalProperties", "minProperties"]) => "object",
            _ if has(&["items", "prefixItems", "minItems", "contains"]) => "array",
            _ if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) => {
                "number"
            }
            _ => "string",
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: u32) -> Value {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let most = size(schema, "maxProperties").unwrap_or(usize::MAX);
        let mut made = Map::new();
        for (name, property) in properties {
            let needed = required.contains(&name.as_str());
            if needed || (depth < SHALLOW && required.len() + made.len() < most) {
                made.insert(name.clone(), self.make(property, name, depth + 1));
            }
        }
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required {
            if !made.contains_key(name) {
                made.insert(name.to_owned(), self.make(others, name, depth + 1));
            }
        }
        let least = size(schema, "minProperties").unwrap_or(0).min(NODES as usize);
        let mut next = 0;
        while made.len() < least && next < NODES as usize {
            next += 1;
            let name = format!("key_{next}");
            if !made.contains_key(&name) {
                let value = self.make(others, &name, depth + 1);
                made.insert(name, value);
            }
        }
        Value::Object(made)
    }

    fn array(&mut self, schema: &Map<String, Value>, name: &str, depth: u32) -> Value {
        let least = size(schema, "minItems").unwrap_or(0).min(NODES as usize);
        let most = size(schema, "maxItems").unwrap_or(usize::MAX);
        let wanted = if depth > SHALLOW { least } else { least.max(1 + self.leaves.dice.below(2)).min(most) };
        let mut made: Vec<Value> = Vec::new();
        if let Some(Value::Array(first)) = schema.get("prefixItems") {
            for item in first.iter().take(most) {
                made.push(self.make(item, name, depth + 1));
            }
        }
        if let Some(item) = schema.get("contains") {
            made.push(self.make(item, name, depth + 1));
        }
        let item = schema.get("items").unwrap_or(&Value::Bool(true));
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut tries = 0;
        while item != &Value::Bool(false) && made.len() < wanted && tries < wanted * 20 {
            tries += 1;
            let value = self.make(item, name, depth + 1);
            if !unique || !made.contains(&value) {
                made.push(value);
            }
        }
        Value::Array(made)
    }
}

/// Whether a schema ends a recursion: neither an object, an array nor a reference.
fn is_simple(schema: &Value) -> bool {
    let nests = ["$ref", "properties", "items", "allOf", "anyOf", "oneOf"];
    !nests.iter().any(|key| schema.get(key).is_some())
        && !matches!(schema.get("type").and_then(Value::as_str), Some("object" | "array"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(schema: Value) {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let words = ["Paris", "weather"].map(str::to_owned);
        for seed in 0..40 {
            let value = instance(&schema, &mut Dice::of(seed, &[]), &words);
            assert!(validator.is_valid(&value), "{schema}\n{value}");
        }
    }

    #[test]
    fn simple_schemas_are_met() {
        fits(
            json!({ "type": "object", "required": ["city", "unit", "days"], "additionalProperties": false, "properties": {
                "city": { "type": "string", "minLength": 2, "maxLength": 12 },
                "unit": { "enum": ["celsius", "fahrenheit"] },
                "days": { "type": "integer", "minimum": 1, "exclusiveMaximum": 8 },
                "share": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 },
                "step": { "type": "number", "multipleOf": 5, "minimum": 3 },
                "when": { "type": ["string", "null"], "format": "date-time" },
                "code": { "type": "string", "pattern": "^[A-Z]{3}$" },
                "flags": { "type": "array", "items": { "type": "boolean" }, "maxItems": 2, "minItems": 1 },
                "tags": { "type": "array", "uniqueItems": true, "items": { "enum": ["a", "b", "c"] }, "minItems": 3 },
            }}),
        );
        fits(json!({ "type": "array", "prefixItems": [{ "const": 1 }, { "type": "null" }], "items": false }));
        fits(json!({ "type": "string", "minLength": 100, "maxLength": 101 }));
        fits(json!({ "type": "integer", "maximum": -5 }));
        fits(json!({ "type": "object", "minProperties": 3, "additionalProperties": { "type": "integer" } }));
        fits(json!({}));
        fits(json!(true));
    }

    #[test]
    fn composed_schemas_are_met() {
        fits(
            json!({ "$ref": "#/$defs/node", "$defs": { "node": { "type": "object", "required": ["value", "next"],
            "properties": { "value": { "type": "integer" },
                "next": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] } } } } }),
        );
        fits(json!({ "allOf": [
            { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
            { "properties": { "b": { "type": "boolean" } }, "required": ["b"] } ] }));
        fits(
            json!({ "oneOf": [{ "type": "integer" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] }),
        );
        fits(json!({ "type": "object", "required": ["children"], "properties": {
            "children": { "type": "array", "items": { "$ref": "#" } } } }));
    }

    #[test]
    fn impossible_schemas_end() {
        let words = ["word".to_owned()];
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "$ref": "#" } } }),
            json!({ "type": "array", "minItems": 1e18 as u64, "items": { "$ref": "#" } }),
            json!({ "type": "string", "minLength": 1e18 as u64 }),
            json!({ "type": "integer", "multipleOf": 1e300, "minimum": -1e300 }),
            json!(false),
        ] {
            let _ = instance(&schema, &mut Dice::of(1, &[]), &words);
        }
        assert!(check(&json!({ "type": "nonsense" })).is_err());
    }
}
