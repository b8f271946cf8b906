//! Tools, their choice, the form of the answer.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    gap::{Gaps, bad},
    model::Abilities,
    request::{Block, Format, Tool, ToolChoice},
    schema,
};
use crate::openai::{
    BadField,
    chat::{Chat, JsonSchema, Tool as ChatTool, ToolChoice as Choice},
};

/// What is asked of a model where the client wants JSON without a schema: the API has no such mode.
pub const JSON_OBJECT: &str =
    "Answer with one valid JSON object. Write nothing before or after it, no explanation, no code fence.";

/// What the forced tool is for, where the schema says nothing itself.
const ANSWER: &str = "Gives the answer. Call this once, with the whole answer.";

/// The part of a request that is about tools.
#[derive(Debug, Default)]
pub struct Tooling<'a> {
    /// `tools`.
    pub tools: Vec<Tool<'a>>,
    /// `tool_choice`.
    pub choice: Option<ToolChoice<'a>>,
    /// `output_config.format`.
    pub format: Option<Format<'a>>,
    /// What the system prompt has to say of the answer's form.
    pub instruction: Option<Block<'a>>,
    /// The tool whose arguments are the answer.
    pub answer_tool: Option<String>,
}

impl Tooling<'_> {
    /// Whether one tool or another has to be called.
    pub fn forces_a_call(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| ["any", "tool"].contains(&choice.kind))
    }
}

/// Translates tools, their choice and the answer's form. `called` are the tools that the conversation has called.
///
/// # Errors
/// The field at fault.
pub fn translate<'a>(
    chat: &'a Chat,
    called: impl Iterator<Item = &'a str>,
    abilities: Abilities,
    gaps: &mut Gaps<'_>,
) -> Result<Tooling<'a>, BadField> {
    let mut tooling = Tooling::default();
    for (at, tool) in chat.tools.iter().flatten().enumerate() {
        tooling.tools.push(definition(&format!("tools[{at}]"), tool, abilities, gaps)?);
    }
    tooling.choice = choice(chat, !tooling.tools.is_empty())?;
    tooling.answer_form(chat, abilities)?;
    if tooling.tools.is_empty() {
        tooling.remember(called);
    }
    Ok(tooling)
}

fn definition<'a>(
    place: &str,
    tool: &'a ChatTool,
    abilities: Abilities,
    gaps: &mut Gaps<'_>,
) -> Result<Tool<'a>, BadField> {
    let Some(function) = tool.function.as_ref().filter(|_| tool.kind == "function") else {
        let place = format!("{place}.type");
        let message =
            format!("`{place}` must be `function`, with a function: no other tools are translated.");
        return Err(bad(place, message));
    };
    for (inner, extra) in [("", &tool.extra), (".function", &function.extra)] {
        for (name, _) in extra.iter().filter(|(name, value)| *name != "cache_control" && !value.is_null()) {
            let place = format!("{place}{inner}.{name}");
            gaps.meet(place, "Anthropic's API has no counterpart to this field")?;
        }
    }
    let strict = function.strict.unwrap_or(false);
    if strict && !abilities.schema {
        gaps.meet(format!("{place}.function.strict"), "This model cannot be held to a schema")?;
    }
    let mark = tool.extra.get("cache_control").or_else(|| function.extra.get("cache_control"));
    let parameters = format!("{place}.function.parameters");
    Ok(Tool {
        name: Cow::Borrowed(&function.name),
        description: function.description.as_deref(),
        input_schema: schema::input(&parameters, function.parameters.as_deref())?,
        strict: strict && abilities.schema,
        cache_control: mark.filter(|mark| !mark.is_null()),
    })
}

fn choice(chat: &Chat, has_tools: bool) -> Result<Option<ToolChoice<'_>>, BadField> {
    let (kind, name) = match &chat.tool_choice {
        None => ("auto", None),
        Some(Choice::Mode(mode)) => match &**mode {
            "auto" => ("auto", None),
            "none" => ("none", None),
            "required" => ("any", None),
            _ => {
                return Err(bad(
                    "tool_choice",
                    "`tool_choice` must be none, auto, required, or name a function.",
                ));
            }
        },
        Some(Choice::Named { kind, function }) if kind == "function" => {
            ("tool", Some(Cow::Borrowed(&*function.name)))
        }
        Some(Choice::Named { .. }) => {
            return Err(bad("tool_choice.type", "`tool_choice.type` must be `function`."));
        }
    };
    if !has_tools {
        return match kind {
            "auto" | "none" => Ok(None),
            _ => Err(bad("tool_choice", "`tool_choice` wants a tool called, but there are no `tools`.")),
        };
    }
    let disable_parallel_tool_use = chat.parallel_tool_calls == Some(false) && kind != "none";
    if chat.tool_choice.is_none() && !disable_parallel_tool_use {
        return Ok(None);
    }
    Ok(Some(ToolChoice { kind, name, disable_parallel_tool_use }))
}

impl<'a> Tooling<'a> {
    fn answer_form(&mut self, chat: &'a Chat, abilities: Abilities) -> Result<(), BadField> {
        let Some(format) = &chat.response_format else {
            return Ok(());
        };
        match &*format.kind {
            "text" => Ok(()),
            "json_object" => {
                self.instruction = Some(Block::text(JSON_OBJECT));
                Ok(())
            }
            "json_schema" => {
                let wanted = format.json_schema.as_ref().ok_or_else(|| {
                    bad("response_format.json_schema", "`response_format.json_schema` is missing.")
                })?;
                match wanted.schema.as_deref() {
                    None => self.instruction = Some(Block::text(JSON_OBJECT)),
                    Some(schema) if abilities.schema && schema::is_enforceable(schema) => {
                        let schema = schema::described(schema, wanted.description.as_deref());
                        self.format = Some(Format { kind: "json_schema", schema });
                    }
                    Some(schema) => self.force(wanted, schema)?,
                }
                Ok(())
            }
            _ => Err(bad(
                "response_format.type",
                "`response_format.type` must be text, json_object or json_schema.",
            )),
        }
    }

    /// Makes the answer the arguments of a tool that has to be called, where the API cannot enforce the schema itself.
    fn force(&mut self, wanted: &'a JsonSchema, schema: &'a RawValue) -> Result<(), BadField> {
        if self.forces_a_call() {
            // The answer will be a call of the client's own tools, which the schema does not speak of.
            return Ok(());
        }
        let input_schema = schema::input("response_format.json_schema.schema", Some(schema))?;
        let mut name = wanted.name.clone();
        while self.tools.iter().any(|tool| tool.name == name) {
            name.push_str("_answer");
        }
        // With tools of its own to call, the client gets a call of one of them or the answer.
        let callable =
            !self.tools.is_empty() && self.choice.as_ref().is_none_or(|choice| choice.kind != "none");
        let (kind, named) = if callable { ("any", None) } else { ("tool", Some(Cow::Owned(name.clone()))) };
        let disable_parallel_tool_use =
            !callable || self.choice.as_ref().is_some_and(|choice| choice.disable_parallel_tool_use);
        self.choice = Some(ToolChoice { kind, name: named, disable_parallel_tool_use });
        self.tools.push(Tool {
            name: Cow::Owned(name.clone()),
            description: Some(wanted.description.as_deref().unwrap_or(ANSWER)),
            input_schema,
            strict: false,
            cache_control: None,
        });
        self.answer_tool = Some(name);
        Ok(())
    }

    /// Declares the tools that the conversation has called: the API wants to know them, though none may be called.
    fn remember(&mut self, called: impl Iterator<Item = &'a str>) {
        for name in called {
            if self.tools.iter().all(|tool| tool.name != name) {
                let input_schema = schema::input("tools", None).expect("no schema is any object's");
                self.tools.push(Tool {
                    name: Cow::Borrowed(name),
                    description: None,
                    input_schema,
                    strict: false,
                    cache_control: None,
                });
            }
        }
        if !self.tools.is_empty() {
            self.choice = Some(ToolChoice { kind: "none", name: None, disable_parallel_tool_use: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The tools, their choice, the format, the answer's tool.
    fn read(model: &str, mut chat: Value) -> Result<[Value; 4], String> {
        chat["messages"] = json!([]);
        let chat: Chat = serde_json::from_str(&chat.to_string()).unwrap();
        let mut gaps = Gaps::new(false);
        let tooling = translate(&chat, std::iter::empty(), Abilities::of(model), &mut gaps)
            .map_err(|bad| bad.param.unwrap())?;
        let format = tooling.format.map(|format| serde_json::to_value(format).unwrap());
        Ok([
            serde_json::to_value(tooling.tools).unwrap(),
            serde_json::to_value(tooling.choice).unwrap(),
            format.unwrap_or_default(),
            tooling.answer_tool.into(),
        ])
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    fn form(schema: Value) -> Value {
        json!({"type": "json_schema", "json_schema": {"name": "city", "schema": schema}})
    }

    const NEW: &str = "claude-sonnet-4-5";
    const OLD: &str = "claude-sonnet-4-0";

    #[test]
    fn choices_are_translated() {
        let choice = |mut chat: Value| {
            chat["tools"] = json!([tool("f")]);
            read(NEW, chat).map(|[_, choice, ..]| choice)
        };
        let named = json!({"type": "function", "function": {"name": "f"}});
        for (sent, expected) in [
            (json!({}), Value::Null),
            (json!({"tool_choice": "auto"}), json!({"type": "auto"})),
            (json!({"tool_choice": "none", "parallel_tool_calls": false}), json!({"type": "none"})),
            (json!({"tool_choice": "required"}), json!({"type": "any"})),
            (json!({"tool_choice": named}), json!({"type": "tool", "name": "f"})),
            (
                json!({"parallel_tool_calls": false}),
                json!({"type": "auto", "disable_parallel_tool_use": true}),
            ),
        ] {
            assert_eq!(choice(sent.clone()), Ok(expected), "{sent}");
        }
        assert_eq!(choice(json!({"tool_choice": "some"})), Err("tool_choice".into()));
        let bare = |choice: &str| read(NEW, json!({"tool_choice": choice}));
        assert_eq!(bare("none").unwrap()[1], Value::Null);
        assert_eq!(bare("required"), Err("tool_choice".into()));
    }

    #[test]
    fn definitions_are_translated() {
        let marked = json!({"type": "function", "cache_control": {"type": "ephemeral"},
            "function": {"name": "f", "description": "d", "strict": true}});
        let [tools, ..] = read(NEW, json!({"tools": [marked]})).unwrap();
        assert_eq!(
            tools,
            json!([{"name": "f", "description": "d", "strict": true, "cache_control": {"type": "ephemeral"},
                "input_schema": {"type": "object", "properties": {}}}])
        );
        assert_eq!(read(OLD, json!({"tools": [marked]})), Err("tools[0].function.strict".into()));
        let web = json!({"type": "web_search_20250305", "name": "web_search"});
        assert_eq!(read(NEW, json!({"tools": [web]})), Err("tools[0].type".into()));
        let odd = json!({"type": "function", "function": {"name": "f", "odd": 1}});
        assert_eq!(read(NEW, json!({"tools": [odd]})), Err("tools[0].function.odd".into()));
    }

    #[test]
    fn a_schema_is_enforced_or_becomes_a_forced_tool() {
        let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
        let [tools, _, format, answer] = read(NEW, json!({"response_format": form(closed.clone())})).unwrap();
        assert_eq!((tools, answer), (json!([]), Value::Null));
        assert_eq!(format, json!({"type": "json_schema", "schema": closed}));

        for (model, schema) in [(OLD, closed), (NEW, json!({"type": "object"}))] {
            let [tools, choice, format, answer] =
                read(model, json!({"response_format": form(schema)})).unwrap();
            assert_eq!((&tools[0]["name"], &answer), (&"city".into(), &"city".into()));
            assert_eq!(format, Value::Null);
            assert_eq!(choice, json!({"type": "tool", "name": "city", "disable_parallel_tool_use": true}));
        }
        let list = form(json!({"type": "array"}));
        assert_eq!(
            read(OLD, json!({"response_format": list})),
            Err("response_format.json_schema.schema".into())
        );
    }

    #[test]
    fn a_forced_answer_leaves_room_for_the_clients_tools() {
        let with = |choice: &str| {
            let chat = json!({"tools": [tool("city")], "tool_choice": choice,
                "response_format": form(json!({"type": "object"}))});
            read(OLD, chat).unwrap()
        };
        let [tools, choice, _, answer] = with("auto");
        assert_eq!(tools[1]["name"], "city_answer");
        assert_eq!(choice, json!({"type": "any"}));
        assert_eq!(answer, "city_answer");
        assert_eq!(with("none")[1]["name"], "city_answer");
        assert_eq!(with("required")[3], Value::Null);
    }

    #[test]
    fn the_form_may_be_asked_for_in_words() {
        let chat: Chat = serde_json::from_value(json!({"response_format": {"type": "json_object"}})).unwrap();
        let tooling =
            translate(&chat, ["a", "b", "a"].into_iter(), Abilities::of(NEW), &mut Gaps::new(false)).unwrap();
        assert!(tooling.instruction.is_some());
        // What was called is declared, so that the history is understood.
        assert_eq!(tooling.tools.len(), 2);
        assert_eq!(tooling.choice.unwrap().kind, "none");
        let bad = json!({"response_format": {"type": "xml"}});
        assert_eq!(read(NEW, bad), Err("response_format.type".into()));
    }
}
