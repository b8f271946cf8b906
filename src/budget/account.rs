//! One account: what was spent, held, allowed in its window.

use std::sync::Arc;

use crate::base::{
    account::{AccountKey, AccountState, AccountWindow, Period},
    calendar::Zone,
};

use super::window::Window;

/// An account. Amounts are nanodollars, or requests where it counts those.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: AccountKey,
    pub(super) window: Window,
    pub(super) posted: i64,
    pub(super) held: i64,
    holds: u32,
    pub(super) watermark: i64,
    /// How often more was spent than held.
    pub(super) overruns: u64,
    /// Whether what was spent before somebody looked after it is in it, as far as the ledger knows.
    pub(super) seeded: bool,
    /// The latest bind that named it.
    pub(super) bind: u64,
    /// What it counted by that bind.
    pub(super) scope: Option<Arc<str>>,
    /// Whether somebody asked in this window, so that the ledger may have raised its watermark.
    asked: bool,
    /// One a window that was used, until its watermark is known to be lowered.
    past: Vec<Past>,
}

/// A window that is over, whose watermark the ledger has to lower when nothing is held there any more.
#[derive(Debug)]
struct Past {
    start: i64,
    holds: u32,
    since: i64,
}

impl Account {
    pub(super) fn new(key: AccountKey, zone: &Zone, now_s: i64, durable: Option<&AccountState>) -> Self {
        let start = durable.map(|state| state.window.start);
        let window = Window::new(zone, key.period, now_s, start);
        let mut account = Self {
            key,
            window,
            posted: 0,
            held: 0,
            holds: 0,
            watermark: 0,
            overruns: 0,
            seeded: false,
            bind: 0,
            scope: None,
            asked: false,
            past: Vec::new(),
        };
        if let Some(state) = durable {
            account.restore(state);
        }
        account
    }

    /// Takes over what the ledger knows of the present window, or of a later one. What is known here already is never
    /// lowered.
    pub(super) fn restore(&mut self, state: &AccountState) {
        if state.window.start > self.window.start() {
            self.window = Window::from(state.window.start);
            (self.posted, self.held, self.holds, self.watermark) = (0, 0, 0, 0);
        }
        if state.window.start == self.window.start() {
            self.posted = self.posted.max(state.posted.0);
            self.watermark = self.watermark.max(state.watermark.0).max(self.used());
            self.seeded = true;
        }
    }

    pub(super) fn period(&self) -> Period {
        self.key.period
    }

    /// What is spent or held.
    pub(super) fn used(&self) -> i64 {
        self.posted.saturating_add(self.held)
    }

    /// Moves on to the window around a moment.
    pub(super) fn advance(&mut self, zone: &Zone, now_s: i64) {
        let start = self.window.start();
        if !self.window.advance(zone, self.key.period, now_s) {
            return;
        }
        // Also where all was spent that was allowed: a raise may be under way that nobody waits for any more.
        if self.asked || self.holds > 0 || self.watermark > self.posted {
            self.past.push(Past { start, holds: self.holds, since: now_s });
        }
        (self.posted, self.held, self.holds, self.watermark) = (0, 0, 0, 0);
        self.asked = false;
    }

    /// Notes that somebody asks in the present window.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Holds an amount in a window, which is the present one but for a hold that is put back.
    pub(super) fn take(&mut self, start: i64, amount: i64) {
        if start == self.window.start() {
            self.held = self.held.saturating_add(amount);
            self.holds += 1;
        } else if let Some(past) = self.past.iter_mut().find(|past| past.start == start) {
            past.holds += 1;
        }
    }

    /// Gives back what was held.
    pub(super) fn release(&mut self, start: i64, amount: i64, now_s: i64) {
        if start == self.window.start() {
            self.held = self.held.saturating_sub(amount);
            self.holds = self.holds.saturating_sub(1);
        } else if let Some(past) = self.past.iter_mut().find(|past| past.start == start) {
            past.holds = past.holds.saturating_sub(1);
            past.since = now_s;
        }
    }

    /// Adds what was spent; whether the watermark had to follow. What was spent in a window that is over changes
    /// nothing here.
    pub(super) fn post(&mut self, start: i64, amount: i64) -> bool {
        if start != self.window.start() {
            return false;
        }
        self.posted = self.posted.saturating_add(amount);
        let follows = self.used() > self.watermark;
        self.watermark = self.watermark.max(self.used());
        follows
    }

    pub(super) fn window_at(&self, start: i64) -> AccountWindow {
        AccountWindow { account: self.key.clone(), start }
    }

    /// The windows in which nothing has been held since a moment.
    pub(super) fn ended(&self, before_s: i64, out: &mut Vec<AccountWindow>) {
        let over = self.past.iter().filter(|past| past.holds == 0 && past.since <= before_s);
        out.extend(over.map(|past| self.window_at(past.start)));
    }

    /// Forgets a window whose watermark was lowered, unless something is held there again.
    pub(super) fn closed(&mut self, start: i64) {
        self.past.retain(|past| past.start != start || past.holds > 0);
    }
}
