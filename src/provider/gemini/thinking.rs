//! How much a model thinks: OpenAI's efforts as Gemini's budgets or levels.

use super::{losses::Losses, losses::wrong, request::ThinkingConfig};
use crate::openai::BadField;

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// It does not: before Gemini 2.5.
    Plain,
    /// By a budget of tokens: Gemini 2.5.
    Budget,
    /// By a level: Gemini 3 and later. It also wants a thought signature with each function call.
    Level,
}

/// The family by the model's name. A name without a version, like `gemini-flash-latest`, is a current model.
pub fn family(model: &str) -> Family {
    if model.contains("gemma") {
        return Family::Plain;
    }
    match version(model) {
        Some((0 | 1, _) | (2, 0)) => Family::Plain,
        Some((2, _)) => Family::Budget,
        _ => Family::Level,
    }
}

/// The numbers after `gemini-`.
fn version(model: &str) -> Option<(u32, u32)> {
    let (_, rest) = model.split_once("gemini-")?;
    let number = rest.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The setting for an effort, by the table of Google's own OpenAI format; `None`: nothing needs to be set.
///
/// # Errors
/// An effort that the model does not know.
pub fn config(effort: &str, model: &str, losses: &mut Losses) -> Result<Option<ThinkingConfig>, BadField> {
    if !["none", "minimal", "low", "medium", "high", "xhigh"].contains(&effort) {
        return Err(wrong(
            "reasoning_effort",
            "`reasoning_effort` has to be none, minimal, low, medium, high or xhigh.",
        ));
    }
    let pro = model.contains("pro");
    let config = match (family(model), effort) {
        (Family::Plain, "none") => return Ok(None),
        (Family::Plain, _) => {
            lose(effort, model, "it does not reason", losses)?;
            return Ok(None);
        }
        (Family::Budget | Family::Level, "none") if pro => {
            lose(effort, model, "it always reasons", losses)?;
            return Ok(None);
        }
        (Family::Budget, "none") => ThinkingConfig { thinking_budget: Some(0), ..Default::default() },
        (Family::Level, "none") => ThinkingConfig { thinking_level: Some("minimal"), ..Default::default() },
        (Family::Budget, effort) => ThinkingConfig {
            thinking_budget: Some(match effort {
                "minimal" | "low" => 1024,
                "medium" => 8192,
                _ => 24_576,
            }),
            include_thoughts: Some(true),
            ..Default::default()
        },
        (Family::Level, effort) => ThinkingConfig {
            thinking_level: Some(match effort {
                "minimal" if !pro => "minimal",
                "minimal" | "low" => "low",
                // Gemini 3 Pro itself knows only low and high.
                "medium" if !(pro && version(model) == Some((3, 0))) => "medium",
                _ => "high",
            }),
            include_thoughts: Some(true),
            ..Default::default()
        },
    };
    Ok(Some(config))
}

fn lose(effort: &str, model: &str, why: &str, losses: &mut Losses) -> Result<(), BadField> {
    let message = format!("`{model}` cannot take `reasoning_effort` {effort}: {why}.");
    losses.lose("reasoning_effort".into(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_family() {
        for (model, expected) in [
            ("gemini-1.5-flash", Family::Plain),
            ("gemini-2.0-flash-exp", Family::Plain),
            ("gemma-3-27b-it", Family::Plain),
            ("models/gemini-2.5-pro", Family::Budget),
            ("gemini-3-flash-preview", Family::Level),
            ("gemini-3.1-pro", Family::Level),
            ("gemini-flash-latest", Family::Level),
            ("ours", Family::Level),
        ] {
            assert_eq!(family(model), expected, "{model}");
        }
    }

    #[test]
    fn efforts_become_budgets_or_levels() {
        let of = |effort: &str, model: &str| config(effort, model, &mut Losses::new(false));
        let budget = |effort| of(effort, "gemini-2.5-flash").unwrap().unwrap().thinking_budget;
        assert_eq!(
            ["none", "minimal", "low", "medium", "high", "xhigh"].map(budget),
            [Some(0), Some(1024), Some(1024), Some(8192), Some(24_576), Some(24_576)]
        );
        let level = |model: &str| {
            ["minimal", "low", "medium", "high"]
                .map(|effort| of(effort, model).unwrap().unwrap().thinking_level.unwrap())
        };
        assert_eq!(level("gemini-3-flash-preview"), ["minimal", "low", "medium", "high"]);
        assert_eq!(level("gemini-3-pro-preview"), ["low", "low", "high", "high"]);
        assert_eq!(level("gemini-3.1-pro"), ["low", "low", "medium", "high"]);
        assert_eq!(of("none", "gemini-2.0-flash"), Ok(None));
        for (effort, model) in
            [("none", "gemini-2.5-pro"), ("high", "gemini-2.0-flash"), ("much", "gemini-3")]
        {
            let bad = of(effort, model).unwrap_err();
            assert_eq!(bad.param.as_deref(), Some("reasoning_effort"), "{model}");
        }
        let mut losses = Losses::new(true);
        assert_eq!(config("high", "gemini-2.0-flash", &mut losses), Ok(None));
        assert_eq!(losses.into_dropped(), ["reasoning_effort"]);
    }
}
