//! All accounts of the process, as they stand behind the lock.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    base::account::{AccountKey, AccountState, Period},
    config::Scope,
};

use super::{
    account::Account,
    bound::{Bound, Fresh, Inner, Place},
    hold::{Held, Who},
    rules::{Rule, Rules},
};

/// How many accounts there may be; past it, keys without an account are refused rather than forgotten.
const MOST_ACCOUNTS: usize = 1 << 20;

/// Who shares are counted under where no key was needed.
const NOBODY: &str = "-";

/// No account yet.
const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Never shrinks, so that an account keeps its place.
    pub(super) accounts: Vec<Account>,
    index: HashMap<AccountKey, u32>,
    groups: Vec<Group>,
    /// What the ledger knows of accounts that no rule has asked for.
    known: HashMap<AccountKey, AccountState>,
    /// The limits that were bound last, each with its scope: their accounts have counted everything since.
    live: HashSet<(Arc<str>, Arc<str>, Period)>,
    /// Room to work in, kept between admissions.
    pub(super) scratch: Scratch,
}

/// The shares of a budget that each key has of its own.
#[derive(Debug)]
struct Group {
    budget: Arc<str>,
    /// By holder, then by period.
    holders: HashMap<Arc<str>, [u32; 3]>,
}

/// What applies to the attempt in question.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) rules: Vec<u32>,
    pub(super) lines: Vec<Applied>,
}

/// A limit that applies, with its account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    pub(super) rule: u32,
    pub(super) line: u32,
    /// `None`: there is no room for another account.
    pub(super) account: Option<u32>,
}

impl State {
    /// Takes over what the ledger knows, the newest window of each account.
    pub(super) fn load(&mut self, states: Vec<AccountState>) {
        for state in states {
            if let Some(at) = self.index.get(&state.window.account) {
                self.accounts[*at as usize].restore(&state);
                continue;
            }
            let known = self.known.entry(state.window.account.clone()).or_insert_with(|| state.clone());
            if known.window.start < state.window.start {
                *known = state;
            }
        }
    }

    pub(super) fn bind(&mut self, rules: Rules, holders: &[&str], now_s: i64) -> (Bound, Vec<Fresh>) {
        let (mut fresh, before) = (Vec::new(), self.accounts.len());
        let mut places = Vec::with_capacity(rules.rules.len());
        for rule in &rules.rules {
            places.push(if rule.scope == Scope::EachKey {
                let group = self.group(&rule.name);
                for holder in holders {
                    for line in 0..rule.lines.len() {
                        self.share(rule, group, line, holder, now_s, Some(&mut fresh));
                    }
                }
                Place::Each(group)
            } else {
                let open = |line: usize| self.open(rule, line, rule.holder.clone(), now_s, Some(&mut fresh));
                Place::Fixed((0..rule.lines.len()).map(open).collect())
            });
        }
        let bound = Bound(Arc::new(Inner { rules, places }));
        self.returning(&bound, before, now_s, &mut fresh);
        (bound, fresh)
    }

    /// Finds the accounts of budgets that are bound again after a time without: they did not count what was spent then.
    /// `before`: how many accounts there were.
    fn returning(&mut self, bound: &Bound, before: usize, now_s: i64, fresh: &mut Vec<Fresh>) {
        let mut live = HashSet::new();
        for (at, rule) in (0..).zip(&bound.0.rules.rules) {
            for (line_at, line) in rule.lines.iter().enumerate() {
                let limit = (rule.name.clone(), rule.scope_text.clone(), line.period);
                if !self.live.contains(&limit) {
                    for account in self.accounts_of(bound, at, line_at) {
                        if (account as usize) < before {
                            let account = &mut self.accounts[account as usize];
                            account.advance(&rule.zone, now_s);
                            fresh.push(to_fill(rule, account));
                        }
                    }
                }
                live.insert(limit);
            }
        }
        self.live = live;
    }

    fn group(&mut self, budget: &Arc<str>) -> u32 {
        let known = self.groups.iter().position(|group| group.budget == *budget);
        let at = known.unwrap_or_else(|| {
            self.groups.push(Group { budget: budget.clone(), holders: HashMap::new() });
            self.groups.len() - 1
        });
        at as u32
    }

    /// The account of a limit, opened where there is none.
    fn open(
        &mut self,
        rule: &Rule,
        line: usize,
        holder: Arc<str>,
        now_s: i64,
        fresh: Option<&mut Vec<Fresh>>,
    ) -> u32 {
        let key = AccountKey { budget: rule.name.clone(), holder, period: rule.lines[line].period };
        if let Some(at) = self.index.get(&key) {
            return *at;
        }
        let durable = self.known.remove(&key);
        let account = Account::new(key.clone(), &rule.zone, now_s, durable.as_ref());
        let start = account.window.start();
        if let Some(fresh) = fresh.filter(|_| durable.is_none_or(|state| state.window.start != start)) {
            fresh.push(to_fill(rule, &account));
        }
        let at = self.accounts.len() as u32;
        self.accounts.push(account);
        self.index.insert(key, at);
        at
    }

    /// A key's account of a limit, opened where there is none and room for one.
    fn share(
        &mut self,
        rule: &Rule,
        group: u32,
        line: usize,
        holder: &str,
        now_s: i64,
        fresh: Option<&mut Vec<Fresh>>,
    ) -> Option<u32> {
        let period = rule.lines[line].period as usize;
        let holders = &self.groups[group as usize].holders;
        let known = holders.get_key_value(holder);
        if let Some(at) = known.map(|(_, places)| places[period]).filter(|at| *at != NONE) {
            return Some(at);
        }
        if self.accounts.len() >= MOST_ACCOUNTS {
            return None;
        }
        let holder: Arc<str> = known.map_or_else(|| Arc::from(holder), |(name, _)| name.clone());
        let at = self.open(rule, line, holder.clone(), now_s, fresh);
        self.groups[group as usize].holders.entry(holder).or_insert([NONE; 3])[period] = at;
        Some(at)
    }

    /// The account that a limit counts in for somebody, in the window around a moment.
    pub(super) fn account_for(
        &mut self,
        bound: &Bound,
        rule_at: u32,
        line: usize,
        who: &Who<'_>,
        now_s: i64,
    ) -> Option<u32> {
        let rule = bound.rule(rule_at);
        let at = match &bound.0.places[rule_at as usize] {
            Place::Fixed(accounts) => accounts[line],
            Place::Each(group) => {
                let holder = if who.key.is_empty() { NOBODY } else { who.key };
                self.share(rule, *group, line, holder, now_s, None)?
            }
        };
        self.accounts[at as usize].advance(&rule.zone, now_s);
        Some(at)
    }

    /// Every account that a limit counts in.
    pub(super) fn accounts_of(&self, bound: &Bound, rule_at: u32, line: usize) -> Vec<u32> {
        match &bound.0.places[rule_at as usize] {
            Place::Fixed(accounts) => vec![accounts[line]],
            Place::Each(group) => {
                let period = bound.rule(rule_at).lines[line].period as usize;
                let shares = self.groups[*group as usize].holders.values();
                let mut found: Vec<u32> =
                    shares.map(|places| places[period]).filter(|at| *at != NONE).collect();
                found.sort_unstable_by_key(|at| &self.accounts[*at as usize].key.holder);
                found
            }
        }
    }

    pub(super) fn find(&mut self, key: &AccountKey) -> Option<&mut Account> {
        self.index.get(key).map(|at| &mut self.accounts[*at as usize])
    }

    /// Gives back all that is held for an attempt.
    pub(super) fn release(&mut self, held: &Held, now_s: i64) {
        for part in &held.parts {
            self.accounts[part.account as usize].release(part.start, part.amount, now_s);
        }
    }

    /// Takes back what was just given back.
    pub(super) fn retake(&mut self, held: &Held) {
        for part in &held.parts {
            self.accounts[part.account as usize].take(part.start, part.amount);
        }
    }
}

/// An account that does not count yet what was spent in its scope.
fn to_fill(rule: &Rule, account: &Account) -> Fresh {
    let scope = match &rule.scope {
        Scope::EachKey => Scope::Key(account.key.holder.to_string()),
        other => other.clone(),
    };
    Fresh { window: account.window_at(account.window.start()), scope }
}
