//! What single models take; a model that is not known here takes anything.

use super::error::Refusal;

/// The most tokens of an answer, by a part of the model's name; the first that fits counts.
const MOST: &[(&str, u64)] = &[
    ("claude-3-5", 8_192),
    ("claude-3-7", 128_000),
    ("claude-3", 4_096),
    ("opus-4-1", 32_000),
    ("opus-4-2025", 32_000),
    ("opus-4-5", 64_000),
    ("haiku-4", 64_000),
    ("sonnet-4", 128_000),
    ("opus-4", 128_000),
];

/// Models from before structured answers.
const FORMLESS: &[&str] = &["claude-3", "opus-4-2025", "sonnet-4-2025"];
/// Models that do not say how hard they try.
const EFFORTLESS: &[&str] =
    &["claude-3", "opus-4-2025", "sonnet-4-2025", "opus-4-1", "sonnet-4-5", "haiku-4-5"];
/// Models that begin their answers themselves.
const UNPREFILLED: &[&str] =
    &["opus-4-6", "sonnet-4-6", "opus-4-7", "opus-4-8", "fable", "opus-5", "sonnet-5"];
/// Models that decide themselves how long they think, and how they draw.
const FIXED: &[&str] = &["opus-4-7", "opus-4-8", "opus-5", "sonnet-5", "fable"];

fn is_of(model: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| model.contains(part))
}

/// Refuses an answer that is longer than the model's.
pub(crate) fn max_tokens(model: &str, wanted: u64) -> Result<(), Refusal> {
    match MOST.iter().find(|(part, _)| model.contains(part)) {
        Some((_, most)) if wanted > *most => Err(Refusal::bad(format!(
            "max_tokens: {wanted} > {most}, which is the maximum allowed number of output tokens for {model}"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a structured answer where the model has none.
pub(crate) fn format(model: &str) -> Result<(), Refusal> {
    if is_of(model, FORMLESS) {
        return Err(Refusal::bad(format!("'{model}' does not support output format.")));
    }
    Ok(())
}

/// Refuses an effort that the model does not know.
pub(crate) fn effort(model: &str, effort: &str) -> Result<(), Refusal> {
    if is_of(model, EFFORTLESS) {
        return Err(Refusal::bad("This model does not support the effort parameter."));
    }
    let known = match model {
        model if model.contains("opus-4-5") => "high, low, medium",
        model if is_of(model, &["opus-4-6", "sonnet-4-6"]) => "high, low, max, medium",
        _ => return Ok(()),
    };
    if known.split(", ").any(|word| word == effort) {
        return Ok(());
    }
    let message = format!("This model does not support effort level '{effort}'. Supported levels: {known}.");
    Err(Refusal::bad(message))
}

/// Refuses an assistant's message at the end where the model does not go on from one.
pub(crate) fn prefill(model: &str) -> Result<(), Refusal> {
    if is_of(model, UNPREFILLED) {
        return Err(Refusal::bad(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    Ok(())
}

/// Refuses a thinking budget where the model sets its own.
pub(crate) fn budget(model: &str) -> Result<(), Refusal> {
    if is_of(model, FIXED) {
        return Err(Refusal::bad(
            "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \
             \"output_config.effort\" to control thinking behavior.",
        ));
    }
    Ok(())
}

/// Refuses how to draw where the model does not let that be chosen.
pub(crate) fn sampling(model: &str, name: &str) -> Result<(), Refusal> {
    if is_of(model, FIXED) {
        return Err(Refusal::bad(format!("`{name}` is deprecated for this model.")));
    }
    Ok(())
}
