//! The decision whether an attempt fits, in one step for every budget that applies.

use std::mem;

use crate::base::{
    account::{AccountKey, Watermark},
    money::Nanos,
};

use super::{
    account::Account,
    bound::Bound,
    hold::{Action, Admission, Ask, Estimate, Exceeded, Held, Limit, Part, Unit},
    rules::{Line, Rule},
    state::{Applied, Scratch, State},
};
use crate::config::Enforce;

/// The fewest tokens that are worth an answer where only the client's own ceiling limits it.
const MIN_OUTPUT: u64 = 256;

/// The most that a watermark is raised beyond what is needed: a dollar, or so many requests.
const STEP_MONEY: i64 = 1_000_000_000;
const STEP_REQUESTS: i64 = 50;

/// The part of what remains that a watermark is raised by: a twentieth.
const STEP_PART: i64 = 20;

/// Decides, and holds what is to be held.
pub(super) fn admit(
    state: &mut State,
    bound: &Bound,
    ask: &Ask<'_>,
    swap: Option<Held>,
    now_s: i64,
) -> Admission {
    let mut scratch = mem::take(&mut state.scratch);
    gather(state, bound, ask, now_s, &mut scratch);
    if let Some(held) = &swap {
        state.release(held, now_s);
    }
    let answer = match fit(state, bound, ask, &scratch) {
        Err(exceeded) => Admission::Exceeded(exceeded),
        Ok(fitted) => {
            let marks = missing(state, bound, &fitted, &scratch.lines);
            if marks.is_empty() {
                Admission::Held(hold(state, bound, &fitted, &scratch.lines))
            } else {
                if let Some(held) = &swap {
                    state.retake(held);
                }
                Admission::Raise { marks, swap }
            }
        }
    };
    state.scratch = scratch;
    answer
}

/// Finds the limits that apply, each account in its present window.
fn gather(state: &mut State, bound: &Bound, ask: &Ask<'_>, now_s: i64, scratch: &mut Scratch) {
    let Scratch { rules, lines } = scratch;
    rules.clear();
    lines.clear();
    bound.0.rules.applying(&ask.who, ask.target.as_ref(), |at| rules.push(at as u32));
    // A quota counts a request once, not each of its attempts.
    rules.retain(|at| ask.estimate.counts || bound.rule(*at).unit == Unit::Money);
    for rule in rules.iter().copied() {
        for line in 0..bound.rule(rule).lines.len() {
            let account = state.account_for(bound, rule, line, &ask.who, now_s);
            lines.push(Applied { rule, line: line as u32, account });
        }
    }
}

/// What the attempt may come to under the budgets that apply.
struct Terms {
    input: i64,
    price: u128,
    /// What a soft budget holds.
    usual: i64,
    /// The most tokens that are thought of.
    allowed: u64,
    /// The fewest tokens that are worth an answer.
    floor: u64,
    /// Whether it costs nothing, so that no spent budget stands in its way.
    free: bool,
}

impl Terms {
    fn new<'a>(estimate: &Estimate, hard: impl Iterator<Item = &'a Rule>) -> Self {
        let (mut default, mut least) = (u64::MAX, None);
        for rule in hard {
            default = default.min(rule.default_max_output);
            least = least.max(Some(rule.min_output));
        }
        let price = estimate.output_pico;
        // Where output costs nothing there is no reason to limit it.
        let allowed = match estimate.client.is_some() || price == 0 {
            true => estimate.wanted,
            false => estimate.wanted.min(default),
        };
        let input = estimate.input.0.max(0);
        let usual = input.saturating_add(cost(price, estimate.usual.min(estimate.wanted)));
        let floor = least.unwrap_or(MIN_OUTPUT).min(allowed);
        Self { input, price, usual, allowed, floor, free: input == 0 && price == 0 }
    }

    /// How many tokens so much money pays for behind the input; `None`: too few.
    fn afford(&self, room: i64) -> Option<u64> {
        let left = u64::try_from(room.max(0).checked_sub(self.input)?).ok()?;
        // Prices are per thousandth of a nanodollar.
        let tokens = (u128::from(left) * 1000).checked_div(self.price).unwrap_or(u128::MAX);
        Some(u64::try_from(tokens).unwrap_or(u64::MAX)).filter(|tokens| *tokens >= self.floor)
    }
}

/// What so many tokens cost, rounded up to a nanodollar.
fn cost(price: u128, tokens: u64) -> i64 {
    i64::try_from(price.saturating_mul(u128::from(tokens)).div_ceil(1000)).unwrap_or(i64::MAX)
}

/// What fits, in the amounts to hold.
struct Fitted {
    hard: i64,
    soft: i64,
    max_output: Option<u64>,
    squeezed: bool,
    /// The most that the attempt may cost by all that limits it.
    most: i64,
}

impl Fitted {
    fn amount(&self, rule: &Rule) -> i64 {
        match (rule.unit, rule.enforce) {
            (Unit::Requests, _) => 1,
            (Unit::Money, Enforce::Hard) => self.hard,
            (Unit::Money, Enforce::Soft) => self.soft,
        }
    }
}

/// What one limit says.
enum Verdict {
    /// So many tokens fit.
    Fits(u64),
    /// It does not fit; whether it may once others have settled.
    Fails { may_free: bool },
}

/// The limits that do not suffice, of which one is told.
struct Refusals<'a> {
    bound: &'a Bound,
    downgraded: bool,
    told: Option<((u8, i64), Exceeded)>,
    may_free: bool,
}

impl Refusals<'_> {
    /// Notes one. A refusal of the request comes before a downgrade, that before a target to pass over; among equals
    /// comes what has the least room.
    fn note(
        &mut self,
        rule: Option<u32>,
        limit: Limit,
        room: i64,
        account: Option<&Account>,
        may_free: bool,
    ) {
        self.may_free &= may_free;
        let rule = rule.map(|at| self.bound.rule(at));
        let route = rule.and_then(|rule| rule.downgrade.clone()).filter(|_| !self.downgraded);
        let target_only = rule.is_some_and(|rule| rule.scope.is_target());
        let rank = (if target_only { 2 } else { u8::from(route.is_some()) }, room);
        if self.told.as_ref().is_none_or(|(told, _)| rank < *told) {
            let exceeded = Exceeded {
                budget: rule.map_or_else(|| "".into(), |rule| rule.name.clone()),
                limit,
                unit: rule.map_or(Unit::Money, |rule| rule.unit),
                action: route.map_or(Action::Reject, Action::Downgrade),
                target_only,
                may_free: false,
                room: Nanos(room),
                resets_at: account.and_then(|account| account.window.span().ends()),
            };
            self.told = Some((rank, exceeded));
        }
    }
}

/// Whether the attempt fits everywhere.
fn fit(state: &State, bound: &Bound, ask: &Ask<'_>, scratch: &Scratch) -> Result<Fitted, Exceeded> {
    let rules = || scratch.rules.iter().map(|at| bound.rule(*at));
    let terms = Terms::new(&ask.estimate, rules().filter(|rule| rule.is_hard_money()));
    let mut tokens = terms.allowed;
    let mut refusals = Refusals { bound, downgraded: ask.downgraded, told: None, may_free: true };
    let mut weigh = |verdict, rule, limit, room, account: Option<&Account>| match verdict {
        Verdict::Fits(afforded) => tokens = tokens.min(afforded),
        Verdict::Fails { may_free } => refusals.note(rule, limit, room, account, may_free),
    };
    let left = |limit: Nanos| limit.saturating_sub(ask.estimate.spent);
    if let Some(Nanos(room)) = ask.estimate.ceiling.map(left) {
        weigh(single(&terms, room), None, Limit::MaxCost, room, None);
    }
    for at in &scratch.rules {
        let rule = bound.rule(*at);
        if let Some(Nanos(room)) = rule.per_request.map(left) {
            let verdict = match rule.enforce {
                Enforce::Hard => single(&terms, room),
                Enforce::Soft if terms.usual <= room || goes_on(rule, ask) => Verdict::Fits(u64::MAX),
                Enforce::Soft => Verdict::Fails { may_free: false },
            };
            weigh(verdict, Some(*at), Limit::PerRequest, room, None);
        }
    }
    for applied in &scratch.lines {
        let rule = bound.rule(applied.rule);
        let line = &rule.lines[applied.line as usize];
        let account = applied.account.map(|at| &state.accounts[at as usize]);
        let verdict = match account {
            Some(account) => periodic(&terms, rule, line, account, ask),
            None => Verdict::Fails { may_free: false },
        };
        let room = account.map_or(0, |account| line.limit.saturating_sub(account.used()));
        weigh(verdict, Some(applied.rule), Limit::Period(line.period), room, account);
    }
    if let Some((_, exceeded)) = refusals.told {
        return Err(Exceeded { may_free: refusals.may_free, ..exceeded });
    }
    let hard = terms.input.saturating_add(cost(terms.price, tokens));
    // A limit that the client's own is above has to be said, even where it is only the model's: nobody else knows it.
    let limits = ask.estimate.ceiling.is_some() || rules().any(Rule::is_hard_money);
    let above = limits && terms.price > 0 && ask.estimate.client.is_some_and(|client| tokens < client);
    let max_output = (tokens < ask.estimate.wanted || above).then_some(tokens);
    let most = if limits { hard } else { terms.usual };
    Ok(Fitted { hard, soft: terms.usual, max_output, squeezed: tokens < terms.allowed, most })
}

/// Whether a soft budget lets a downgraded request go on past its limit.
fn goes_on(rule: &Rule, ask: &Ask<'_>) -> bool {
    ask.downgraded && rule.downgrade.is_some()
}

/// A limit on the attempt alone.
fn single(terms: &Terms, room: i64) -> Verdict {
    terms.afford(room).map_or(Verdict::Fails { may_free: false }, Verdict::Fits)
}

/// A limit on a period.
fn periodic(terms: &Terms, rule: &Rule, line: &Line, account: &Account, ask: &Ask<'_>) -> Verdict {
    let (used, limit) = (account.used(), line.limit);
    let others = account.held > 0;
    if rule.unit == Unit::Requests {
        return match used < limit {
            true => Verdict::Fits(u64::MAX),
            false => Verdict::Fails { may_free: others && account.posted < limit },
        };
    }
    if terms.free {
        return Verdict::Fits(u64::MAX);
    }
    if !ask.downgraded && line.downgrade_at.is_some_and(|at| used >= at) {
        return Verdict::Fails { may_free: false };
    }
    match rule.enforce {
        Enforce::Hard => terms.afford(limit.saturating_sub(used)).map_or_else(
            || Verdict::Fails {
                may_free: others && terms.afford(limit.saturating_sub(account.posted)).is_some(),
            },
            Verdict::Fits,
        ),
        Enforce::Soft if used < limit || goes_on(rule, ask) => Verdict::Fits(u64::MAX),
        Enforce::Soft => Verdict::Fails { may_free: others && account.posted < limit },
    }
}

/// The watermarks that must be raised before the amounts can be held.
fn missing(state: &State, bound: &Bound, fitted: &Fitted, lines: &[Applied]) -> Vec<Watermark> {
    let mut marks = Vec::new();
    for applied in lines {
        let rule = bound.rule(applied.rule);
        let Some(account) = applied.account.map(|at| &state.accounts[at as usize]) else { continue };
        let needed = account.used().saturating_add(fitted.amount(rule));
        if needed > account.watermark {
            let to = raise(account, rule, rule.lines[applied.line as usize].limit, needed);
            marks.push(Watermark { window: account.window_at(account.window.start()), to: Nanos(to) });
        }
    }
    marks
}

/// Where a watermark is raised to: what is needed, or a step. A step is a part of what remains, so only what is needed
/// can be over the limit, as it may be under a soft budget.
fn raise(account: &Account, rule: &Rule, limit: i64, needed: i64) -> i64 {
    let most = if rule.unit == Unit::Money { STEP_MONEY } else { STEP_REQUESTS };
    let step = (limit.saturating_sub(account.watermark) / STEP_PART).clamp(0, most);
    needed.max(account.watermark.saturating_add(step))
}

/// Holds the amounts.
fn hold(state: &mut State, bound: &Bound, fitted: &Fitted, lines: &[Applied]) -> Held {
    let mut parts = Vec::with_capacity(lines.len());
    let (mut hard, mut soft) = (0, 0);
    for applied in lines {
        let Some(at) = applied.account else { continue };
        let (rule, account) = (bound.rule(applied.rule), &mut state.accounts[at as usize]);
        let (start, amount) = (account.window.start(), fitted.amount(rule));
        account.take(start, amount);
        parts.push(Part { rule: applied.rule, line: applied.line, account: at, start, amount });
        match (rule.unit, rule.enforce) {
            (Unit::Money, Enforce::Hard) => hard = amount,
            (Unit::Money, Enforce::Soft) => soft = amount,
            (Unit::Requests, _) => debug_assert!(*rule.name == *AccountKey::REQUESTS_PER_MONTH),
        }
    }
    let amount = Nanos(if hard > 0 { hard } else { soft });
    Held {
        bound: bound.clone(),
        parts,
        max_output: fitted.max_output,
        squeezed: fitted.squeezed,
        amount,
        most: Nanos(fitted.most),
    }
}
