//! Whether JSON is a well-formed JSON Schema.
//!
//! Keywords that are not known pass. So does what a reference asks for that is written with percent signs.
//! A definition that nothing refers to is checked like the others.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::sim::pattern;

/// How deep schemas nest; JSON that was read nests no deeper.
const DEPTH: u32 = 128;
/// The longest value that an error quotes, in characters.
const QUOTED: usize = 60;

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// A draft of the standard: where they differ.
#[derive(Clone, Copy, PartialEq)]
enum Draft {
    Four,
    Older,
    Newest,
}

/// What is wrong, with where as a JSON pointer.
struct Fault {
    place: String,
    what: String,
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into() }
    }

    fn inside(mut self, key: &str) -> Self {
        self.place.insert_str(0, &format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        self
    }
}

type Checked = Result<(), Fault>;

/// Whether `schema` is one that a value can be checked against.
///
/// # Errors
/// Says what is wrong with it, after where.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let mut names = HashSet::new();
    collect(schema, DEPTH, &mut names);
    let draft = draft_of(schema).ok_or("'/$schema' must name a known draft of JSON Schema")?;
    Form { names, draft }.schema(schema, Spot { base: schema, depth: DEPTH }).map_err(|fault| {
        let place = if fault.place.is_empty() { "the schema".into() } else { format!("'{}'", fault.place) };
        format!("{place} {}", fault.what)
    })
}

/// The draft that a schema names; `None` where nobody knows it.
fn draft_of(schema: &Value) -> Option<Draft> {
    let Some(Value::String(named)) = schema.get("$schema") else { return Some(Draft::Newest) };
    let named = named.trim_end_matches('#');
    let named = named.strip_prefix("https://").or_else(|| named.strip_prefix("http://"))?;
    match named.strip_prefix("json-schema.org/")? {
        "schema" | "draft/2020-12/schema" => Some(Draft::Newest),
        "draft/2019-09/schema" | "draft-07/schema" | "draft-06/schema" => Some(Draft::Older),
        "draft-04/schema" => Some(Draft::Four),
        _ => None,
    }
}

/// What parts of the document call themselves.
fn collect<'a>(value: &'a Value, depth: u32, names: &mut HashSet<&'a str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("$id" | "$anchor" | "$dynamicAnchor", Value::String(name)) => {
                        names.insert(name.strip_prefix('#').unwrap_or(name));
                    }
                    _ => collect(value, depth, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth, names)),
        _ => {}
    }
}

/// Where references begin, with how much deeper schemas may nest.
#[derive(Clone, Copy)]
struct Spot<'a> {
    base: &'a Value,
    depth: u32,
}

struct Form<'a> {
    names: HashSet<&'a str>,
    draft: Draft,
}

impl Form<'_> {
    fn schema(&self, schema: &Value, spot: Spot<'_>) -> Checked {
        let rules = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(rules) => rules,
            other => return Err(must("an object or a boolean", other)),
        };
        let depth = spot.depth.checked_sub(1).ok_or_else(|| Fault::new("nests too deep"))?;
        let named = rules.get("$id").and_then(Value::as_str).is_some_and(|id| !id.starts_with('#'));
        let spot = Spot { base: if named { schema } else { spot.base }, depth };
        for (keyword, value) in rules {
            self.keyword(keyword, value, spot).map_err(|fault| fault.inside(keyword))?;
        }
        Ok(())
    }

    fn keyword(&self, keyword: &str, value: &Value, spot: Spot<'_>) -> Checked {
        match keyword {
            "items" if self.draft != Draft::Newest && value.is_array() => self.list(value, spot),
            "additionalItems" if self.draft != Draft::Newest => self.schema(value, spot),
            "additionalProperties"
            | "contains"
            | "contentSchema"
            | "else"
            | "if"
            | "items"
            | "not"
            | "propertyNames"
            | "then"
            | "unevaluatedItems"
            | "unevaluatedProperties" => self.schema(value, spot),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => self.list(value, spot),
            "$defs" | "definitions" | "dependentSchemas" | "properties" => {
                self.table(value, |_, value| self.schema(value, spot))
            }
            "patternProperties" => self.table(value, |key, value| {
                if !pattern::is_sound(key) {
                    return Err(Fault::new("stands under a name that is no regular expression"));
                }
                self.schema(value, spot)
            }),
            "dependencies" => self.table(value, |_, value| match value {
                Value::Array(_) => plain("required", self.draft, value),
                value => self.schema(value, spot),
            }),
            "dependentRequired" => self.table(value, |_, value| plain("required", self.draft, value)),
            "$ref" | "$dynamicRef" => self.reference(value, spot),
            _ => plain(keyword, self.draft, value),
        }
    }

    fn list(&self, value: &Value, spot: Spot<'_>) -> Checked {
        let Some(schemas) = value.as_array().filter(|schemas| !schemas.is_empty()) else {
            return Err(must("an array of at least one schema", value));
        };
        for (at, schema) in schemas.iter().enumerate() {
            self.schema(schema, spot).map_err(|fault| fault.inside(&at.to_string()))?;
        }
        Ok(())
    }

    fn table(&self, value: &Value, check: impl Fn(&str, &Value) -> Checked) -> Checked {
        let table: &Map<String, Value> = value.as_object().ok_or_else(|| must("an object", value))?;
        table.iter().try_for_each(|(key, value)| check(key, value).map_err(|fault| fault.inside(key)))
    }

    fn reference(&self, value: &Value, spot: Spot<'_>) -> Checked {
        let target = value.as_str().ok_or_else(|| must("a string", value))?;
        let is_known = match target.strip_prefix('#') {
            Some(pointer) if pointer.contains('%') => true,
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
                spot.base.pointer(pointer).is_some_and(|schema| schema.is_object() || schema.is_boolean())
            }
            Some(name) => self.names.contains(name),
            // Where parts of the document have addresses, it may be one of them.
            None => target.is_empty() || !self.names.is_empty() || target.contains("://json-schema.org/"),
        };
        if is_known {
            return Ok(());
        }
        Err(Fault::new(format!("refers to {}, which is no schema in this document", short(value))))
    }
}

/// Checks a keyword that holds no schemas.
fn plain(keyword: &str, draft: Draft, value: &Value) -> Checked {
    let (wanted, fits): (_, fn(&Value) -> bool) = match keyword {
        "$comment" | "$id" | "$schema" | "contentEncoding" | "contentMediaType" | "description"
        | "format" | "title" => ("a string", Value::is_string),
        "$anchor" | "$dynamicAnchor" => ("a name", is_name),
        "deprecated" | "readOnly" | "uniqueItems" | "writeOnly" => ("a boolean", Value::is_boolean),
        "enum" | "examples" => ("an array", Value::is_array),
        "exclusiveMaximum" | "exclusiveMinimum" if draft == Draft::Four => ("a boolean", Value::is_boolean),
        "exclusiveMaximum" | "exclusiveMinimum" | "maximum" | "minimum" => ("a number", Value::is_number),
        "maxContains" | "maxItems" | "maxLength" | "maxProperties" | "minContains" | "minItems"
        | "minLength" | "minProperties" => ("a whole number of 0 or more", is_count),
        "multipleOf" => ("a number above 0", |value| value.as_f64().is_some_and(|step| step > 0.0)),
        "pattern" => ("a regular expression", |value| value.as_str().is_some_and(pattern::is_sound)),
        "required" => ("an array of strings, each once", are_names),
        "type" => (
            "array, boolean, integer, null, number, object or string, or an array of some of them, each once",
            are_types,
        ),
        _ => return Ok(()),
    };
    if fits(value) { Ok(()) } else { Err(must(wanted, value)) }
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    })
}

fn is_count(value: &Value) -> bool {
    value.is_u64() || value.as_f64().is_some_and(|count| count >= 0.0 && count.fract() == 0.0)
}

fn are_names(value: &Value) -> bool {
    let mut seen = HashSet::new();
    value
        .as_array()
        .is_some_and(|names| names.iter().all(|name| name.as_str().is_some_and(|n| seen.insert(n))))
}

fn are_types(value: &Value) -> bool {
    let is = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
    match value {
        Value::Array(kinds) => !kinds.is_empty() && kinds.iter().all(is) && are_names(value),
        kind => is(kind),
    }
}

fn must(wanted: &str, value: &Value) -> Fault {
    Fault::new(format!("must be {wanted}, not {}", short(value)))
}

/// A value for an error: arrays with objects only by their kind, texts not whole where they are long.
fn short(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "this array".into(),
        Value::String(text) => format!("{:?}", text.chars().take(QUOTED).collect::<String>()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_complete_validator_takes_the_same() {
        let older = "http://json-schema.org/draft-07/schema#";
        for schema in [
            json!({}),
            json!(true),
            json!(7),
            json!([]),
            json!({ "type": [] }),
            json!({ "type": ["string", "string"] }),
            json!({ "type": ["string", "null"], "nullable": 7 }),
            json!({ "$ref": "#" }),
            json!({ "$ref": 7 }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "null" } } }),
            json!({ "$ref": "#/$defs/b", "$defs": { "a": { "type": "null" } } }),
            json!({ "$ref": "#/$defs/a~1b", "$defs": { "a/b": true } }),
            json!({ "$ref": "#here", "$defs": { "a": { "$anchor": "here" } } }),
            json!({ "$ref": "#there", "$defs": { "a": { "$anchor": "here" } } }),
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "$ref": "https://json-schema.org/draft/2020-12/schema" }),
            json!({ "$schema": "https://example.com/draft" }),
            json!({ "items": [{}] }),
            json!({ "$schema": older, "items": [{ "type": "null" }], "additionalItems": false }),
            json!({ "$schema": older, "items": [{ "type": "nonsense" }] }),
            json!({ "exclusiveMinimum": true }),
            json!({ "$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true }),
            json!({ "properties": { "a": { "properties": { "b": { "type": "colour" } } } } }),
            json!({ "properties": { "$ref": { "type": "string" }, "type": {} } }),
            json!({ "const": { "type": "nonsense" }, "enum": [{ "type": 7 }], "default": { "type": 7 } }),
            json!({ "patternProperties": { "^a": {} } }),
            json!({ "patternProperties": { "(a": {} } }),
            json!({ "dependentRequired": { "a": ["b", "b"] } }),
            json!({ "$defs": 3 }),
            json!({ "$defs": [{}] }),
            json!({ "$defs": { "unused": { "type": "nonsense" } } }),
        ] {
            let reference = jsonschema::validator_for(&schema);
            assert_eq!(
                check(&schema).is_ok(),
                reference.is_ok(),
                "{schema} {:?} {reference:?}",
                check(&schema)
            );
        }
    }

    #[test]
    fn errors_say_what_is_wrong_after_where() {
        let error = |schema: Value| check(&schema).unwrap_err();
        assert_eq!(error(json!(7)), "the schema must be an object or a boolean, not 7");
        assert_eq!(
            error(json!({ "properties": { "a/b": { "allOf": [{ "minLength": -1 }] } } })),
            "'/properties/a~1b/allOf/0/minLength' must be a whole number of 0 or more, not -1"
        );
        assert_eq!(
            error(json!({ "$ref": "#/$defs/a" })),
            "'/$ref' refers to \"#/$defs/a\", which is no schema in this document"
        );
        assert_eq!(
            error(json!({ "$defs": { "unused": { "pattern": "(a" } } })),
            "'/$defs/unused/pattern' must be a regular expression, not \"(a\""
        );
        let deep = (0..200).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert!(error(deep).ends_with(" nests too deep"));
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let keywords = prop::sample::select(vec![
            "type",
            "enum",
            "required",
            "minimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxItems",
            "pattern",
            "title",
            "uniqueItems",
            "properties",
            "items",
            "prefixItems",
            "allOf",
            "anyOf",
            "not",
            "additionalProperties",
            "colour",
        ]);
        let plain = prop::sample::select(vec![
            json!("string"),
            json!("[a-z]+"),
            json!("(a"),
            json!(3),
            json!(2.0),
            json!(0.5),
            json!(0),
            json!(-1),
            json!(true),
            json!(null),
            json!([]),
            json!(["a", "b"]),
            json!(["a", "a"]),
            json!(["null", "array"]),
            json!([{}]),
            json!({}),
            json!({ "a": 1 }),
        ]);
        let leaf = (keywords.clone(), plain).prop_map(|(keyword, value)| json!({ keyword: value }));
        leaf.prop_recursive(3, 8, 2, move |inner| {
            (keywords.clone(), inner, 0..3).prop_map(|(keyword, schema, form)| match form {
                0 => json!({ keyword: schema }),
                1 => json!({ keyword: [schema] }),
                _ => json!({ keyword: { "a": schema } }),
            })
        })
    }

    /// As it is, or as a definition that is referred to: the reference does not compile the patterns of others.
    fn documents() -> impl Strategy<Value = Value> {
        let defined = |schema| json!({ "$defs": { "a": schema }, "$ref": "#/$defs/a" });
        prop_oneof![schemas(), schemas().prop_map(defined)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_complete_validator_takes_the_same_of_any(schema in documents()) {
            prop_assert_eq!(check(&schema).is_ok(), jsonschema::validator_for(&schema).is_ok(), "{}", schema);
        }
    }
}
