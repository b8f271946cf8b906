//! The thinking that a request wants.

use super::{
    error::Refusal,
    field::{self, Object},
    limits,
};
use crate::sim::{
    dice::Dice,
    text,
    tokens::{self, Piece},
};

const LEAST_BUDGET: u64 = 1024;
/// How many tokens a thought has, at most.
const LENGTH: u32 = 60;

/// How to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thinking {
    /// The most tokens of it; `None` where the model decides.
    budget: Option<u64>,
    /// Whether the thought itself is kept back.
    pub(crate) omitted: bool,
}

impl Thinking {
    /// Whether it was switched on with a budget, which has rules of its own.
    pub(crate) fn has_budget(&self) -> bool {
        self.budget.is_some()
    }
}

/// Reads `thinking`.
///
/// # Errors
/// As Anthropic refuses it.
pub(crate) fn read(
    request: &Object,
    model: &str,
    max_tokens: Option<u64>,
) -> Result<Option<Thinking>, Refusal> {
    let Some(thinking) = request.get("thinking") else {
        return Ok(None);
    };
    let (kind, thinking) = field::tagged(thinking, "thinking", &["adaptive", "disabled", "enabled"])?;
    let place = format!("thinking.{kind}");
    let known: &[&str] = match kind {
        "enabled" => &["type", "budget_tokens", "display"],
        "adaptive" => &["type", "display"],
        _ => &["type"],
    };
    field::only(thinking, &place, known)?;
    if kind == "disabled" {
        return Ok(None);
    }
    let display = thinking.get("display").filter(|display| !display.is_null());
    let display = display
        .map(|display| field::one_of(display, &format!("{place}.display"), &["summarized", "omitted"]))
        .transpose()?;
    let omitted = display == Some("omitted");
    if kind == "adaptive" {
        return Ok(Some(Thinking { budget: None, omitted }));
    }
    limits::budget(model)?;
    let budget = field::required(thinking, &place, "budget_tokens")?;
    let budget = field::whole(budget, &format!("{place}.budget_tokens"), LEAST_BUDGET)?;
    if max_tokens.is_some_and(|most| budget >= most) {
        return Err(Refusal::bad(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at \
             https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
        ));
    }
    Ok(Some(Thinking { budget: Some(budget), omitted }))
}

/// The refusal of tool calls that come back without the thought before them.
pub(crate) fn missing(place: &str, kind: &str) -> Refusal {
    let message = format!(
        "Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final `assistant` \
         message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). \
         We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. \
         Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
    );
    Refusal::at(&format!("{place}.type"), &message)
}

/// A thought about what was asked.
pub(crate) fn thought(dice: &mut Dice, asked: &str, max_tokens: u32) -> Vec<Piece> {
    let words = text::keywords(asked);
    let said = format!(
        "The user wants to know something. {} {}",
        text::more(dice, &words),
        text::more(dice, &words)
    );
    let mut pieces = tokens::pieces(&said);
    tokens::cut(&mut pieces, LENGTH.min(max_tokens));
    pieces
}
