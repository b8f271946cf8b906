//! All accounts of the process, as they stand behind the lock.

use std::{collections::HashMap, sync::Arc};

use crate::{
    base::{
        account::{AccountKey, AccountState},
        map::NameMap,
    },
    config::Scope,
};

use super::{
    account::Account,
    bound::{Bound, Fresh, Inner, Place},
    hold::{Held, Who},
    report::Cursor,
    rules::{Line, Rule, Rules},
};

/// How many accounts there may be; past it, keys without an account are refused rather than forgotten.
const MOST_ACCOUNTS: usize = 1 << 20;

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
    /// How often rules were bound.
    binds: u64,
    /// Room to work in, kept between admissions.
    pub(super) scratch: Scratch,
}

/// The shares of a budget that each key has of its own.
#[derive(Debug)]
struct Group {
    budget: Arc<str>,
    /// The place of each holder among the members.
    holders: NameMap<Arc<str>, u32>,
    /// The accounts of each holder, by period. Never shrinks, so that a walk can go on where it stopped.
    members: Vec<[u32; 3]>,
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

    /// Binds rules to their accounts. Those that may lack what was spent before come along: new ones, those whose
    /// spending could not be read the last time, those that the bind before did not name.
    pub(super) fn bind(&mut self, rules: Rules, holders: &[&str], now_s: i64) -> (Bound, Vec<Fresh>) {
        self.binds += 1;
        let mut fresh = Vec::new();
        let mut places = Vec::with_capacity(rules.rules.len());
        for rule in &rules.rules {
            places.push(if rule.scope == Scope::EachKey {
                let group = self.group(&rule.name);
                for holder in [AccountKey::NOBODY].iter().chain(holders) {
                    for line in 0..rule.lines.len() {
                        let at = self.share(rule, group, line, holder, now_s);
                        fresh.extend(at.and_then(|at| self.name(rule, at, now_s)));
                    }
                }
                Place::Each(group)
            } else {
                let mut open = |line: usize| {
                    let at = self.open(rule, line, rule.holder.clone(), now_s);
                    fresh.extend(self.name(rule, at, now_s));
                    at
                };
                Place::Fixed((0..rule.lines.len()).map(&mut open).collect())
            });
        }
        for account in self.accounts.iter_mut().filter(|account| account.bind != self.binds) {
            // From here on others may spend in its scope without its being told.
            account.seeded = false;
        }
        (Bound(Arc::new(Inner { rules, places })), fresh)
    }

    /// Notes that the present bind names an account.
    fn name(&mut self, rule: &Rule, at: u32, now_s: i64) -> Option<Fresh> {
        let account = &mut self.accounts[at as usize];
        account.bind = self.binds;
        let before = account.scope.replace(Arc::clone(&rule.scope_text));
        // What is counted from now on was not before.
        account.seeded &= before.is_none_or(|before| before == rule.scope_text);
        account.advance(&rule.zone, now_s);
        let scope = || match &rule.scope {
            Scope::EachKey => Scope::Key(account.key.holder.to_string()),
            other => other.clone(),
        };
        (!account.seeded).then(|| Fresh { window: account.window_at(account.window.start()), scope: scope() })
    }

    fn group(&mut self, budget: &Arc<str>) -> u32 {
        let known = self.groups.iter().position(|group| group.budget == *budget);
        let at = known.unwrap_or_else(|| {
            self.groups.push(Group {
                budget: budget.clone(),
                holders: NameMap::default(),
                members: Vec::new(),
            });
            self.groups.len() - 1
        });
        at as u32
    }

    /// The account of a limit, opened where there is none.
    fn open(&mut self, rule: &Rule, line: usize, holder: Arc<str>, now_s: i64) -> u32 {
        let key = AccountKey { budget: rule.name.clone(), holder, period: rule.lines[line].period };
        if let Some(at) = self.index.get(&key) {
            return *at;
        }
        let durable = self.known.remove(&key);
        let at = self.accounts.len() as u32;
        let mut account = Account::new(key.clone(), &rule.zone, now_s, durable.as_ref());
        // What the ledger knew at the start is old by the second bind.
        account.seeded &= self.binds <= 1;
        self.accounts.push(account);
        self.index.insert(key, at);
        at
    }

    /// A key's account of a limit, opened where there is none and room for one.
    fn share(&mut self, rule: &Rule, group: u32, line: usize, holder: &str, now_s: i64) -> Option<u32> {
        let period = rule.lines[line].period as usize;
        let Group { holders, members, .. } = &self.groups[group as usize];
        let known = holders.get(holder).copied();
        if let Some(at) = known.map(|member| members[member as usize][period]).filter(|at| *at != NONE) {
            return Some(at);
        }
        if self.accounts.len() >= MOST_ACCOUNTS {
            return None;
        }
        let name = holders.get_key_value(holder).map_or_else(|| Arc::from(holder), |(name, _)| name.clone());
        let at = self.open(rule, line, Arc::clone(&name), now_s);
        let Group { holders, members, .. } = &mut self.groups[group as usize];
        let member = known.unwrap_or_else(|| {
            members.push([NONE; 3]);
            let member = members.len() as u32 - 1;
            holders.insert(name, member);
            member
        });
        members[member as usize][period] = at;
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
                let holder = if who.key.is_empty() { AccountKey::NOBODY } else { who.key };
                self.share(rule, *group, line, holder, now_s)?
            }
        };
        let account = &mut self.accounts[at as usize];
        account.advance(&rule.zone, now_s);
        account.ask();
        Some(at)
    }

    /// Calls with at most so many accounts from a place of the list on, each with its limit, as it stands now. Where
    /// there are more, says where to go on.
    pub(super) fn walk(
        &mut self,
        bound: &Bound,
        from: Cursor,
        most: usize,
        now_s: i64,
        mut each: impl FnMut(&Rule, &Line, &Account),
    ) -> Option<Cursor> {
        let mut next = self.seek(bound, from);
        for _ in 0..most {
            let (Cursor { rule, line, member }, at) = next?;
            let (place, rule) = (rule, bound.rule(rule));
            let account = &mut self.accounts[at as usize];
            account.advance(&rule.zone, now_s);
            each(rule, &rule.lines[line as usize], account);
            next = self.seek(bound, Cursor { rule: place, line, member: member.saturating_add(1) });
        }
        next.map(|(place, _)| place)
    }

    /// The first account at a place of the list or behind it.
    fn seek(&self, bound: &Bound, mut at: Cursor) -> Option<(Cursor, u32)> {
        loop {
            let rule = bound.0.rules.rules.get(at.rule as usize)?;
            let Some(line) = rule.lines.get(at.line as usize) else {
                at = Cursor { rule: at.rule + 1, line: 0, member: 0 };
                continue;
            };
            let found = match &bound.0.places[at.rule as usize] {
                Place::Fixed(accounts) => (at.member == 0).then(|| accounts[at.line as usize]),
                Place::Each(group) => {
                    let members = &self.groups[*group as usize].members;
                    members.get(at.member as usize).map(|places| places[line.period as usize])
                }
            };
            match found {
                Some(NONE) => at.member += 1,
                Some(account) => return Some((at, account)),
                None => at = Cursor { line: at.line + 1, member: 0, ..at },
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
