//! The form of an answer that a request wants.

use serde_json::Value;

use super::{
    error::Refusal,
    field::{self, Object, inside},
    limits,
};
use crate::sim::{compose::Shape, schema, tokens};

/// The keywords that a schema may not have, by the type that they belong to.
const UNKNOWN: [(&str, &[&str]); 4] = [
    ("integer", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("string", &["minLength", "maxLength"]),
    ("array", &["maxItems", "uniqueItems"]),
];
const DEEPEST: u32 = 64;

/// Reads `output_config` or the older `output_format`; the form and what it adds to the prompt.
///
/// # Errors
/// As Anthropic refuses them.
pub(crate) fn read(request: &Object, model: &str, has_beta: bool) -> Result<(Shape, u64), Refusal> {
    let old = request.get("output_format").filter(|format| !format.is_null());
    if old.is_some() && !has_beta {
        return Err(Refusal::at("output_format", "Extra inputs are not permitted"));
    }
    let mut format = old.map(|format| (format, "output_format"));
    if let Some(config) = request.get("output_config") {
        let config = field::object(config, "output_config")?;
        field::only(config, "output_config", &["effort", "format", "task_budget"])?;
        if let Some(effort) = config.get("effort") {
            let words = ["low", "medium", "high", "xhigh", "max"];
            limits::effort(model, field::one_of(effort, "output_config.effort", &words)?)?;
        }
        match (config.get("format").filter(|format| !format.is_null()), format) {
            (Some(_), Some(_)) => {
                let message = "output_format and output_config.format cannot both be set";
                return Err(Refusal::bad(message));
            }
            (new, _) => format = new.map(|format| (format, "output_config.format")).or(format),
        }
    }
    let Some((format, place)) = format else {
        return Ok((Shape::Text, 0));
    };
    let (_, format) = field::tagged(format, place, &["json_schema"])?;
    field::only(format, place, &["type", "schema"])?;
    let wanted = field::required(format, place, "schema")?;
    let place = &inside(place, "schema");
    field::object(wanted, place)?;
    limits::format(model)?;
    schema::check(wanted).map_err(|error| Refusal::at(place, &format!("Invalid schema: {error}")))?;
    strict(wanted, place, 0)?;
    Ok((Shape::Schema(wanted.clone()), tokens::count(&wanted.to_string())))
}

/// Refuses what native structured output does not know.
fn strict(schema: &Value, place: &str, depth: u32) -> Result<(), Refusal> {
    let Value::Object(object) = schema else {
        return Ok(());
    };
    if depth > DEEPEST {
        return Err(Refusal::at(place, "Schema is too complex"));
    }
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind == "object" && object.get("additionalProperties") != Some(&Value::Bool(false)) {
        let message = "For 'object' type, 'additionalProperties' must be explicitly set to false";
        return Err(Refusal::at(place, message));
    }
    let unknown = UNKNOWN.iter().find(|unknown| unknown.0 == kind).map_or(&[][..], |unknown| unknown.1);
    let found: Vec<&str> = unknown.iter().copied().filter(|key| object.contains_key(*key)).collect();
    if !found.is_empty() {
        let message = format!("For '{kind}' type, properties {} are not supported", found.join(", "));
        return Err(Refusal::at(place, &message));
    }
    for (key, value) in object {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(children)) => {
                children.values().try_for_each(|child| strict(child, place, depth + 1))?;
            }
            ("anyOf" | "allOf" | "oneOf" | "prefixItems", Value::Array(children)) => {
                children.iter().try_for_each(|child| strict(child, place, depth + 1))?;
            }
            ("items", child) => strict(child, place, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
}
