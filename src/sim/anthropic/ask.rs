//! A Messages request as Anthropic reads it.

use serde_json::Value;

use super::{
    blocks,
    error::Refusal,
    field::{self, Object, inside},
    format, limits,
    tally::Tally,
    thinking::{self, Thinking},
    tools::{self, Tools},
    turns,
};
use crate::sim::compose::{Prompt, ToolChoice};

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
    "container",
    "cache_control",
    "inference_geo",
];
/// What a request may have where it takes part in a beta.
const BETA: &[&str] = &["mcp_servers", "context_management", "output_format", "speed"];
/// What a count of tokens does not know.
const UNCOUNTED: &[&str] = &[
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "service_tier",
    "container",
    "inference_geo",
];

/// A request that was found good.
#[derive(Debug)]
pub(crate) struct Ask {
    /// What is asked; without the provider's own part.
    pub(crate) prompt: Prompt,
    pub(crate) tally: Tally,
    pub(crate) thinking: Option<Thinking>,
    pub(crate) stream: bool,
}

/// Reads a request for an answer, or for a count of its tokens only.
///
/// # Errors
/// As Anthropic refuses it.
pub(crate) fn read(request: &Object, has_beta: bool, counts: bool) -> Result<Ask, Refusal> {
    let known: Vec<&str> = FIELDS
        .iter()
        .filter(|name| !counts || !UNCOUNTED.contains(name))
        .chain(BETA.iter().filter(|_| has_beta))
        .copied()
        .collect();
    field::only(request, "", &known)?;
    let model = field::required_text(request, "", "model")?;
    if model.is_empty() {
        return Err(Refusal::at("model", "String should have at least 1 character"));
    }
    let max_tokens = if counts { None } else { Some(max_tokens(request, model)?) };
    let mut tally = Tally::begin();
    let Tools { tools, choice, parallel } = tools::read(request, &mut tally)?;
    system(request, &mut tally)?;
    let said = turns::read(request, &mut tally)?;
    tally.control(request, "")?;
    if said.prefilled {
        limits::prefill(model)?;
    }
    let (shape, shape_tokens) = format::read(request, model, has_beta)?;
    tally.tokens += shape_tokens;
    let thinking = thinking::read(request, model, max_tokens)?;
    sampling(request, model, thinking.as_ref())?;
    metadata(request)?;
    if thinking.as_ref().is_some_and(Thinking::has_budget) {
        if matches!(choice, ToolChoice::Required | ToolChoice::Named(_)) {
            return Err(Refusal::bad("Thinking may not be enabled when tool_choice forces tool use."));
        }
        if let Some((place, kind)) = said.thoughtless {
            return Err(thinking::missing(&place, &kind));
        }
    }
    let prompt = Prompt {
        last: said.last,
        is_result: said.is_result,
        asked: said.asked,
        tools,
        choice,
        parallel,
        shape,
        stop: stop(request)?,
        max_tokens: max_tokens.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        ..Prompt::default()
    };
    Ok(Ask { prompt, tally, thinking, stream: field::boolean(request, "", "stream")?.unwrap_or(false) })
}

fn max_tokens(request: &Object, model: &str) -> Result<u64, Refusal> {
    let wanted = field::whole(field::required(request, "", "max_tokens")?, "max_tokens", 1)?;
    limits::max_tokens(model, wanted)?;
    Ok(wanted)
}

fn system(request: &Object, tally: &mut Tally) -> Result<(), Refusal> {
    match request.get("system") {
        None => Ok(()),
        Some(Value::String(text)) => {
            tally.add_text(text, 4);
            Ok(())
        }
        Some(value) => {
            for (index, block) in field::list(value, "system")?.iter().enumerate() {
                let place = inside("system", index);
                let (_, block) = field::tagged(block, &place, &["text"])?;
                field::only(block, &place, &["type", "text", "citations", "cache_control"])?;
                blocks::full(field::required_text(block, &place, "text")?, "system")?;
                tally.add(block, &place, 4)?;
            }
            Ok(())
        }
    }
}

fn sampling(request: &Object, model: &str, thinking: Option<&Thinking>) -> Result<(), Refusal> {
    let temperature = field::number(request, "temperature", 0.0, 1.0)?;
    let top_p = field::number(request, "top_p", 0.0, 1.0)?;
    let top_k = request.get("top_k").map(|value| field::whole(value, "top_k", 0)).transpose()?;
    let given = [
        ("temperature", temperature.is_some_and(|value| value != 1.0)),
        ("top_p", top_p.is_some()),
        ("top_k", top_k.is_some()),
    ];
    for (name, _) in given.iter().filter(|(_, given)| *given) {
        limits::sampling(model, name)?;
    }
    if thinking.is_none() {
        return Ok(());
    }
    if temperature.is_some_and(|temperature| temperature != 1.0) {
        return Err(Refusal::bad(
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our \
             documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking",
        ));
    }
    if top_k.is_some() {
        return Err(Refusal::bad("`top_k` must be unset when thinking is enabled or in adaptive mode."));
    }
    if top_p.is_some_and(|top_p| top_p < 0.95) {
        return Err(Refusal::bad(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode.",
        ));
    }
    Ok(())
}

fn metadata(request: &Object) -> Result<(), Refusal> {
    if let Some(tier) = request.get("service_tier") {
        field::one_of(tier, "service_tier", &["auto", "standard_only"])?;
    }
    let Some(metadata) = request.get("metadata") else {
        return Ok(());
    };
    let metadata = field::object(metadata, "metadata")?;
    field::only(metadata, "metadata", &["user_id"])?;
    match metadata.get("user_id").filter(|id| !id.is_null()) {
        None => Ok(()),
        Some(id) if field::text(id, "metadata.user_id")?.chars().count() > 256 => {
            Err(Refusal::at("metadata.user_id", "String should have at most 256 characters"))
        }
        Some(_) => Ok(()),
    }
}

fn stop(request: &Object) -> Result<Vec<String>, Refusal> {
    let Some(stops) = request.get("stop_sequences") else {
        return Ok(Vec::new());
    };
    let mut read = Vec::new();
    for (index, stop) in field::list(stops, "stop_sequences")?.iter().enumerate() {
        let stop = field::text(stop, &inside("stop_sequences", index))?;
        if stop.trim().is_empty() {
            return Err(Refusal::at("stop_sequences", "each stop sequence must contain non-whitespace"));
        }
        read.push(stop.to_owned());
    }
    Ok(read)
}
