//! The functions of a request, with the choice among them.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    error::Refusal,
    openapi,
    proto::{list, text},
};
use crate::sim::{
    compose::{Tool, ToolChoice},
    schema,
};

/// The functions that there are and which are to be called.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: ToolChoice,
}

/// Reads `tools` with `toolConfig`.
///
/// # Errors
/// As Gemini refuses them.
pub(crate) fn read(request: &Value) -> Result<Tools, Refusal> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut names = HashSet::new();
    for (index, tool) in list(request, "tools").iter().enumerate() {
        for (inner, declaration) in list(tool, "functionDeclarations").iter().enumerate() {
            let place = format!("tools[{index}].function_declarations[{inner}]");
            let tool = one(declaration, &place)?;
            if !names.insert(tool.name.clone()) {
                return Err(Refusal::bad(format!("Duplicate function declaration found: {}", tool.name)));
            }
            tools.push(tool);
        }
    }
    let choice = choice(request, &mut tools)?;
    Ok(Tools { tools, choice })
}

fn one(declaration: &Value, place: &str) -> Result<Tool, Refusal> {
    let name = text(declaration, "name");
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    if !starts || name.len() > 64 || !name.bytes().all(known) {
        return Err(Refusal::at(
            &format!("{place}.name"),
            "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), \
             underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.",
        ));
    }
    let parameters = match (declaration.get("parameters"), declaration.get("parametersJsonSchema")) {
        (Some(_), Some(_)) => {
            let message = "parameters and parameters_json_schema are mutually exclusive.";
            return Err(Refusal::at(place, message));
        }
        (Some(known), None) => {
            let place = format!("{place}.parameters");
            if !text(known, "type").eq_ignore_ascii_case("object") {
                return Err(Refusal::at(
                    &place,
                    "functionDeclaration parameters schema should be of type OBJECT.",
                ));
            }
            openapi::check(known, &place)?;
            openapi::as_json_schema(known)
        }
        (None, Some(any)) => {
            schema::check(any)
                .map_err(|error| Refusal::at(&format!("{place}.parameters_json_schema"), &error))?;
            any.clone()
        }
        (None, None) => json!({ "type": "object", "properties": {} }),
    };
    Ok(Tool { name: name.to_owned(), parameters })
}

fn choice(request: &Value, tools: &mut Vec<Tool>) -> Result<ToolChoice, Refusal> {
    let calling = request.pointer("/toolConfig/functionCallingConfig");
    let Some(calling) = calling else {
        return Ok(ToolChoice::Auto);
    };
    let allowed: Vec<&str> = list(calling, "allowedFunctionNames").iter().filter_map(Value::as_str).collect();
    let mode = text(calling, "mode").to_ascii_uppercase();
    if tools.is_empty() && mode == "ANY" {
        return Err(Refusal::bad("Function calling config is set without function_declarations."));
    }
    if !allowed.is_empty() {
        if !matches!(mode.as_str(), "ANY" | "VALIDATED") {
            return Err(Refusal::bad(
                "Please set allowed_function_names only when function calling mode is ANY.",
            ));
        }
        if let Some(name) = allowed.iter().find(|name| !tools.iter().any(|tool| tool.name == **name)) {
            return Err(Refusal::at(
                "tool_config.function_calling_config.allowed_function_names",
                &format!("\"{name}\" is not a declared function."),
            ));
        }
        tools.retain(|tool| allowed.contains(&tool.name.as_str()));
    }
    Ok(match mode.as_str() {
        "ANY" => ToolChoice::Required,
        "NONE" => ToolChoice::None,
        _ => ToolChoice::Auto,
    })
}
