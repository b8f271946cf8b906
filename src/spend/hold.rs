//! The leave of one attempt to spend, settled exactly once.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    base::{id::unique, money::Nanos, outcome::Outcome},
    budget::Held,
    ledger::{Ack, Entry, Kind, Unavailable},
    openai::Usage,
    price::{Price, cost},
    route::Target,
};

use super::{purse::Inner, usual::Habit};

/// What an attempt took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// What the upstream says.
    Counted(Usage),
    /// What had come when it ended, as Weir counts it.
    Produced {
        /// Tokens shown.
        output: u64,
        /// Tokens thought.
        reasoning: u64,
    },
    /// What had come of a stream when it broke off; what the model thought unseen comes on top.
    Cut {
        /// Tokens shown.
        output: u64,
        /// Tokens thought that were shown.
        reasoning: u64,
    },
    /// A whole answer that never came, though the upstream may have made it: what it can have made in the time.
    Lost,
    /// Another try was faster: what the model usually makes in the time.
    Overtaken,
    /// Nothing: no upstream worked on it.
    Nothing,
}

/// The leave of one attempt. One that is dropped counts as abandoned by the client.
#[must_use = "an attempt's money is held until it is settled"]
pub struct Hold {
    pub(super) purse: Arc<Inner>,
    pub(super) held: Option<Held>,
    pub(super) target: Arc<Target>,
    /// Where its target stood in the chain, from 1; 0: behind an answer that failed its checks.
    pub(super) position: u32,
    /// When it was admitted, in milliseconds since 1970.
    pub(super) time: i64,
    /// When it was sent; before that, when its request began.
    pub(super) begun: Instant,
    pub(super) first_byte: Option<Duration>,
    /// What the checks of its answer found.
    pub(super) quality: Option<&'static str>,
    /// Which attempt of the request it is, from 1; 0: nothing was sent.
    pub(super) number: u32,
    /// The time of the request before it in which no attempt was under way.
    pub(super) idle: Duration,
}

/// What became of a settled attempt.
#[derive(Debug)]
pub struct Posted {
    /// What it cost.
    pub cost: Nanos,
    ack: Option<Ack>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold")
            .field("target", &self.target.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Hold {
    /// The most tokens that an answer may have, where that is less than client and model allow: it has to be written
    /// into the upstream's request.
    pub fn max_output(&self) -> Option<u64> {
        let held = self.held.as_ref()?;
        // What Weir only assumes of the provider has to be said, where money depends on it.
        let assumed = || self.purse.demand.assumed_limit().filter(|_| held.amount > Nanos::ZERO);
        held.max_output.or_else(assumed)
    }

    /// The request goes out `now`: from here on it may cost something.
    pub fn sent(&mut self, now: Instant) {
        self.begun = now;
        self.idle = self.purse.began(self.begun);
        self.number = self.purse.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        // A provider may refuse what was asked for so; the answer that comes has the last word.
        let squeezed = self.held.as_ref().is_some_and(|held| held.squeezed);
        self.purse.squeezed.fetch_or(squeezed, Ordering::Relaxed);
    }

    /// The first content came.
    pub fn first_content(&mut self) {
        self.first_byte.get_or_insert_with(|| self.begun.elapsed());
        let lowered = self.held.as_ref().and_then(|held| held.max_output);
        self.purse.lowered.store(lowered.unwrap_or(0), Ordering::Relaxed);
        let squeezed = self.held.as_ref().is_some_and(|held| held.squeezed);
        self.purse.squeezed.store(squeezed, Ordering::Relaxed);
    }

    /// Which attempt of the request it is, from 1; 0: nothing was sent.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The answer was checked, with this result in a word.
    pub fn judged(&mut self, quality: Option<&'static str>) {
        self.quality = quality;
    }

    /// Settles the attempt, which is over `now`: posts what it cost, releases the rest.
    pub fn settle(mut self, outcome: Outcome, spent: Spent, now: Instant) -> Posted {
        self.close(outcome, spent, now)
    }

    fn close(&mut self, outcome: Outcome, spent: Spent, now: Instant) -> Posted {
        let Some(held) = self.held.take() else {
            return Posted { cost: Nanos::ZERO, ack: None };
        };
        self.purse.closed(&held);
        if self.number == 0 {
            self.purse.put_back(held, &self.target);
            return Posted { cost: Nanos::ZERO, ack: None };
        }
        let took = now.saturating_duration_since(self.begun);
        self.purse.ended(now);
        let (usage, kind) = self.usage(spent, &held);
        let cost = self.cost(spent, &held, &usage);
        let entry = self.entry(outcome, usage, kind, cost, took);
        let charges = match spent {
            Spent::Nothing => {
                self.purse.put_back(held, &self.target);
                Vec::new()
            }
            _ => self.purse.charge(held, cost, &usage),
        };
        if let Spent::Counted(usage) = &spent {
            self.purse.till.usual.saw(&self.target, usage, took);
        }
        self.count(&entry);
        let ledger = &self.purse.till.ledger;
        // Who waits for rows that cost nothing waits for nothing.
        let ack = if self.purse.durable && cost > Nanos::ZERO {
            Some(ledger.post(entry, charges))
        } else {
            ledger.note(entry, charges);
            None
        };
        Posted { cost, ack }
    }

    /// The tokens of what was spent, and how sure they are.
    fn usage(&self, spent: Spent, held: &Held) -> (Usage, Kind) {
        let estimated = |output, reasoning| {
            let input = self.purse.demand.count_input(&self.target);
            (Usage { input, output, reasoning, ..Usage::default() }, Kind::Estimated)
        };
        match spent {
            Spent::Counted(usage) => (usage, Kind::Actual),
            Spent::Produced { output, reasoning } => estimated(output, reasoning),
            Spent::Cut { output, reasoning: 0 } => estimated(output, self.unseen(output, held)),
            Spent::Cut { output, reasoning } => estimated(output, reasoning),
            Spent::Lost => estimated(self.made(held), 0),
            Spent::Overtaken => estimated(self.made_at(self.usual(), held), 0),
            Spent::Nothing => (Usage::default(), Kind::Actual),
        }
    }

    /// What a model that thinks may have thought unseen: as it usually does before it shows something, else as much as
    /// it can have made in the time.
    fn unseen(&self, output: u64, held: &Held) -> u64 {
        match (self.target.capabilities.reasoning, output) {
            (Some(true), 0) => self.made(held),
            (Some(true), _) => self.usual().reasoning.min(self.allowed(held)),
            _ => 0,
        }
    }

    /// What the model has made in the time that passed, no more than it was allowed: at its usual pace, or under a
    /// budget at the highest that there is, since nothing may be spent that is not counted.
    fn made(&self, held: &Held) -> u64 {
        let pace = if held.amount > Nanos::ZERO { Habit::FASTEST } else { self.usual() };
        self.made_at(pace, held)
    }

    fn made_at(&self, pace: Habit, held: &Held) -> u64 {
        let each = pace.made_in(self.begun.elapsed()).min(self.allowed(held));
        each.saturating_mul(self.purse.demand.answers())
    }

    fn usual(&self) -> Habit {
        self.purse.till.usual.of(&self.target)
    }

    /// The most tokens that an answer may have.
    fn allowed(&self, held: &Held) -> u64 {
        held.max_output.unwrap_or_else(|| self.purse.demand.wanted(&self.target))
    }

    /// What was spent. An estimate is never more than what was held for it.
    fn cost(&self, spent: Spent, held: &Held, usage: &Usage) -> Nanos {
        let by_count = self.target.price.as_deref().map_or(Nanos::ZERO, |price| cost(price, usage));
        match spent {
            Spent::Cut { .. } | Spent::Lost | Spent::Overtaken if held.amount > Nanos::ZERO => {
                by_count.min(held.amount)
            }
            _ => by_count,
        }
    }

    fn entry(&self, outcome: Outcome, usage: Usage, kind: Kind, spent: Nanos, took: Duration) -> Entry {
        let purse = &self.purse;
        let would = |price: &Option<Arc<Price>>| price.as_ref().map(|price| cost(price, &usage));
        Entry {
            id: unique(),
            origin: Arc::clone(purse.origin()),
            attempt: self.number,
            time: self.time,
            model: Some(Arc::clone(&self.target.name)),
            provider: Some(Arc::clone(&self.target.provider)),
            position: self.position,
            kind,
            outcome: outcome.as_str(),
            quality: self.quality,
            usage,
            cost: spent,
            priced: self.target.price.is_some(),
            // The baseline model is asked once, and a chain that answered has no first choice any more.
            baseline: would(&purse.baseline).map(|cost| if self.position == 0 { Nanos::ZERO } else { cost }),
            first_choice: would(&purse.first_choice).filter(|_| self.position > 0),
            first_byte_ms: self.first_byte.map(millis),
            duration_ms: millis(took),
            overhead_us: micros(self.idle),
            budget: None,
        }
    }

    fn count(&self, entry: &Entry) {
        let metrics = &self.purse.till.metrics;
        let (model, provider) = (self.target.label(), &*self.target.provider);
        metrics.cost(model, provider, entry.cost);
        if !entry.priced {
            metrics.unpriced(model, provider);
        }
        if let Some(baseline) = entry.baseline.filter(|_| entry.priced) {
            // A try that did not answer saved nothing; what it cost takes from what the one that did saved.
            let worth = if entry.answered() { baseline } else { Nanos::ZERO };
            metrics.saved("routing", worth.saturating_sub(entry.cost));
            if entry.answered() {
                let mut sum = self.purse.worth.lock().unwrap_or_else(PoisonError::into_inner);
                *sum = Some(sum.unwrap_or_default().saturating_add(baseline));
            }
        }
        if let Some(first) = entry.first_choice.filter(|_| entry.position > 1 && entry.priced) {
            metrics.fallback_cost(&self.purse.route_label, entry.cost.saturating_sub(first));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.close(Outcome::ClientLeft, Spent::Lost, Instant::now());
    }
}

impl Posted {
    /// Whether somebody waits until the row is on the disk.
    pub fn is_awaited(&self) -> bool {
        self.ack.is_some()
    }

    /// Waits until the row is on the disk, where the configuration says so.
    ///
    /// # Errors
    /// [`Unavailable`]: the ledger cannot write now. The row is kept and written as soon as it can.
    pub fn poll_recorded(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unavailable>> {
        let Some(ack) = &mut self.ack else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(ack).poll(cx));
        self.ack = None;
        Poll::Ready(result)
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
