//! The tools of a request, with the choice among them.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    blocks::is_name,
    error::Refusal,
    field::{self, Object, inside},
    tally::Tally,
};
use crate::sim::{
    compose::{Tool, ToolChoice},
    schema,
};

/// How the types of the tools that Anthropic runs itself, or knows, begin.
const KNOWN: [&str; 10] = [
    "web_search_",
    "web_fetch_",
    "code_execution_",
    "bash_",
    "text_editor_",
    "computer_",
    "memory_",
    "tool_search_tool_",
    "advisor_",
    "mcp_toolset",
];

const FIELDS: [&str; 10] = [
    "type",
    "name",
    "description",
    "input_schema",
    "cache_control",
    "strict",
    "defer_loading",
    "allowed_callers",
    "input_examples",
    "eager_input_streaming",
];

/// The tools that there are and how they are to be used.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: ToolChoice,
    pub(crate) parallel: bool,
}

/// Reads `tools` with `tool_choice`.
///
/// # Errors
/// As Anthropic refuses them.
pub(crate) fn read(request: &Object, tally: &mut Tally) -> Result<Tools, Refusal> {
    let mut tools = Vec::new();
    let mut names: HashSet<&str> = HashSet::new();
    if let Some(list) = request.get("tools") {
        for (index, tool) in field::list(list, "tools")?.iter().enumerate() {
            let place = inside("tools", index);
            let tool = field::object(tool, &place)?;
            let name = one(tool, &place, tally, &mut tools)?;
            if !names.insert(name) {
                return Err(Refusal::at("tools", "Tool names must be unique."));
            }
        }
    }
    let (choice, parallel) = choice(request, &names)?;
    Ok(Tools { tools, choice, parallel })
}

fn one<'a>(
    tool: &'a Object,
    place: &str,
    tally: &mut Tally,
    tools: &mut Vec<Tool>,
) -> Result<&'a str, Refusal> {
    match tool.get("type") {
        None => {}
        Some(kind) => match field::text(kind, &inside(place, "type"))? {
            "custom" => {}
            kind if KNOWN.iter().any(|known| kind.starts_with(known)) => {
                tally.add(tool, place, 400)?;
                let name = if kind == "mcp_toolset" { "mcp_server_name" } else { "name" };
                return field::required_text(tool, place, name);
            }
            kind => {
                let message = format!(
                    "Input tag '{kind}' found using 'type' does not match any of the expected tags: 'bash_20250124', \
                     'custom', 'text_editor_20250728', 'web_search_20250305'"
                );
                return Err(Refusal::at(place, &message));
            }
        },
    }
    let place = &inside(place, "custom");
    field::only(tool, place, &FIELDS)?;
    let name = field::required_text(tool, place, "name")?;
    if !is_name(name, 128) {
        let message = "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
        return Err(Refusal::at(&inside(place, "name"), message));
    }
    if let Some(description) = tool.get("description") {
        field::text(description, &inside(place, "description"))?;
    }
    field::boolean(tool, place, "strict")?;
    let parameters = field::required(tool, place, "input_schema")?;
    parameters_are_good(parameters, &inside(place, "input_schema"))?;
    tally.add(tool, place, 16)?;
    tools.push(Tool { name: name.to_owned(), parameters: parameters.clone() });
    Ok(name)
}

fn parameters_are_good(parameters: &Value, place: &str) -> Result<(), Refusal> {
    let object = field::object(parameters, place)?;
    field::one_of(field::required(object, place, "type")?, &inside(place, "type"), &["object"])?;
    if ["oneOf", "allOf", "anyOf"].iter().any(|key| object.contains_key(*key)) {
        let message = "input_schema does not support oneOf, allOf, or anyOf at the top level";
        return Err(Refusal::at(place, message));
    }
    schema::check(parameters).map_err(|_| {
        let message = "JSON schema is invalid. It must match JSON Schema draft 2020-12 \
                       (https://json-schema.org/draft/2020-12).";
        Refusal::at(place, message)
    })
}

fn choice(request: &Object, names: &HashSet<&str>) -> Result<(ToolChoice, bool), Refusal> {
    let Some(choice) = request.get("tool_choice") else {
        return Ok((ToolChoice::Auto, true));
    };
    let place = "tool_choice";
    let (kind, choice) = field::tagged(choice, place, &["any", "auto", "none", "tool"])?;
    let place = &inside(place, kind);
    let known: &[&str] = match kind {
        "none" => &["type"],
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        _ => &["type", "disable_parallel_tool_use"],
    };
    field::only(choice, place, known)?;
    if !request.contains_key("tools") {
        return Err(Refusal::bad("tool_choice may only be specified while providing tools"));
    }
    let parallel = !field::boolean(choice, place, "disable_parallel_tool_use")?.unwrap_or(false);
    let choice = match kind {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        _ => match field::required_text(choice, place, "name")? {
            name if names.contains(name) => ToolChoice::Named(name.to_owned()),
            name => return Err(Refusal::bad(format!("Tool '{name}' not found in provided tools"))),
        },
    };
    Ok((choice, parallel))
}
