//! Inputs that may be a text, tokens, or several of either.

use serde_json::Value;

use super::{
    super::tokens,
    field::{Object, wrong},
    refusal::Refusal,
};

/// How many inputs one request may have.
const MOST: usize = 2048;

/// One input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Its text; for tokens their numbers in words.
    pub(crate) text: String,
    pub(crate) tokens: u64,
}

/// Reads the field `name`.
///
/// # Errors
/// As OpenAI refuses it.
pub(crate) fn read(request: &Object, name: &str) -> Result<Vec<Input>, Refusal> {
    let inputs = match request.get(name) {
        None | Some(Value::Null) => return Err(Refusal::missing(name)),
        Some(Value::String(text)) => vec![of_text(text)],
        Some(Value::Array(items)) if items.is_empty() => {
            let message = format!(
                "Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array instead."
            );
            return Err(Refusal::bad(message, name, "empty_array"));
        }
        Some(Value::Array(items)) if items.iter().all(Value::is_u64) => vec![of_tokens(items)],
        Some(Value::Array(items)) if items.len() > MOST => {
            let message = format!(
                "Invalid '{name}': array too long. Expected an array with maximum length {MOST}, but got an array with length {} instead.",
                items.len()
            );
            return Err(Refusal::bad(message, name, "array_above_max_length"));
        }
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(index, item)| one(item, name, index)).collect::<Result<_, _>>()?
        }
        Some(value) => return Err(wrong(name, "a string or an array", value)),
    };
    Ok(inputs)
}

fn one(item: &Value, name: &str, index: usize) -> Result<Input, Refusal> {
    match item {
        Value::String(text) => Ok(of_text(text)),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_u64) => Ok(of_tokens(items)),
        value => Err(wrong(&format!("{name}[{index}]"), "a string or an array of integers", value)),
    }
}

fn of_text(text: &str) -> Input {
    Input { tokens: tokens::count(text), text: text.to_owned() }
}

fn of_tokens(items: &[Value]) -> Input {
    let words: Vec<String> = items.iter().map(|item| format!("token{item}")).collect();
    Input { text: words.join(" "), tokens: items.len() as u64 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(value: Value) -> Result<Vec<Input>, Refusal> {
        let Value::Object(request) = json!({ "input": value }) else { panic!("an object") };
        read(&request, "input")
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(inputs(json!("hello world")).unwrap()[0].tokens, 2);
        assert_eq!(inputs(json!(["a", "b"])).unwrap().len(), 2);
        assert_eq!(inputs(json!([1, 2, 3])).unwrap()[0].tokens, 3);
        assert_eq!(inputs(json!([[1, 2], [3]])).unwrap().len(), 2);
    }

    #[test]
    fn other_forms_are_refused() {
        for (value, param) in [
            (json!(null), "input"),
            (json!([]), "input"),
            (json!(3), "input"),
            (json!(["a", {}]), "input[1]"),
            (json!([[]]), "input[0]"),
        ] {
            assert_eq!(inputs(value).unwrap_err().param.as_deref(), Some(param));
        }
    }
}
