//! The part of OpenAPI's schemas that Gemini knows, with its rules.

use serde_json::{Map, Value, json};

use super::{
    error::Refusal,
    proto::{list, text},
};

/// Refuses what is not allowed in a schema whose fields are all known.
///
/// # Errors
/// As Gemini refuses it.
pub(crate) fn check(schema: &Value, place: &str) -> Result<(), Refusal> {
    let kind = text(schema, "type").to_ascii_uppercase();
    let format = text(schema, "format");
    if kind == "STRING" && !matches!(format, "" | "enum" | "date-time") {
        let message = "only 'enum' and 'date-time' are supported for STRING type";
        return Err(Refusal::at(&format!("{place}.format"), message));
    }
    if !list(schema, "enum").is_empty() && !matches!(kind.as_str(), "STRING" | "") {
        return Err(Refusal::at(&format!("{place}.enum"), "only allowed for STRING type"));
    }
    if list(schema, "enum").iter().any(|value| value == "") {
        return Err(Refusal::at(&format!("{place}.enum[0]"), "cannot be empty"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (index, name) in list(schema, "required").iter().filter_map(Value::as_str).enumerate() {
        if !properties.is_some_and(|properties| properties.contains_key(name)) {
            return Err(Refusal::at(&format!("{place}.required[{index}]"), "property is not defined"));
        }
    }
    for (name, property) in properties.into_iter().flatten() {
        check(property, &format!("{place}.properties[{name}]"))?;
    }
    match schema.get("items") {
        Some(items) => check(items, &format!("{place}.items"))?,
        None if kind == "ARRAY" => return Err(Refusal::at(&format!("{place}.items"), "missing field.")),
        None => {}
    }
    for (index, choice) in list(schema, "anyOf").iter().enumerate() {
        check(choice, &format!("{place}.any_of[{index}]"))?;
    }
    Ok(())
}

/// The same as a JSON Schema.
pub(crate) fn as_json_schema(schema: &Value) -> Value {
    let Value::Object(object) = schema else {
        return json!({});
    };
    let mut made = Map::new();
    for (key, value) in object {
        let value = match (key.as_str(), value) {
            ("type", Value::String(kind)) => json!(kind.to_ascii_lowercase()),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, property)| (name.clone(), as_json_schema(property))).collect()
            }
            ("items", items) => as_json_schema(items),
            ("anyOf", Value::Array(choices)) => choices.iter().map(as_json_schema).collect(),
            ("nullable" | "example" | "propertyOrdering" | "default" | "title", _) => continue,
            ("format", Value::String(format)) if format == "enum" => continue,
            // A count may come as text.
            (_, Value::String(text)) if key.starts_with("max") || key.starts_with("min") => {
                text.parse::<f64>().map_or_else(|_| value.clone(), |number| json!(number as i64))
            }
            _ => value.clone(),
        };
        made.insert(key.clone(), value);
    }
    if object.get("nullable") == Some(&Value::Bool(true))
        && let Some(kind) = made.get_mut("type")
    {
        *kind = json!([kind.clone(), "null"]);
    }
    Value::Object(made)
}
