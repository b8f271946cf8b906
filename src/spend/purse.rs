//! One request's leave to spend.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    base::{
        account::{Charge, Period},
        deadline::Deadline,
        money::Nanos,
        outcome::Outcome,
    },
    budget::{Admission, Bound, Held, Who},
    ledger::{Entry, Origin},
    limit::tokens::TokenReservation,
    openai::{Ask, Usage},
    price::Price,
    route::{Entries, Target},
};

use super::{demand::Demand, hold::Hold, till::Till, unfunded::Unfunded};

/// What a purse is for.
#[derive(Debug)]
pub struct Purpose {
    /// What the ledger says of the request.
    pub origin: Origin,
    /// The tags of the key alone: budgets do not count those of the client.
    pub own_tags: Arc<BTreeMap<String, String>>,
    /// The request.
    pub ask: Arc<Ask>,
    /// The budgets that it sees to its end.
    pub bound: Bound,
    /// Fields that apply where the client said nothing.
    pub defaults: Arc<[(String, String)]>,
    /// The entries of the chain, whose budgets apply.
    pub routes: Entries,
    /// The metrics label of the chain's entry.
    pub route_label: Arc<str>,
    /// The price of the chain's first choice.
    pub first_choice: Option<Arc<Price>>,
    /// The price of the model that savings are counted against.
    pub baseline: Option<Arc<Price>>,
    /// By when everything has to be over.
    pub deadline: Deadline,
    /// The most that the client lets the request cost.
    pub ceiling: Option<Nanos>,
    /// Whether an answer's end waits for the disk.
    pub durable: bool,
    /// What the request reserved of its key's tokens a minute.
    pub tokens: Option<TokenReservation>,
}

/// What a request's budgets have left: the tightest that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Of a daily limit.
    pub daily: Option<Nanos>,
    /// Of a monthly limit.
    pub monthly: Option<Nanos>,
}

/// One request's leave to spend; clones share it.
#[derive(Clone, Debug)]
pub struct Purse(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) till: Arc<Till>,
    origin: Arc<Origin>,
    /// The same with the tier that a budget sent it to.
    downgraded: OnceLock<Arc<Origin>>,
    pub(super) demand: Demand,
    pub(super) route_label: Arc<str>,
    pub(super) first_choice: Option<Arc<Price>>,
    pub(super) baseline: Option<Arc<Price>>,
    pub(super) durable: bool,
    pub(super) begun: Instant,
    pub(super) deadline: Deadline,
    /// Whether a row says that the request came to nothing.
    noted: AtomicBool,
    /// Whether an answer failed its checks, so that what follows is beside the chain.
    escalated: AtomicBool,
    pub(super) attempts: AtomicU32,
    pub(super) bound: Bound,
    routes: Entries,
    own_tags: Arc<BTreeMap<String, String>>,
    pub(super) ceiling: Option<Nanos>,
    pub(super) cost: AtomicI64,
    /// What the attempts under way may cost.
    pub(super) out: AtomicI64,
    /// What the answer would have cost on the baseline model; `None`: that is not known.
    pub(super) worth: Mutex<Option<Nanos>>,
    /// The tokens of all attempts so far.
    used: AtomicU64,
    pub(super) lowered: AtomicU64,
    pub(super) squeezed: AtomicBool,
    open: Mutex<Open>,
}

/// What is held for the request beside its attempts.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// What is held for the next attempt, and for which target.
    pub(super) spare: Option<(Held, Arc<Target>)>,
    /// What counts the request for the quota of its key, until an attempt of it was settled.
    pub(super) count: Option<Held>,
    /// Whether an attempt was settled.
    pub(super) counted: bool,
    /// How many attempts are under way, and since when there is one.
    under_way: u32,
    busy_since: Option<Instant>,
    /// The time before that in which attempts were under way.
    busy: Duration,
    /// Whether it goes on past soft limits, on a cheaper route.
    pub(super) downgraded: bool,
    tokens: Option<TokenReservation>,
}

impl Purse {
    /// Opens the purse of one request.
    ///
    /// # Errors
    /// The ledger cannot write now.
    pub fn open(till: &Arc<Till>, purpose: Purpose) -> Result<Self, Unfunded> {
        till.ledger.check().map_err(|_| Unfunded::Ledger)?;
        Ok(Self(Arc::new(Inner {
            till: Arc::clone(till),
            origin: Arc::new(purpose.origin),
            downgraded: OnceLock::new(),
            demand: Demand::new(purpose.ask, purpose.defaults),
            route_label: purpose.route_label,
            first_choice: purpose.first_choice,
            baseline: purpose.baseline,
            durable: purpose.durable,
            begun: Instant::now(),
            deadline: purpose.deadline,
            noted: AtomicBool::new(false),
            escalated: AtomicBool::new(false),
            attempts: AtomicU32::new(0),
            bound: purpose.bound,
            routes: purpose.routes,
            own_tags: purpose.own_tags,
            ceiling: purpose.ceiling,
            cost: AtomicI64::new(0),
            out: AtomicI64::new(0),
            worth: Mutex::new(None),
            used: AtomicU64::new(0),
            lowered: AtomicU64::new(0),
            squeezed: AtomicBool::new(false),
            open: Mutex::new(Open { tokens: purpose.tokens, ..Open::default() }),
        })))
    }

    /// From here on the request is answered by a cheaper route, past limits that are soft.
    pub fn downgrade(&self) {
        self.0.lock().downgraded = true;
    }

    /// From here on attempts are made because an answer failed its checks.
    pub fn escalate(&self) {
        self.0.escalated.store(true, Ordering::Relaxed);
    }

    /// A budget sent it to this route: where tiers are told apart, that is its tier from here on.
    pub fn goes_to(&self, route: Arc<str>) {
        let origin = &self.0.origin;
        if origin.complexity.is_some() {
            // A request is sent elsewhere once.
            let _ = self.0.downgraded.set(Arc::new(Origin { tier: Some(route), ..Origin::clone(origin) }));
        }
    }

    /// The tier that a budget sent it to.
    pub fn cheaper_tier(&self) -> Option<Arc<str>> {
        self.0.downgraded.get()?.tier.clone()
    }

    /// Holds what an attempt on this target may cost, for the attempt that follows. `wait`: for other attempts to
    /// settle, also where only this target's own budget has no room.
    ///
    /// # Errors
    /// Why it may not be made.
    pub async fn ready(&self, target: &Arc<Target>, wait: bool) -> Result<(), Unfunded> {
        let held = self.admit(target, wait).await?;
        self.0.lock().spare = Some((held, Arc::clone(target)));
        Ok(())
    }

    /// The leave for an attempt on this target, the one at this position of the chain, from 1.
    ///
    /// # Errors
    /// Why it may not be made.
    pub async fn hold(&self, target: &Arc<Target>, position: u32) -> Result<Hold, Unfunded> {
        let spare = self.0.lock().spare.take_if(|(_, for_target)| Arc::ptr_eq(for_target, target));
        let held = match spare {
            Some((held, _)) => held,
            None => self.admit(target, false).await?,
        };
        self.0.out.fetch_add(held.most.0, Ordering::Relaxed);
        Ok(Hold {
            purse: Arc::clone(&self.0),
            held: Some(held),
            target: Arc::clone(target),
            position: if self.0.escalated.load(Ordering::Relaxed) { 0 } else { position },
            time: self.0.till.clock.millis(),
            begun: self.0.begun,
            first_byte: None,
            quality: None,
            number: 0,
            idle: Duration::ZERO,
        })
    }

    /// Waits for leave: for the ledger where it has to allow more, for others to settle where that may help.
    async fn admit(&self, target: &Arc<Target>, wait: bool) -> Result<Held, Unfunded> {
        let inner = &*self.0;
        if inner.bound.is_empty() && inner.ceiling.is_none() {
            return Ok(Held::free());
        }
        match inner.ask(target, false)? {
            Admission::Held(held) => Ok(held),
            // Boxed, as what is seldom run: else its future would be a part of every request's.
            first => Box::pin(inner.insist(target, wait, first)).await,
        }
    }

    /// An attempt has content: nothing is held for another one any more.
    pub fn won(&self) {
        let spare = self.0.lock().spare.take();
        if let Some((held, _)) = spare {
            self.0.till.accounts.void(held, self.0.till.clock.seconds());
        }
    }

    /// Writes down that the request came to nothing, by the code that the client sees.
    pub fn refused(&self, code: &'static str) {
        let inner = &*self.0;
        if inner.attempts.load(Ordering::Relaxed) > 0 {
            // Its attempts stand there already.
            return;
        }
        inner.noted.store(true, Ordering::Relaxed);
        let entry = Entry::refused(Arc::clone(inner.origin()), inner.till.clock.millis(), code);
        inner.till.ledger.note(entry, Vec::new());
    }

    /// What all its tries so far cost less than the answer would have on the baseline model, as the ledger says;
    /// `None`: that is not known.
    pub fn saved(&self) -> Option<Nanos> {
        let worth = *self.0.worth.lock().unwrap_or_else(PoisonError::into_inner);
        worth.map(|worth| worth.saturating_sub(self.cost()))
    }

    /// What the request has cost so far.
    pub fn cost(&self) -> Nanos {
        Nanos(self.0.cost.load(Ordering::Relaxed))
    }

    /// The output limit that a budget set for the attempt that has content.
    pub fn max_output(&self) -> Option<u64> {
        Some(self.0.lowered.load(Ordering::Relaxed)).filter(|lowered| *lowered > 0)
    }

    /// Whether some attempt had a lower output limit for want of money.
    pub fn squeezed(&self) -> bool {
        self.0.squeezed.load(Ordering::Relaxed)
    }

    /// What the tightest budgets have left.
    pub fn remaining(&self) -> Remaining {
        let inner = &*self.0;
        if inner.bound.is_empty() {
            return Remaining::default();
        }
        let (periods, now) = ([Period::Daily, Period::Monthly], inner.till.clock.seconds());
        let [daily, monthly] = inner.till.accounts.remaining(&inner.bound, &inner.who(), periods, now);
        Remaining { daily, monthly }
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, Open> {
        // Every change under this lock is one assignment, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its rows say of the request.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        self.downgraded.get().unwrap_or(&self.origin)
    }

    pub(super) fn who(&self) -> Who<'_> {
        Who { key: &self.origin.key, tags: &self.own_tags, routes: &self.routes }
    }

    /// An attempt is sent; gives the time of the request so far in which none was under way.
    pub(super) fn began(&self, now: Instant) -> Duration {
        let mut open = self.lock();
        open.under_way += 1;
        let since = *open.busy_since.get_or_insert(now);
        now.saturating_duration_since(self.begun).saturating_sub(open.busy + (now - since))
    }

    /// An attempt that was sent is over.
    pub(super) fn ended(&self, now: Instant) {
        let mut open = self.lock();
        open.under_way = open.under_way.saturating_sub(1);
        if open.under_way == 0 {
            let since = open.busy_since.take();
            open.busy += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        }
    }

    /// What was held for an attempt is settled or kept from here on.
    pub(super) fn closed(&self, held: &Held) {
        self.out.fetch_sub(held.most.0, Ordering::Relaxed);
    }

    /// Keeps what an attempt did not need for the next one.
    pub(super) fn put_back(&self, held: Held, target: &Arc<Target>) {
        let before = self.lock().spare.replace((held, Arc::clone(target)));
        if let Some((held, _)) = before {
            self.till.accounts.void(held, self.till.clock.seconds());
        }
    }

    /// Posts what an attempt cost to the accounts; gives what the ledger has to add.
    pub(super) fn charge(&self, held: Held, cost: Nanos, usage: &Usage) -> Vec<Charge> {
        self.cost.fetch_add(cost.0, Ordering::Relaxed);
        let tokens = usage.prompt().saturating_add(usage.completion());
        // Bounded, so that no sum of them overflows.
        self.used.fetch_add(tokens.min(u64::from(u32::MAX)), Ordering::Relaxed);
        let count = {
            let mut open = self.lock();
            open.counted = true;
            open.count.take()
        };
        let mut charges = self.settle(held, cost);
        if let Some(count) = count {
            charges.extend(self.settle(count, Nanos::ZERO));
        }
        charges
    }

    fn settle(&self, held: Held, cost: Nanos) -> Vec<Charge> {
        if held.is_free() {
            return Vec::new();
        }
        let settled = self.till.accounts.settle(held, cost, self.till.clock.seconds());
        for overrun in &settled.overruns {
            tracing::warn!(budget = %overrun.budget, by = %overrun.by, "an upstream took more than it was allowed");
            self.till.metrics.overrun(&overrun.budget);
        }
        if !settled.marks.is_empty() {
            // In front of the charges: what others hold is covered on the disk when these are. Nobody waits for it.
            drop(self.till.ledger.raise(settled.marks));
        }
        self.till.alert(settled.crossed);
        settled.charges
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.attempts.get_mut() == 0 && !*self.noted.get_mut() {
            // Its client left before the first try.
            let (origin, code) = (Arc::clone(self.origin()), Outcome::ClientLeft.as_str());
            let entry = Entry::refused(origin, self.till.clock.millis(), code);
            self.till.ledger.note(entry, Vec::new());
        }
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        for held in open.spare.take().map(|(held, _)| held).into_iter().chain(open.count.take()) {
            self.till.accounts.void(held, self.till.clock.seconds());
        }
        if let Some(tokens) = open.tokens.take() {
            tokens.correct(self.used.load(Ordering::Relaxed), Instant::now());
        }
    }
}
