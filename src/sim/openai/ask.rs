//! A chat request as OpenAI reads it.

use serde_json::{Value, json};

use super::{
    super::{
        compose::{Prompt, Shape, Tool, ToolChoice},
        schema, tokens,
    },
    field::{self, Object, boolean, count, decimal, given, integer, wrong},
    messages,
    refusal::Refusal,
};

/// A chat request that was found good.
#[derive(Debug)]
pub(crate) struct Ask {
    /// What is asked; without the provider's own part.
    pub(crate) prompt: Prompt,
    pub(crate) prompt_tokens: u64,
    /// How many answers.
    pub(crate) n: u32,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// How many alternatives to show beside each token; `None`: no log probabilities.
    pub(crate) logprobs: Option<u32>,
}

/// Reads a chat request.
///
/// # Errors
/// As OpenAI refuses it.
pub(crate) fn read(request: &Object) -> Result<Ask, Refusal> {
    let messages = messages::read(request)?;
    ranges(request)?;
    let (stream, include_usage) = field::stream(request)?;
    let n = count(request, "n", 1)?.unwrap_or(1);
    if n > 128 {
        integer(request, "n", 1, 128)?;
    }
    let tools = tools(request)?;
    let choice = choice(request, &tools)?;
    let (shape, shape_tokens) = shape(request, messages.says_json)?;
    let tool_tokens = match given(request, "tools") {
        Some(tools) if !tools.as_array().is_none_or(Vec::is_empty) => tokens::count(&tools.to_string()) + 12,
        _ => 0,
    };
    let prompt = Prompt {
        seed: (0, integer(request, "seed", i64::MIN, i64::MAX)?.unwrap_or_default() as u64),
        last: messages.last,
        is_result: messages.is_result,
        asked: messages.asked,
        tools,
        choice,
        parallel: boolean(request, "parallel_tool_calls")?.unwrap_or(true),
        shape,
        stop: field::stop(request)?,
        max_tokens: max_tokens(request)?,
        length: None,
        ending: None,
    };
    let prompt_tokens = messages.tokens + tool_tokens + shape_tokens;
    Ok(Ask { prompt, prompt_tokens, n, stream, include_usage, logprobs: logprobs(request)? })
}

fn ranges(request: &Object) -> Result<(), Refusal> {
    decimal(request, "temperature", 0.0, 2.0)?;
    decimal(request, "top_p", 0.0, 1.0)?;
    decimal(request, "presence_penalty", -2.0, 2.0)?;
    decimal(request, "frequency_penalty", -2.0, 2.0)?;
    field::string(request, "user")?;
    Ok(())
}

fn max_tokens(request: &Object) -> Result<Option<u32>, Refusal> {
    match (count(request, "max_tokens", 1)?, count(request, "max_completion_tokens", 1)?) {
        (Some(_), Some(_)) => Err(Refusal::bad(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )),
        (old, new) => Ok(new.or(old)),
    }
}

fn logprobs(request: &Object) -> Result<Option<u32>, Refusal> {
    let wanted = boolean(request, "logprobs")?.unwrap_or(false);
    match integer(request, "top_logprobs", 0, 20)? {
        Some(_) if !wanted => Err(Refusal::bad(
            "'logprobs' must be set to true if 'top_logprobs' is used.",
            "top_logprobs",
            "invalid_parameter_combination",
        )),
        top => Ok(wanted.then(|| top.and_then(|top| u32::try_from(top).ok()).unwrap_or_default())),
    }
}

fn tools(request: &Object) -> Result<Vec<Tool>, Refusal> {
    let tools = match given(request, "tools") {
        None => return Ok(Vec::new()),
        Some(Value::Array(tools)) => tools,
        Some(value) => return Err(wrong("tools", "an array of objects", value)),
    };
    if tools.len() > 128 {
        let message = format!(
            "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length {} instead.",
            tools.len()
        );
        return Err(Refusal::bad(message, "tools", "array_above_max_length"));
    }
    let mut read = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        read.extend(one_tool(tool, &format!("tools[{index}]"))?);
    }
    Ok(read)
}

fn one_tool(tool: &Value, at: &str) -> Result<Option<Tool>, Refusal> {
    let Value::Object(object) = tool else {
        return Err(wrong(at, "an object", tool));
    };
    match object.get("type").and_then(Value::as_str) {
        Some("function") => {}
        // Tools of free text have no arguments to make up; they are taken and never called.
        Some("custom") => return Ok(None),
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'function' and 'custom'.");
            return Err(Refusal::bad(message, format!("{at}.type"), "invalid_value"));
        }
        None => return Err(Refusal::missing(&format!("{at}.type"))),
    }
    let name_at = format!("{at}.function.name");
    let name = match tool.pointer("/function/name") {
        None => return Err(Refusal::missing(&name_at)),
        Some(Value::String(name)) => name,
        Some(value) => return Err(wrong(&name_at, "a string", value)),
    };
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if !fits {
        let message = format!(
            "Invalid '{name_at}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(Refusal::bad(message, name_at, "invalid_value"));
    }
    let parameters = tool.pointer("/function/parameters").filter(|parameters| !parameters.is_null());
    let parameters = parameters.cloned().unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
    let parameters_at = format!("{at}.function.parameters");
    if !parameters.is_object() {
        return Err(wrong(&parameters_at, "an object", &parameters));
    }
    if let Err(error) = schema::check(&parameters) {
        let message = format!("Invalid schema for function '{name}': {error}.");
        return Err(Refusal::bad(message, parameters_at, "invalid_function_parameters"));
    }
    Ok(Some(Tool { name: name.clone(), parameters }))
}

fn choice(request: &Object, tools: &[Tool]) -> Result<ToolChoice, Refusal> {
    let Some(choice) = given(request, "tool_choice") else {
        return Ok(ToolChoice::Auto);
    };
    let none = given(request, "tools").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if none && choice != "none" && choice != "auto" {
        let message =
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.";
        return Err(Refusal::bad(message, "tool_choice", "invalid_value"));
    }
    match choice {
        Value::String(word) => match word.as_str() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            _ => {
                let message =
                    format!("Invalid value: '{word}'. Supported values are: 'none', 'auto', and 'required'.");
                Err(Refusal::bad(message, "tool_choice", "invalid_value"))
            }
        },
        Value::Object(_) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if tools.iter().any(|tool| tool.name == name) => {
                Ok(ToolChoice::Named(name.to_owned()))
            }
            Some(name) => {
                let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                Err(Refusal::bad(message, "tool_choice", "invalid_value"))
            }
            // `allowed_tools` and the like narrow the choice; the model stays free.
            None if choice.get("type").and_then(Value::as_str) == Some("function") => {
                Err(Refusal::missing("tool_choice.function.name"))
            }
            None => Ok(ToolChoice::Auto),
        },
        value => Err(wrong("tool_choice", "one of a string or an object", value)),
    }
}

fn shape(request: &Object, says_json: bool) -> Result<(Shape, u64), Refusal> {
    let Some(format) = given(request, "response_format") else {
        return Ok((Shape::Text, 0));
    };
    if !format.is_object() {
        return Err(wrong("response_format", "an object", format));
    }
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok((Shape::Text, 0)),
        Some("json_object") if says_json => Ok((Shape::Json, 0)),
        Some("json_object") => Err(Refusal::bad(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
            "invalid_value",
        )),
        Some("json_schema") => {
            if !format.pointer("/json_schema/name").is_some_and(Value::is_string) {
                return Err(Refusal::missing("response_format.json_schema.name"));
            }
            let Some(wanted) = format.pointer("/json_schema/schema") else {
                return Ok((Shape::Json, 0));
            };
            if let Err(error) = schema::check(wanted) {
                let message = format!("Invalid schema for response_format: {error}.");
                return Err(Refusal::bad(message, "response_format", "invalid_json_schema"));
            }
            Ok((Shape::Schema(wanted.clone()), tokens::count(&wanted.to_string())))
        }
        Some(other) => {
            let message = format!(
                "Invalid value: '{other}'. Supported values are: 'json_object', 'json_schema', and 'text'."
            );
            Err(Refusal::bad(message, "response_format.type", "invalid_value"))
        }
        None => Err(Refusal::missing("response_format.type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extra: Value) -> Result<Ask, Refusal> {
        let mut request = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
        let Value::Object(extra) = extra else { panic!("an object") };
        let object = request.as_object_mut().unwrap();
        object.extend(extra);
        read(object)
    }

    #[test]
    fn what_openai_refuses_is_refused() {
        let function = |name: &str| json!([{ "type": "function", "function": { "name": name } }]);
        for (extra, param) in [
            (json!({ "temperature": 3 }), "temperature"),
            (json!({ "top_p": "x" }), "top_p"),
            (json!({ "n": 0 }), "n"),
            (json!({ "n": 129 }), "n"),
            (json!({ "stream": "yes" }), "stream"),
            (json!({ "max_tokens": 0 }), "max_tokens"),
            (json!({ "max_tokens": 1, "max_completion_tokens": 1 }), "max_tokens"),
            (json!({ "top_logprobs": 2 }), "top_logprobs"),
            (json!({ "tools": [{}] }), "tools[0].type"),
            (json!({ "tools": function("a b") }), "tools[0].function.name"),
            (
                json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": 1 } } }] }),
                "tools[0].function.parameters",
            ),
            (json!({ "tool_choice": "required" }), "tool_choice"),
            (
                json!({ "tools": function("f"), "tool_choice": { "type": "function", "function": { "name": "g" } } }),
                "tool_choice",
            ),
            (json!({ "response_format": { "type": "json_object" } }), "messages"),
            (json!({ "response_format": { "type": "xml" } }), "response_format.type"),
            (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop"),
        ] {
            let refusal = with(extra.clone()).expect_err(&extra.to_string());
            assert_eq!(refusal.param.as_deref(), Some(param), "{extra}");
        }
    }

    #[test]
    fn unknown_fields_and_nulls_are_let_be() {
        let ask = with(json!({ "stop": null, "tools": null, "x_custom": { "deep": [1] }, "metadata": {} }))
            .unwrap();
        assert_eq!((ask.n, ask.stream, ask.logprobs), (1, false, None));
        assert!(ask.prompt_tokens > 0);
    }
}
