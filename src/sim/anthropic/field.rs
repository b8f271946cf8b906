//! Fields of a request, read with Anthropic's errors for what is wrong.

use serde_json::{Map, Value};

use super::error::Refusal;

/// A JSON object of a request.
pub(crate) type Object = Map<String, Value>;

/// The place of a field in an object at a place.
pub(crate) fn inside(place: &str, name: impl std::fmt::Display) -> String {
    if place.is_empty() { name.to_string() } else { format!("{place}.{name}") }
}

/// Refuses fields that are not known at a place.
pub(crate) fn only(object: &Object, place: &str, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Refusal::at(&inside(place, key), "Extra inputs are not permitted")),
        None => Ok(()),
    }
}

/// A field that has to be there.
pub(crate) fn required<'a>(object: &'a Object, place: &str, name: &str) -> Result<&'a Value, Refusal> {
    object.get(name).ok_or_else(|| Refusal::at(&inside(place, name), "Field required"))
}

/// An object.
pub(crate) fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Object, Refusal> {
    let message = "Input should be a valid dictionary or object to extract fields from";
    value.as_object().ok_or_else(|| Refusal::at(place, message))
}

/// A list.
pub(crate) fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], Refusal> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Refusal::at(place, "Input should be a valid list"))
}

/// A text.
pub(crate) fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| Refusal::at(place, "Input should be a valid string"))
}

/// A text that has to be there.
pub(crate) fn required_text<'a>(object: &'a Object, place: &str, name: &str) -> Result<&'a str, Refusal> {
    text(required(object, place, name)?, &inside(place, name))
}

/// A boolean, if it is there.
pub(crate) fn boolean(object: &Object, place: &str, name: &str) -> Result<Option<bool>, Refusal> {
    let message = "Input should be a valid boolean";
    let read = |value: &Value| value.as_bool().ok_or_else(|| Refusal::at(&inside(place, name), message));
    object.get(name).map(read).transpose()
}

/// A whole number from `least`.
pub(crate) fn whole(value: &Value, place: &str, least: u64) -> Result<u64, Refusal> {
    if !value.is_i64() && !value.is_u64() {
        return Err(Refusal::at(place, "Input should be a valid integer"));
    }
    let number = value.as_u64().filter(|number| *number >= least);
    number.ok_or_else(|| Refusal::at(place, &format!("Input should be greater than or equal to {least}")))
}

/// A number in a range, if it is there.
pub(crate) fn number(object: &Object, name: &str, low: f64, high: f64) -> Result<Option<f64>, Refusal> {
    let Some(value) = object.get(name) else {
        return Ok(None);
    };
    let Some(number) = value.as_f64() else {
        return Err(Refusal::at(name, "Input should be a valid number"));
    };
    if number < low {
        return Err(Refusal::at(name, &format!("Input should be greater than or equal to {low}")));
    }
    if number > high {
        return Err(Refusal::at(name, &format!("Input should be less than or equal to {high}")));
    }
    Ok(Some(number))
}

/// One of these words.
pub(crate) fn one_of<'a>(value: &'a Value, place: &str, words: &[&str]) -> Result<&'a str, Refusal> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let message = match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("Input should be {} or {last}", rest.join(", ")),
        _ => format!("Input should be {}", quoted.join("")),
    };
    value.as_str().filter(|word| words.contains(word)).ok_or_else(|| Refusal::at(place, &message))
}

/// An object of one of several kinds, told apart by its `type`.
pub(crate) fn tagged<'a>(
    value: &'a Value,
    place: &str,
    known: &[&str],
) -> Result<(&'a str, &'a Object), Refusal> {
    let object = object(value, place)?;
    let kind = required_text(object, place, "type")?;
    if known.contains(&kind) {
        return Ok((kind, object));
    }
    let tags: Vec<String> = known.iter().map(|tag| format!("'{tag}'")).collect();
    let message = format!(
        "Input tag '{kind}' found using 'type' does not match any of the expected tags: {}",
        tags.join(", ")
    );
    Err(Refusal::at(place, &message))
}
