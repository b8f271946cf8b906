//! Tools with the choice among them, as function declarations.

use super::{
    losses::{Losses, is_neutral, wrong},
    request::{FunctionCallingConfig, FunctionDeclaration, Tool, ToolConfig},
    schema,
};
use crate::openai::{
    BadField,
    chat::{Tool as Asked, ToolChoice},
};

/// The functions in one group; empty if none are declared.
///
/// # Errors
/// A tool that is no function, or a field of it that Gemini does not know.
pub fn declare(tools: Vec<Asked>, losses: &mut Losses) -> Result<Vec<Tool>, BadField> {
    let mut functions = Vec::with_capacity(tools.len());
    for (i, tool) in tools.into_iter().enumerate() {
        for (name, value) in &tool.extra {
            if !is_neutral(value) && name != "cache_control" {
                losses.field(format!("tools[{i}].{name}"))?;
            }
        }
        if tool.kind != "function" {
            losses.lose(
                format!("tools[{i}].type"),
                format!("Gemini takes tools of the type `function` only: see `tools[{i}].type`."),
            )?;
            continue;
        }
        let Some(function) = tool.function else {
            return Err(wrong(format!("tools[{i}].function"), format!("`tools[{i}].function` is missing.")));
        };
        for (name, value) in &function.extra {
            if !is_neutral(value) {
                losses.field(format!("tools[{i}].function.{name}"))?;
            }
        }
        functions.push(FunctionDeclaration {
            name: function.name,
            description: function.description,
            parameters_json_schema: function.parameters.map(|raw| schema::translate(&raw)),
        });
    }
    Ok(if functions.is_empty() { vec![] } else { vec![Tool { function_declarations: functions }] })
}

/// Whether a function is called.
///
/// # Errors
/// A mode that OpenAI's API does not know either.
pub fn choose(choice: ToolChoice) -> Result<ToolConfig, BadField> {
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Mode(mode) => (
            match mode.as_str() {
                "auto" => "AUTO",
                "none" => "NONE",
                "required" => "ANY",
                _ => {
                    let message =
                        "`tool_choice` has to be auto, none, required or {\"type\": \"function\", ...}.";
                    return Err(wrong("tool_choice", message));
                }
            },
            vec![],
        ),
        ToolChoice::Named { function, .. } => ("ANY", vec![function.name]),
    };
    Ok(ToolConfig { function_calling_config: FunctionCallingConfig { mode, allowed_function_names } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(tools: serde_json::Value, drop: bool) -> Result<(serde_json::Value, Vec<String>), String> {
        let mut losses = Losses::new(drop);
        // From text, as a raw value cannot be read from a tree.
        let tools = serde_json::from_str(&tools.to_string()).unwrap();
        let declared = declare(tools, &mut losses).map_err(|bad| bad.param.unwrap())?;
        Ok((serde_json::to_value(declared).unwrap(), losses.into_dropped()))
    }

    #[test]
    fn functions_are_declared() {
        let tool = json!({"type": "function", "function": {"name": "f", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {}}}});
        let bare = json!({"type": "function", "function": {"name": "g"}});
        let (tools, _) = declared(json!([tool, bare]), false).unwrap();
        assert_eq!(
            tools,
            json!([{"functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}},
                {"name": "g"}
            ]}])
        );
        assert_eq!(declared(json!([]), false).unwrap().0, json!([]));
    }

    #[test]
    fn other_tools_are_refused_or_dropped() {
        let custom = json!([{"type": "custom", "custom": {"name": "x"}}]);
        assert_eq!(declared(custom.clone(), false), Err("tools[0].custom".into()));
        let (tools, dropped) = declared(custom, true).unwrap();
        assert_eq!((tools, dropped), (json!([]), vec!["tools[0].custom".into(), "tools[0].type".into()]));
        let strange = json!([{"type": "function", "function": {"name": "f", "mood": 1}}]);
        assert_eq!(declared(strange, false), Err("tools[0].function.mood".into()));
        assert_eq!(declared(json!([{"type": "function"}]), true), Err("tools[0].function".into()));
    }

    #[test]
    fn choices_become_modes() {
        let chosen = |choice: serde_json::Value| {
            choose(serde_json::from_value(choice).unwrap())
                .map(|config| serde_json::to_value(config).unwrap()["functionCallingConfig"].clone())
                .map_err(|bad| bad.param.unwrap())
        };
        assert_eq!(chosen(json!("auto")), Ok(json!({"mode": "AUTO"})));
        assert_eq!(chosen(json!("none")), Ok(json!({"mode": "NONE"})));
        assert_eq!(chosen(json!("required")), Ok(json!({"mode": "ANY"})));
        assert_eq!(
            chosen(json!({"type": "function", "function": {"name": "f"}})),
            Ok(json!({"mode": "ANY", "allowedFunctionNames": ["f"]}))
        );
        assert_eq!(chosen(json!("maybe")), Err("tool_choice".into()));
    }
}
