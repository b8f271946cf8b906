//! One request's leave to spend.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    base::{
        account::{Charge, Period},
        deadline::Deadline,
        money::Nanos,
        outcome::Outcome,
    },
    budget::{Action, Admission, Ask as Wish, Bound, Estimate, Exceeded, Held, TargetName, Unit, Who},
    ledger::{Entry, Origin},
    limit::tokens::TokenReservation,
    openai::{Ask, Attachment, Usage},
    price::Price,
    route::{Entries, Target},
};

use super::{demand::Demand, hold::Hold, till::Till, unfunded::Unfunded};

/// How long a request waits for others to settle what they hold, before it does not fit.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits for the ledger to allow more: a disk that hangs is one that cannot record.
const RAISE_PATIENCE: Duration = Duration::from_secs(1);

/// What a picture and a file count as where only the client limits the cost: as budgets do by default.
const ASSUMED: Attachment = Attachment { picture: 4096, file: 131_072 };

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
    deadline: Deadline,
    /// Whether a row says that the request came to nothing.
    noted: AtomicBool,
    /// Whether an answer failed its checks, so that what follows is beside the chain.
    escalated: AtomicBool,
    pub(super) attempts: AtomicU32,
    bound: Bound,
    routes: Entries,
    own_tags: Arc<BTreeMap<String, String>>,
    ceiling: Option<Nanos>,
    cost: AtomicI64,
    /// What the attempts under way may cost.
    out: AtomicI64,
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
struct Open {
    /// What is held for the next attempt, and for which target.
    spare: Option<(Held, Arc<Target>)>,
    /// What counts the request for the quota of its key, until an attempt of it was settled.
    count: Option<Held>,
    /// Whether an attempt was settled.
    counted: bool,
    /// How many attempts are under way, and since when there is one.
    under_way: u32,
    busy_since: Option<Instant>,
    /// The time before that in which attempts were under way.
    busy: Duration,
    /// Whether it goes on past soft limits, on a cheaper route.
    downgraded: bool,
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
        let till = &inner.till;
        if inner.bound.is_empty() && inner.ceiling.is_none() {
            return Ok(Held::free());
        }
        let (mut tight, mut listens) = (false, false);
        loop {
            // Anew each time: what runs beside it may have taken its share of the request's own limit.
            let estimate = inner.estimate(target, tight)?;
            // Listened to before asking, where it may have to wait: a release between the two must not be missed.
            let mut changed = pin!(listens.then(|| till.accounts.changed()));
            if let Some(changed) = changed.as_mut().as_pin_mut() {
                changed.enable();
            }
            let (swap, swap_for) = inner.lock().spare.take().unzip();
            let wish = inner.wish(target, estimate);
            match till.accounts.admit(&inner.bound, &wish, swap, till.clock.seconds()) {
                Admission::Held(mut held) => {
                    if let Some(count) = held.take_count() {
                        inner.lock().count = Some(count);
                    }
                    return Ok(held);
                }
                Admission::Raise { marks, swap: kept } => {
                    // Back in its place while this waits: a client that leaves now must not leave it held for ever.
                    inner.lock().spare = kept.zip(swap_for);
                    let raised = timeout(RAISE_PATIENCE, till.ledger.raise(marks.clone())).await;
                    raised.ok().and_then(Result::ok).ok_or(Unfunded::Ledger)?;
                    till.accounts.raised(&marks);
                }
                Admission::Exceeded(exceeded) if !tight && counting_may_help(&exceeded) => {
                    tight = true;
                }
                Admission::Exceeded(exceeded) => {
                    let waits = exceeded.may_free && (wait || !exceeded.target_only);
                    let until = inner.deadline.at_most(inner.begun, PATIENCE).instant();
                    let goes_on = match changed.as_mut().as_pin_mut() {
                        _ if !waits => false,
                        Some(changed) => timeout_at(until, changed).await.is_ok(),
                        None => {
                            listens = true;
                            true
                        }
                    };
                    if !goes_on {
                        till.metrics.refused(&exceeded.budget, action(&exceeded));
                        return Err(Unfunded::Budget(exceeded));
                    }
                }
            }
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
    fn lock(&self) -> MutexGuard<'_, Open> {
        // Every change under this lock is one assignment, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its rows say of the request.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        self.downgraded.get().unwrap_or(&self.origin)
    }

    fn who(&self) -> Who<'_> {
        Who { key: &self.origin.key, tags: &self.own_tags, routes: &self.routes }
    }

    /// What an attempt on the target may cost.
    fn estimate(&self, target: &Target, tight: bool) -> Result<Estimate, Unfunded> {
        let name = TargetName { model: &target.name, provider: &target.provider };
        let bounds = || self.bound.bounds(&self.who(), Some(&name));
        let Some(price) = target.price.as_ref().filter(|price| self.demand.is_priced_by(price)) else {
            return match bounds().is_some() || self.ceiling.is_some() {
                true => Err(Unfunded::Unpriced(Arc::clone(&target.name))),
                false => Ok(Demand::unpriced()),
            };
        };
        let per = || {
            bounds().map_or(ASSUMED, |bounds| Attachment {
                picture: bounds.picture_tokens,
                file: bounds.file_tokens,
            })
        };
        let usual = self.till.usual.of(target).output;
        // Attempts that run beside this one may cost all that is held for them.
        let out = self.out.load(Ordering::Relaxed);
        let spent = Nanos(self.cost.load(Ordering::Relaxed).saturating_add(out));
        let estimate = self.demand.estimate(target, price, per, tight);
        Ok(Estimate { ceiling: self.ceiling, spent, usual, ..estimate })
    }

    fn wish<'a>(&'a self, target: &'a Target, estimate: Estimate) -> Wish<'a> {
        let open = self.lock();
        Wish {
            who: self.who(),
            target: Some(TargetName { model: &target.name, provider: &target.provider }),
            estimate: Estimate { counts: !open.counted && open.count.is_none(), ..estimate },
            downgraded: open.downgraded,
        }
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

/// Whether counting tokens instead of bytes may let a try fit.
fn counting_may_help(exceeded: &Exceeded) -> bool {
    exceeded.unit == Unit::Money && exceeded.room > Nanos::ZERO
}

/// What becomes of a try that does not fit, as metrics name it.
fn action(exceeded: &Exceeded) -> &'static str {
    match exceeded.action {
        _ if exceeded.target_only => "skip",
        Action::Reject => "reject",
        Action::Downgrade(_) => "downgrade",
    }
}
