//! The book of all accounts behind one lock, never held while anything waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    base::{
        account::{AccountState, AccountWindow, Charge, Period, Watermark},
        money::Nanos,
    },
    config::Enforce,
};

use super::{
    account::Account,
    admit,
    bound::{Bound, Fresh},
    hold::{Admission, Ask, Crossed, Held, Overrun, Part, Settled, Unit, Who},
    report::{AccountReport, Cursor},
    rules::{Line, Rule, Rules},
    state::State,
};

/// How long after its last hold a window's last charge has surely been handed to the ledger, in seconds.
const SETTLED_AFTER: i64 = 60;

/// How many accounts are looked at in a row before admissions get their turn.
const CHUNK: usize = 512;

/// Every account of the process. It outlives reloads.
#[derive(Debug, Default)]
pub struct Accounts {
    state: Mutex<State>,
    changed: Notify,
}

impl Accounts {
    /// A book without accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what the ledger knows; the newest window of an account counts. For an account in use, what it knows
    /// of the present window is raised, never lowered.
    pub fn load(&self, states: Vec<AccountState>) {
        self.lock().load(states);
    }

    /// Binds rules to their accounts, opening what is missing: for budgets that each key has of its own, those of the
    /// `holders` with that of callers without a key. Those that may lack what was spent before come along, each time
    /// until [`Accounts::load`] was given it.
    pub fn bind(&self, rules: Rules, holders: &[&str], now_s: i64) -> (Bound, Vec<Fresh>) {
        self.lock().bind(rules, holders, now_s)
    }

    /// Holds what an attempt may cost in every budget that applies, if it fits in all of them. In the same step `swap`
    /// is given back, unless watermarks have to be raised first.
    pub fn admit(&self, bound: &Bound, ask: &Ask<'_>, swap: Option<Held>, now_s: i64) -> Admission {
        let frees = swap.is_some();
        let answer = admit::admit(&mut self.lock(), bound, ask, swap, now_s);
        if frees && !matches!(answer, Admission::Raise { .. }) {
            self.changed.notify_waiters();
        }
        answer
    }

    /// Notes that watermarks are durable. Those of windows that are over are passed over.
    pub fn raised(&self, marks: &[Watermark]) {
        let mut state = self.lock();
        for mark in marks {
            if let Some(account) = state.find(&mark.window.account)
                && account.window.start() == mark.window.start
            {
                account.watermark = account.watermark.max(mark.to.0);
            }
        }
    }

    /// Posts what an attempt cost, in the windows in which it was admitted, and gives back the rest.
    pub fn settle(&self, held: Held, actual: Nanos, now_s: i64) -> Settled {
        let mut settled = Settled::default();
        if held.parts.is_empty() {
            return settled;
        }
        settled.charges.reserve(held.parts.len());
        let mut state = self.lock();
        for part in &held.parts {
            let rule = held.bound.rule(part.rule);
            let account = &mut state.accounts[part.account as usize];
            settle_part(account, rule, part, actual, now_s, &mut settled);
        }
        drop(state);
        self.changed.notify_waiters();
        settled
    }

    /// Gives back all that is held for an attempt that cost nothing.
    pub fn void(&self, held: Held, now_s: i64) {
        if !held.parts.is_empty() {
            self.lock().release(&held, now_s);
            self.changed.notify_waiters();
        }
    }

    /// Wakes when something held was given back. Make it before asking: what is given back between is not missed.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What is left for somebody in the tightest budget of each of these periods; `None`: no budget limits that period.
    pub fn remaining<const N: usize>(
        &self,
        bound: &Bound,
        who: &Who<'_>,
        periods: [Period; N],
        now_s: i64,
    ) -> [Option<Nanos>; N] {
        let mut tightest = [None; N];
        let mut state = self.lock();
        bound.0.rules.applying(who, None, |at| {
            let rule = bound.rule(at as u32);
            if rule.unit != Unit::Money {
                return;
            }
            for (period, tightest) in periods.iter().zip(&mut tightest) {
                let line = rule.lines.iter().position(|line| line.period == *period);
                let Some(line) = line else { continue };
                let account = state.account_for(bound, at as u32, line, who, now_s);
                let used = account.map_or(i64::MAX, |account| state.accounts[account as usize].used());
                let left = Nanos(rule.lines[line].limit.saturating_sub(used).max(0));
                *tightest = Some(tightest.map_or(left, |other: Nanos| other.min(left)));
            }
        });
        tightest
    }

    /// Whether a hard budget of theirs has nothing left at all, so that nothing they ask for is admitted now.
    pub fn is_spent(&self, bound: &Bound, who: &Who<'_>, now_s: i64) -> bool {
        let mut spent = false;
        let mut state = self.lock();
        bound.0.rules.applying(who, None, |at| {
            let rule = bound.rule(at as u32);
            if rule.enforce != Enforce::Hard {
                return;
            }
            for (line, Line { limit, .. }) in rule.lines.iter().enumerate() {
                let account = state.account_for(bound, at as u32, line, who, now_s);
                spent |= account.is_none_or(|account| state.accounts[account as usize].used() >= *limit);
            }
        });
        spent
    }

    /// At most so many accounts of the rules from a place on, as they stand now, and where to go on if there are more.
    pub fn page(
        &self,
        bound: &Bound,
        from: Cursor,
        limit: usize,
        now_s: i64,
    ) -> (Vec<AccountReport>, Option<Cursor>) {
        let mut out = Vec::with_capacity(limit.min(CHUNK));
        let mut next = Some(from);
        while let Some(from) = next.filter(|_| out.len() < limit) {
            let most = CHUNK.min(limit - out.len());
            next = self.lock().walk(bound, from, most, now_s, |rule, line, account| {
                out.push(AccountReport::new(rule, line.limit, account));
            });
        }
        (out, next)
    }

    /// One report for each limit on money, as it stands now. Where each key has a share of its own, it has the most
    /// that any has spent with the most that any holds.
    pub fn fullest(&self, bound: &Bound, now_s: i64) -> Vec<AccountReport> {
        let mut out: Vec<AccountReport> = Vec::new();
        let mut next = Some(Cursor::default());
        while let Some(from) = next {
            next = self.lock().walk(bound, from, CHUNK, now_s, |rule, line, account| {
                if rule.unit != Unit::Money {
                    return;
                }
                match out.last_mut() {
                    Some(last) if last.budget == rule.name && last.period == line.period => {
                        last.spent = last.spent.max(Nanos(account.posted));
                        last.held = last.held.max(Nanos(account.held));
                    }
                    _ => out.push(AccountReport::new(rule, line.limit, account)),
                }
            });
        }
        out
    }

    /// Whether anything is held, in any account.
    pub fn holds(&self) -> bool {
        self.lock().accounts.iter().any(|account| account.held != 0)
    }

    /// Windows that are over and settled: their watermarks may be lowered to what was spent, so that a crash does not
    /// post the rest. Each is told until [`Accounts::closed`] hears that it was done.
    pub fn ended(&self, now_s: i64) -> Vec<AccountWindow> {
        let mut out = Vec::new();
        for from in (0..).step_by(CHUNK) {
            let state = self.lock();
            let Some(rest) = state.accounts.get(from..).filter(|rest| !rest.is_empty()) else { break };
            for account in &rest[..rest.len().min(CHUNK)] {
                account.ended(now_s.saturating_sub(SETTLED_AFTER), &mut out);
            }
        }
        out
    }

    /// Notes that the watermarks of these windows were lowered.
    pub fn closed(&self, windows: &[AccountWindow]) {
        let mut state = self.lock();
        for window in windows {
            if let Some(account) = state.find(&window.account) {
                account.closed(window.start);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Accounts {
    /// Every account of the rules, sorted by holder within each limit.
    pub(super) fn list(&self, bound: &Bound, now_s: i64) -> Vec<AccountReport> {
        let (mut out, mut next) = (Vec::new(), Some(Cursor::default()));
        while let Some(from) = next {
            let (page, after) = self.page(bound, from, 2, now_s);
            out.extend(page);
            next = after;
        }
        out.chunk_by_mut(|a, b| (&a.budget, a.period) == (&b.budget, b.period))
            .for_each(|limit| limit.sort_by(|a, b| a.holder.cmp(&b.holder)));
        out
    }
}

/// Settles what one account holds.
fn settle_part(
    account: &mut Account,
    rule: &Rule,
    part: &Part,
    actual: Nanos,
    now_s: i64,
    out: &mut Settled,
) {
    let amount = match rule.unit {
        Unit::Money => actual.0.max(0),
        Unit::Requests => part.amount,
    };
    let line = &rule.lines[part.line as usize];
    account.release(part.start, part.amount, now_s);
    if amount == 0 {
        return;
    }
    let before = account.posted;
    let overran = rule.is_hard_money() && amount > part.amount;
    account.overruns += u64::from(overran);
    if account.post(part.start, amount) {
        let window = account.window_at(part.start);
        out.marks.push(Watermark { window, to: Nanos(account.watermark) });
    }
    out.charges.push(Charge { window: account.window_at(part.start), amount: Nanos(amount) });
    let (budget, holder, period) = (&account.key.budget, &account.key.holder, account.key.period);
    if overran {
        out.overruns.push(Overrun {
            budget: budget.clone(),
            holder: holder.clone(),
            period,
            by: Nanos(amount.saturating_sub(part.amount)),
        });
    }
    for (fraction, _) in line.alerts.iter().filter(|(_, at)| before < *at && *at <= account.posted) {
        out.crossed.push(Crossed {
            budget: budget.clone(),
            holder: holder.clone(),
            period,
            fraction: *fraction,
            spent: Nanos(account.posted),
            limit: Nanos(line.limit),
        });
    }
}
