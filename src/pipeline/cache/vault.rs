//! Kept answers with the questions under way: how each request gets its answer from them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::Instant;

use crate::{
    cache::{
        flight::{Flights, Joined},
        key::Key,
        store::{Era, Slot, Store, Which},
    },
    config,
    metrics::{Metrics, cache::CacheMetrics},
    spend::Till,
};

use super::{
    super::{answer::Answer, job::Missed, refusal::Refusal},
    Maker, Question,
    asking::Asking,
    fly::Note,
    head::{Head, Turned},
    mode::Mode,
    standby::may_stand_in,
};

/// Kept answers with the questions under way.
#[derive(Debug)]
pub struct Vault {
    pub(super) store: Store<Note>,
    pub(super) flights: Arc<Flights<Head, Turned>>,
    pub(super) till: Arc<Till>,
    pub(super) metrics: CacheMetrics,
    /// Whether answers are kept: what was asked for before that ended may come later.
    on: AtomicBool,
    pub(super) mode: Mode,
}

impl Vault {
    /// An empty one.
    pub fn new(settings: &config::Cache, metrics: &Metrics, till: &Arc<Till>) -> Arc<Self> {
        Arc::new(Self {
            store: Store::new(settings.max_bytes.bytes(), settings.max_answer.bytes()),
            flights: Flights::new(settings.max_flight_bytes.bytes()),
            on: AtomicBool::new(settings.enabled),
            till: Arc::clone(till),
            metrics: metrics.cache().clone(),
            mode: Mode::new(metrics.cache().clone()),
        })
    }

    /// Takes on other settings: answers go where there is less room, or none.
    pub fn reload(&self, settings: &config::Cache) {
        self.store.resize(settings.max_bytes.bytes());
        self.flights.resize(settings.max_flight_bytes.bytes());
        if self.on.swap(settings.enabled, Ordering::SeqCst) != settings.enabled {
            self.purge(&Which::All);
        }
        self.show();
    }

    /// Throws answers away; gives how many. Those under way are not kept, and nobody who comes now gets them.
    pub fn purge(&self, which: &Which) -> usize {
        let purged = self.store.purge(which);
        self.flights.close();
        self.show();
        purged
    }

    /// Looks which routes still live on answers that stand in, under this configuration.
    pub fn look(&self, config: &config::Config) {
        self.mode.look(|subject| may_stand_in(config, subject));
    }

    /// The routes that live on answers which stand in.
    pub fn degraded(&self) -> Vec<Arc<str>> {
        self.mode.routes()
    }

    /// Says in the metrics what is kept.
    pub(super) fn show(&self) {
        self.metrics.kept(self.store.entries(), self.store.bytes());
    }

    /// Keeps an answer that was asked for in `era`.
    pub(super) fn keep(&self, key: Key, slot: Slot<Note>, era: Era) {
        // What switches off throws away afterwards, and begins another era.
        if self.on.load(Ordering::SeqCst) {
            self.store.keep(key, slot, era);
            self.show();
        }
    }

    /// The answer to a request: one that is kept, else one that is under way, else that of `inner`.
    pub(super) async fn answer<S: Maker>(
        self: &Arc<Self>,
        question: Question,
        missed: Missed,
        inner: S,
    ) -> Result<Answer, Box<Refusal>> {
        let mut asking = Asking::new(question, missed);
        let wish = asking.missed.job.wishes.cache;
        if !wish.no_cache
            && let Some(slot) = self.store.fresh(&asking.question.key, asking.begun, asking.question.oldest)
            && let Some(answer) = self.kept(&asking, &slot)?
        {
            return Ok(answer);
        }
        if wish.only_if_cached {
            self.metrics.missed();
            return Err(Box::new(Refusal::cache_miss()));
        }
        loop {
            let found = match wish.no_cache {
                true => {
                    let (lead, seat) = self.flights.alone(asking.question.key);
                    Joined::Lead(lead, seat)
                }
                false => {
                    let there = || match asking.tellable {
                        false => None,
                        true => {
                            let Question { key, oldest, .. } = &asking.question;
                            self.store.fresh(key, Instant::now(), *oldest)
                        }
                    };
                    self.flights.join(asking.flight(), there)
                }
            };
            match found {
                Joined::There(slot) => match self.kept(&asking, &slot)? {
                    Some(answer) => return Ok(answer),
                    None => drop(asking.asks_for_its_form()),
                },
                Joined::Lead(lead, seat) => return self.lead(asking, lead, seat, inner).await,
                // In a box of its own: few follow, and all others would carry its room.
                Joined::Follow(seat) => match Box::pin(self.follow(asking, seat)).await {
                    Ok(result) => return result,
                    Err(back) => asking = *back,
                },
            }
        }
    }
}
