//! How much a model is asked to think, with the room that this needs.

use serde_json::Value;

use super::{
    gap::{Gaps, bad},
    model::{Abilities, ThinkingStyle},
    request::Mode,
};
use crate::openai::BadField;

/// The most tokens of an answer where neither the client nor the configuration names a limit: Anthropic's API
/// wants one, and every model can answer so many.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// The smallest thinking budget that the API takes.
const MIN_BUDGET: u64 = 1024;

/// With it and an answer of [`DEFAULT_MAX_TOKENS`] every model that wants a budget is within its limit: the smallest is
/// 32,000.
const MAX_BUDGET: u64 = 24_576;

/// Each effort of OpenAI's API: its name, the thinking budget of models that want one, the effort of models that
/// find their own.
const EFFORTS: &[(&str, u64, &str)] = &[
    ("minimal", MIN_BUDGET, "low"),
    ("low", 2048, "low"),
    ("medium", 8192, "medium"),
    ("high", 16_384, "high"),
    ("xhigh", MAX_BUDGET, "xhigh"),
    ("max", MAX_BUDGET, "max"),
];

/// What was asked for and may matter to thinking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `reasoning_effort`.
    pub effort: Option<&'a str>,
    /// The client's limit of the answer.
    pub limit: Option<u64>,
    /// The most that the model can answer, where known.
    pub max_output: Option<u64>,
    /// The most that a budget affords.
    pub affords: Option<u64>,
    /// A tool has to be called.
    pub forced_tool: bool,
    /// The last turn called tools, and what was thought before it has not come back.
    pub lost_thoughts: bool,
}

/// What the request says.
#[derive(Debug)]
pub struct Plan {
    /// `max_tokens`.
    pub max_tokens: u64,
    /// Whether a budget made it lower.
    pub lowered: bool,
    /// `thinking`.
    pub mode: Option<Mode>,
    /// `output_config.effort`.
    pub effort: Option<&'static str>,
}

impl Plan {
    /// Whether the model thinks because it was asked to.
    pub fn thinks(&self) -> bool {
        matches!(self.mode, Some(Mode::Enabled { .. } | Mode::Adaptive { .. }))
    }
}

/// Plans the thinking for a wish.
///
/// # Errors
/// `reasoning_effort`, where the model cannot think as asked.
pub fn plan(wish: Wish<'_>, abilities: Abilities, gaps: &mut Gaps<'_>) -> Result<Plan, BadField> {
    let max_tokens = room(wish, 0);
    let quiet = Plan { max_tokens, lowered: max_tokens < asked_room(wish, 0), mode: None, effort: None };
    let Some(effort) = wish.effort else {
        return Ok(quiet);
    };
    if effort == "none" {
        let off = matches!(abilities.thinking, ThinkingStyle::Effort { by_default: true, .. });
        return Ok(Plan { mode: off.then_some(Mode::Disabled), ..quiet });
    }
    let Some((_, budget, level)) = EFFORTS.iter().find(|(name, ..)| *name == effort) else {
        let message = "`reasoning_effort` must be none, minimal, low, medium, high, xhigh or max.";
        return Err(bad("reasoning_effort", message));
    };
    match abilities.thinking {
        ThinkingStyle::Never => {
            gaps.meet("reasoning_effort", "This model cannot think before it answers")?;
            Ok(quiet)
        }
        _ if wish.forced_tool && !abilities.thinks_when_forced => {
            gaps.meet("reasoning_effort", "This model cannot think where it has to call a tool")?;
            Ok(quiet)
        }
        ThinkingStyle::Effort { xhigh, .. } => {
            // Below 4.7 the next step above `high` is `max`.
            let effort = if *level == "xhigh" && !xhigh { "max" } else { level };
            // From 4.7 on, what was thought is told only on request.
            let mode = Mode::Adaptive { display: xhigh.then_some("summarized") };
            Ok(Plan { mode: Some(mode), effort: Some(effort), ..quiet })
        }
        ThinkingStyle::Budget => with_budget(wish, *budget, quiet, gaps),
    }
}

fn with_budget(wish: Wish<'_>, budget: u64, quiet: Plan, gaps: &mut Gaps<'_>) -> Result<Plan, BadField> {
    if wish.lost_thoughts {
        // The API refuses such a turn; without thinking it takes it.
        gaps.leave_out("reasoning_effort");
        return Ok(quiet);
    }
    let max_tokens = room(wish, budget);
    if max_tokens <= MIN_BUDGET && asked_room(wish, budget) > MIN_BUDGET {
        // The client's own limit left room: a budget must not make a fault of it.
        gaps.leave_out("reasoning_effort");
        return Ok(quiet);
    }
    if max_tokens <= MIN_BUDGET {
        let reason = "The limit of the answer leaves no room to think: it must be above 1024 tokens";
        gaps.meet("reasoning_effort", reason)?;
        return Ok(quiet);
    }
    let lowered = max_tokens < asked_room(wish, budget);
    let limited = wish.limit.or(wish.max_output).is_some() || lowered;
    // Within a limit at least half of the room is the answer's.
    let budget_tokens = if limited { budget.min(max_tokens / 2).max(MIN_BUDGET) } else { budget };
    Ok(Plan { max_tokens, lowered, mode: Some(Mode::Enabled { budget_tokens }), effort: None })
}

/// The client's own budget, as JSON, where `room` was lowered below it; `None` where no budget fits.
pub fn within(theirs: &Value, room: u64) -> Option<Value> {
    let mut fitting = theirs.clone();
    if let Some(budget) = theirs["budget_tokens"].as_u64().filter(|budget| *budget >= room) {
        if room <= MIN_BUDGET {
            return None;
        }
        // At least half of the room is the answer's.
        fitting["budget_tokens"] = budget.min((room / 2).max(MIN_BUDGET)).into();
    }
    Some(fitting)
}

/// The most tokens of the answer, what is thought included.
fn room(wish: Wish<'_>, budget: u64) -> u64 {
    let asked = asked_room(wish, budget);
    wish.affords.map_or(asked, |most| most.min(asked))
}

/// The same, whatever it costs.
fn asked_room(wish: Wish<'_>, budget: u64) -> u64 {
    wish.limit.or(wish.max_output).unwrap_or(DEFAULT_MAX_TOKENS + budget)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned(model: &str, wish: Wish<'_>) -> Result<(u64, String, Option<&'static str>), Option<String>> {
        let plan =
            plan(wish, Abilities::of(model), &mut Gaps::new(false)).map_err(|bad: BadField| bad.param)?;
        let mode = plan.mode.map(|mode| serde_json::to_string(&mode).unwrap());
        Ok((plan.max_tokens, mode.unwrap_or_default(), plan.effort))
    }

    fn effort(effort: &str) -> Wish<'_> {
        Wish { effort: Some(effort), ..Wish::default() }
    }

    fn budget(max_tokens: u64, budget: u64) -> Result<(u64, String, Option<&'static str>), Option<String>> {
        Ok((max_tokens, format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#), None))
    }

    #[test]
    fn the_limit_comes_from_the_client_or_the_model_or_the_constant() {
        let limit = |limit, max_output| {
            planned("claude-sonnet-4-5", Wish { limit, max_output, ..Wish::default() }).unwrap().0
        };
        assert_eq!(limit(Some(7), Some(64_000)), 7);
        assert_eq!(limit(None, Some(64_000)), 64_000);
        assert_eq!(limit(None, None), 4096);
    }

    #[test]
    fn an_effort_becomes_a_budget_below_the_limit() {
        let model = "claude-sonnet-4-5";
        assert_eq!(planned(model, effort("low")), budget(6144, 2048));
        assert_eq!(planned(model, effort("high")), budget(20_480, 16_384));
        let limited = |limit| planned(model, Wish { limit: Some(limit), ..effort("high") });
        assert_eq!(limited(40_000), budget(40_000, 16_384));
        assert_eq!(limited(8000), budget(8000, 4000));
        assert_eq!(limited(1025), budget(1025, 1024));
        assert_eq!(limited(1024), Err(Some("reasoning_effort".into())));
        assert_eq!(
            planned(model, Wish { max_output: Some(64_000), ..effort("max") }),
            budget(64_000, 24_576)
        );
        assert_eq!(planned(model, effort("none")), Ok((4096, String::new(), None)));
        assert_eq!(planned(model, effort("very")), Err(Some("reasoning_effort".into())));
    }

    #[test]
    fn a_budget_lowers_limit_with_thinking_and_never_makes_a_fault() {
        let model = "claude-sonnet-4-5";
        let afford = |affords, wish| planned(model, Wish { affords: Some(affords), ..wish });
        assert_eq!(afford(300, Wish::default()).unwrap().0, 300);
        assert_eq!(afford(9000, Wish::default()).unwrap().0, 4096);
        assert_eq!(afford(4000, effort("high")), budget(4000, 2000));
        assert_eq!(afford(1025, effort("high")), budget(1025, 1024));
        assert_eq!(afford(40_000, effort("high")), budget(20_480, 16_384));
        let mut gaps = Gaps::new(false);
        let wish = Wish { affords: Some(1024), ..effort("high") };
        let plan = plan(wish, Abilities::of(model), &mut gaps).unwrap();
        assert_eq!(
            (plan.max_tokens, plan.thinks(), gaps.dropped),
            (1024, false, vec!["reasoning_effort".to_owned()])
        );
        let own = json!({"type": "enabled", "budget_tokens": 5000});
        assert_eq!(within(&own, 5001).unwrap(), own);
        assert_eq!(within(&own, 5000).unwrap()["budget_tokens"], 2500);
        assert_eq!(within(&own, 1025).unwrap()["budget_tokens"], 1024);
        assert_eq!(within(&own, 1024), None);
        assert_eq!(within(&json!({"type": "adaptive"}), 300), Some(json!({"type": "adaptive"})));
    }

    #[test]
    fn newer_models_find_their_own_budget() {
        let adaptive = r#"{"type":"adaptive"}"#.to_owned();
        let shown = r#"{"type":"adaptive","display":"summarized"}"#.to_owned();
        assert_eq!(planned("claude-opus-4-6", effort("minimal")), Ok((4096, adaptive.clone(), Some("low"))));
        assert_eq!(planned("claude-opus-4-6", effort("xhigh")), Ok((4096, adaptive, Some("max"))));
        assert_eq!(planned("claude-opus-4-8", effort("xhigh")), Ok((4096, shown, Some("xhigh"))));
        let off = r#"{"type":"disabled"}"#.to_owned();
        assert_eq!(planned("claude-sonnet-5", effort("none")), Ok((4096, off, None)));
        assert_eq!(planned("claude-opus-4-8", effort("none")), Ok((4096, String::new(), None)));
    }

    #[test]
    fn where_thinking_is_impossible_it_is_refused_or_left_out() {
        let refused = Err(Some("reasoning_effort".into()));
        assert_eq!(planned("claude-3-5-haiku-latest", effort("low")), refused);
        let forced = Wish { forced_tool: true, ..effort("low") };
        assert_eq!(planned("claude-sonnet-4-5", forced), refused);
        assert_eq!(planned("claude-opus-4-6", forced), refused);
        assert!(planned("claude-opus-4-8", forced).is_ok());
        let lost = Wish { lost_thoughts: true, ..effort("low") };
        let mut gaps = Gaps::new(false);
        let plan = plan(lost, Abilities::of("claude-sonnet-4-5"), &mut gaps).unwrap();
        assert!(!plan.thinks());
        assert_eq!(gaps.dropped, ["reasoning_effort"]);
    }
}
