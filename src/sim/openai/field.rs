//! Fields of a request, read with OpenAI's errors for what is wrong.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// A JSON object of a request.
pub(crate) type Object = Map<String, Value>;

/// What a value is, as OpenAI's messages name it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value of the wrong type.
pub(crate) fn wrong(param: &str, expected: &str, value: &Value) -> Refusal {
    let message =
        format!("Invalid type for '{param}': expected {expected}, but got {} instead.", kind(value));
    Refusal::bad(message, param, "invalid_type")
}

/// A field that is there and not null.
pub(crate) fn given<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// A boolean.
pub(crate) fn boolean(object: &Object, name: &str) -> Result<Option<bool>, Refusal> {
    given(object, name)
        .map(|value| value.as_bool().ok_or_else(|| wrong(name, "a boolean", value)))
        .transpose()
}

/// A string.
pub(crate) fn string<'a>(object: &'a Object, name: &str) -> Result<Option<&'a str>, Refusal> {
    given(object, name).map(|value| value.as_str().ok_or_else(|| wrong(name, "a string", value))).transpose()
}

/// A number in its range.
pub(crate) fn decimal(object: &Object, name: &str, low: f64, high: f64) -> Result<Option<f64>, Refusal> {
    let Some(value) = given(object, name) else {
        return Ok(None);
    };
    let number = value.as_f64().ok_or_else(|| wrong(name, "a decimal", value))?;
    if number < low {
        let message = format!(
            "Invalid '{name}': decimal below minimum value. Expected a value >= {low}, but got {number} instead."
        );
        return Err(Refusal::bad(message, name, "decimal_below_min_value"));
    }
    if number > high {
        let message = format!(
            "Invalid '{name}': decimal above maximum value. Expected a value <= {high}, but got {number} instead."
        );
        return Err(Refusal::bad(message, name, "decimal_above_max_value"));
    }
    Ok(Some(number))
}

/// A whole number in its range.
pub(crate) fn integer(object: &Object, name: &str, low: i64, high: i64) -> Result<Option<i64>, Refusal> {
    let Some(value) = given(object, name) else {
        return Ok(None);
    };
    let number = value.as_i64().ok_or_else(|| wrong(name, "an integer", value))?;
    if number < low {
        let message = format!(
            "Invalid '{name}': integer below minimum value. Expected a value >= {low}, but got {number} instead."
        );
        return Err(Refusal::bad(message, name, "integer_below_min_value"));
    }
    if number > high {
        let message = format!(
            "Invalid '{name}': integer above maximum value. Expected a value <= {high}, but got {number} instead."
        );
        return Err(Refusal::bad(message, name, "integer_above_max_value"));
    }
    Ok(Some(number))
}

/// A whole number from 1 that fits 32 bits.
pub(crate) fn count(object: &Object, name: &str, low: i64) -> Result<Option<u32>, Refusal> {
    let number = integer(object, name, low, u32::MAX.into())?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

/// The model, which each request has to name.
pub(crate) fn model(object: &Object) -> Result<&str, Refusal> {
    match object.get("model") {
        None | Some(Value::Null) => Err(Refusal::missing("model")),
        Some(Value::String(model)) if !model.is_empty() => Ok(model),
        Some(Value::String(_)) => {
            Err(Refusal::bad("you must provide a model parameter", "model", "missing_required_parameter"))
        }
        Some(value) => Err(wrong("model", "a string", value)),
    }
}

/// `stop`: a text or up to four.
pub(crate) fn stop(object: &Object) -> Result<Vec<String>, Refusal> {
    match given(object, "stop") {
        None => Ok(Vec::new()),
        Some(Value::String(stop)) => Ok(vec![stop.clone()]),
        Some(Value::Array(stops)) if stops.len() > 4 => {
            let message = format!(
                "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length {} instead.",
                stops.len()
            );
            Err(Refusal::bad(message, "stop", "array_above_max_length"))
        }
        Some(Value::Array(stops)) => stops
            .iter()
            .enumerate()
            .map(|(index, stop)| {
                stop.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| wrong(&format!("stop[{index}]"), "a string", stop))
            })
            .collect(),
        Some(value) => Err(wrong("stop", "a string or an array of strings", value)),
    }
}

/// `stream` with `stream_options.include_usage`.
pub(crate) fn stream(object: &Object) -> Result<(bool, bool), Refusal> {
    let stream = boolean(object, "stream")?.unwrap_or(false);
    let usage = match given(object, "stream_options") {
        None => false,
        Some(_) if !stream => {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(Refusal::bad(message, "stream_options", "invalid_parameter_combination"));
        }
        Some(Value::Object(options)) => boolean(options, "include_usage")?.unwrap_or(false),
        Some(value) => return Err(wrong("stream_options", "an object", value)),
    };
    Ok((stream, usage))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_in_openais_words() {
        let Value::Object(object) = json!({ "a": 3, "b": "x", "c": 2.5, "stop": [1], "stream_options": {} })
        else {
            panic!("an object");
        };
        let message = decimal(&object, "a", 0.0, 2.0).unwrap_err().message;
        assert_eq!(
            message,
            "Invalid 'a': decimal above maximum value. Expected a value <= 2, but got 3 instead."
        );
        assert_eq!(
            boolean(&object, "b").unwrap_err().message,
            "Invalid type for 'b': expected a boolean, but got a string instead."
        );
        assert_eq!(integer(&object, "c", 0, 9).unwrap_err().code, Some("invalid_type"));
        assert_eq!(stop(&object).unwrap_err().param.as_deref(), Some("stop[0]"));
        assert_eq!(stream(&object).unwrap_err().param.as_deref(), Some("stream_options"));
        assert_eq!(model(&object).unwrap_err(), Refusal::missing("model"));
    }
}
