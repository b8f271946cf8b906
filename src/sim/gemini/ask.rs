//! A request to generate, as Gemini reads it.

use serde_json::Value;

use super::{
    contents,
    error::Refusal,
    openapi,
    proto::{list, number, text},
    tools::{self, Tools},
};
use crate::sim::{
    compose::{Prompt, Shape, ToolChoice},
    schema, tokens,
};

/// How many texts may stop an answer.
const STOPS: usize = 5;
const CONFIG: &str = "generation_config";

/// A request that was found good.
#[derive(Debug)]
pub(crate) struct Ask {
    /// What is asked; without the provider's own part.
    pub(crate) prompt: Prompt,
    pub(crate) prompt_tokens: u64,
    /// The part of the prompt before its last turn.
    pub(crate) before: String,
    pub(crate) candidates: u32,
    /// The most tokens of a thought; `None`: it does not think.
    pub(crate) thoughts: Option<u32>,
    pub(crate) shows_thoughts: bool,
    /// How many alternatives to show beside each token; `None`: no log probabilities.
    pub(crate) logprobs: Option<u32>,
}

/// Reads a request whose fields are all known.
///
/// # Errors
/// As Gemini refuses it.
pub(crate) fn read(request: &Value, model: &str) -> Result<Ask, Refusal> {
    let said = contents::read(request, model)?;
    let mut prompt_tokens = said.tokens;
    if let Some(system) = request.get("systemInstruction") {
        contents::parts(system, "system_instruction", &mut prompt_tokens)?;
    }
    let Tools { tools, choice } = tools::read(request)?;
    if let Some(tools) = request.get("tools") {
        prompt_tokens += tokens::count(&tools.to_string());
    }
    let config = request.get("generationConfig").unwrap_or(&Value::Null);
    ranges(config)?;
    let shape = shape(config)?;
    let is_old = ["gemini-1", "gemini-2"].iter().any(|old| model.contains(old));
    if !matches!(shape, Shape::Text) && is_old && !tools.is_empty() && choice != ToolChoice::None {
        return Err(Refusal::bad(
            "Function calling with a response mime type: 'application/json' is unsupported",
        ));
    }
    let (thoughts, shows_thoughts) = thinking(config, model)?;
    let stop: Vec<String> =
        list(config, "stopSequences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let contents = list(request, "contents");
    let before = contents.split_last().map_or_else(String::new, |(_, before)| {
        let system = request.get("systemInstruction").map_or_else(String::new, Value::to_string);
        format!("{system}{}", Value::from(before.to_vec()))
    });
    let whole = |name: &str| number(config, name).map(|number| number as u32);
    let wants_logs = config.get("responseLogprobs") == Some(&Value::Bool(true));
    let prompt = Prompt {
        seed: (0, number(config, "seed").unwrap_or_default() as i64 as u64),
        last: said.last,
        is_result: said.is_result,
        asked: said.asked,
        tools,
        choice,
        parallel: true,
        shape,
        stop,
        max_tokens: whole("maxOutputTokens"),
        ..Prompt::default()
    };
    Ok(Ask {
        prompt,
        prompt_tokens,
        before,
        candidates: whole("candidateCount").unwrap_or(1),
        thoughts,
        shows_thoughts,
        logprobs: wants_logs.then(|| whole("logprobs").unwrap_or_default()),
    })
}

fn ranges(config: &Value) -> Result<(), Refusal> {
    let within = |name: &str, field: &str, low: f64, high: f64, words: &str| match number(config, name) {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Refusal::at(&format!("{CONFIG}.{field}"), words))
        }
        _ => Ok(()),
    };
    within("temperature", "temperature", 0.0, 2.0, "temperature must be in the range [0.0, 2.0].")?;
    within("topP", "top_p", 0.0, 1.0, "top_p must be in the range [0.0, 1.0].")?;
    within("topK", "top_k", 1.0, f64::MAX, "top_k must be positive.")?;
    within("candidateCount", "candidate_count", 1.0, 8.0, "candidate_count must be in the range [1, 8].")?;
    within(
        "maxOutputTokens",
        "max_output_tokens",
        1.0,
        f64::from(i32::MAX),
        "max_output_tokens must be positive.",
    )?;
    within(
        "presencePenalty",
        "presence_penalty",
        -2.0,
        2.0,
        "presence_penalty must be in the range [-2.0, 2.0).",
    )?;
    within(
        "frequencyPenalty",
        "frequency_penalty",
        -2.0,
        2.0,
        "frequency_penalty must be in the range [-2.0, 2.0).",
    )?;
    within("logprobs", "logprobs", 0.0, 20.0, "logprobs must be in the range [0, 20].")?;
    let (low, high) = (f64::from(i32::MIN), f64::from(i32::MAX));
    within("seed", "seed", low, high, "seed must be a 32-bit integer.")?;
    let stops = list(config, "stopSequences");
    if stops.len() > STOPS {
        let message = format!("at most {STOPS} stop sequences are allowed.");
        return Err(Refusal::at(&format!("{CONFIG}.stop_sequences"), &message));
    }
    if stops.iter().any(|stop| stop == "") {
        return Err(Refusal::at(&format!("{CONFIG}.stop_sequences"), "stop sequences must not be empty."));
    }
    if config.get("logprobs").is_some() && config.get("responseLogprobs") != Some(&Value::Bool(true)) {
        let message = "logprobs can only be set if response_logprobs is true.";
        return Err(Refusal::at(&format!("{CONFIG}.logprobs"), message));
    }
    Ok(())
}

fn shape(config: &Value) -> Result<Shape, Refusal> {
    let mime = text(config, "responseMimeType");
    if !matches!(mime, "" | "text/plain" | "application/json" | "text/x.enum") {
        let message = "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and \
                       `text/x.enum`.";
        return Err(Refusal::at(&format!("{CONFIG}.response_mime_type"), message));
    }
    let json = mime == "application/json";
    match (config.get("responseSchema"), config.get("responseJsonSchema")) {
        (Some(_), Some(_)) => {
            Err(Refusal::bad("Only one of response_schema and response_json_schema may be set."))
        }
        (Some(_), None) | (None, Some(_)) if !json && mime != "text/x.enum" => Err(Refusal::at(
            &format!("{CONFIG}.response_schema"),
            "only allowed when response_mime_type is `application/json` or `text/x.enum`.",
        )),
        (Some(known), None) => {
            openapi::check(known, &format!("{CONFIG}.response_schema"))?;
            Ok(Shape::Schema(openapi::as_json_schema(known)))
        }
        (None, Some(any)) => {
            let place = format!("{CONFIG}.response_json_schema");
            schema::check(any).map_err(|error| Refusal::at(&place, &error))?;
            Ok(Shape::Schema(any.clone()))
        }
        (None, None) if json => Ok(Shape::Json),
        (None, None) => Ok(Shape::Text),
    }
}

fn thinking(config: &Value, model: &str) -> Result<(Option<u32>, bool), Refusal> {
    let Some(thinking) = config.get("thinkingConfig") else {
        return Ok((None, false));
    };
    let (budget, level) = (number(thinking, "thinkingBudget"), thinking.get("thinkingLevel"));
    if budget.is_some() && level.is_some() {
        return Err(Refusal::bad("You can only set only one of thinking budget and thinking level."));
    }
    let is_old = ["gemini-1", "gemini-2"].iter().any(|old| model.contains(old));
    if level.is_some() && is_old {
        return Err(Refusal::bad("Thinking level is not supported for this model."));
    }
    let never = ["gemini-1", "gemini-2.0"].iter().any(|old| model.contains(old));
    if never && budget.is_none_or(|budget| budget != 0.0) {
        return Err(Refusal::bad(
            "Unable to submit request because thinking is not supported by this model.",
        ));
    }
    let shows = thinking.get("includeThoughts") == Some(&Value::Bool(true));
    match budget {
        Some(0.0) if model.contains("2.5-pro") => {
            Err(Refusal::bad("Budget 0 is invalid. This model only works in thinking mode."))
        }
        Some(0.0) => Ok((None, false)),
        // -1 leaves it to the model.
        Some(budget) if !(-1.0..=32_768.0).contains(&budget) => Err(Refusal::bad(format!(
            "The thinking budget {budget} is invalid. Please choose a value between 0 and 32768."
        ))),
        Some(budget) if budget > 0.0 => Ok((Some(budget as u32), shows)),
        _ => Ok((Some(u32::MAX), shows)),
    }
}
