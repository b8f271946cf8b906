//! The API keys of a provider, which take turns.

mod ban;
mod gate;
mod ring;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use tokio::time::Instant;

use crate::{
    base::{outcome::Outcome, secret::Secret},
    metrics::credentials::CredentialMetrics,
    news::{self, Bell, Fate},
    provider::{Failure, quota},
};

pub use ring::{Shut, Standing, Turn, hope};

use ring::{Change, Event, Pick, Ring};

/// The credentials of a provider at work. One that needs no key has one without a secret.
#[derive(Debug)]
pub struct Credentials {
    provider: Arc<str>,
    keys: Vec<Credential>,
    ring: Mutex<Ring>,
    /// The models of the configuration, by the provider's own names.
    models: Mutex<BTreeSet<Arc<str>>>,
    bell: Bell,
}

/// One credential.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What is sent; `None` where nothing is.
    pub secret: Option<Secret>,
    /// Its place in the configuration, for logs and metrics.
    pub place: Arc<str>,
    /// Its counters.
    pub metrics: CredentialMetrics,
}

/// A credential for one try. Dropped without a report it showed nothing.
#[derive(Debug)]
#[must_use = "what became of the try has to be reported"]
pub struct Lent<'a> {
    credentials: &'a Credentials,
    model: &'a Arc<str>,
    pick: Option<Pick>,
    slot: usize,
    key: Option<&'a Secret>,
}

impl Credentials {
    /// Credentials in the order in which they take turns.
    pub fn new(provider: &Arc<str>, keys: Vec<Credential>, bell: Bell) -> Self {
        let keyed = keys.iter().any(|key| key.secret.is_some());
        let ring = Mutex::new(Ring::new(keys.len(), keyed));
        Self { provider: Arc::clone(provider), keys, ring, models: Mutex::default(), bell }
    }

    /// The next credential in the turn of a request that may be used for the model, each once; `None` where no other
    /// may. `model` is the provider's own name for it.
    pub fn next<'a>(&'a self, turn: &mut Turn, model: &'a Arc<str>, now: Instant) -> Option<Lent<'a>> {
        let pick = self.lock().next(turn, model, now)?;
        let key = self.keys[pick.slot].secret.as_ref();
        Some(Lent { credentials: self, model, pick: Some(pick), slot: pick.slot, key })
    }

    /// Whether any credential may be used for the model now.
    pub fn standing(&self, model: &str, now: Instant) -> Standing {
        self.lock().standing(model, now)
    }

    /// Whether every credential was refused for the model, or ran out of money, and none has been good since.
    pub fn are_dead(&self, model: &str) -> bool {
        self.lock().is_dead(model)
    }

    /// The share of the provider's own limits that is left for the model, 0 to 1, where its answers tell it.
    pub fn left(&self, model: &str, now: Instant) -> Option<f64> {
        self.lock().left(model, now)
    }

    /// Says in the metrics what each is worth. Where no key is sent there is none.
    pub fn show(&self) {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.lock();
        for (slot, key) in self.keys.iter().enumerate().filter(|(_, key)| key.secret.is_some()) {
            key.metrics.state(ring.worth(slot, &models) as i64);
        }
    }

    /// Takes the provider's own names of the models that the configuration has now: alerts keep these apart.
    pub fn name_models(&self, models: BTreeSet<Arc<str>>) {
        // Only ever replaced whole.
        *self.models.lock().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// An operator has reloaded: credentials that were refused or had no money are tried again.
    pub fn pardon(&self) {
        self.lock().pardon();
    }

    /// Takes over what was known of the same keys under other settings of the provider.
    pub fn inherit(&self, before: &Self) {
        let (mut ring, known) = (self.lock(), before.lock());
        for (slot, key) in self.keys.iter().enumerate() {
            if let Some(old) = before.keys.iter().position(|old| old.secret == key.secret) {
                ring.set_slot(slot, known.slot(old));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Each mark is whole by itself, so a panic elsewhere leaves nothing to mistrust.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what happened to a credential: one line, one count, never the key.
    fn tell(&self, slot: usize, model: &str, cause: &'static str, change: Change, now: Instant) {
        let Credential { place, metrics, .. } = &self.keys[slot];
        let (provider, model) = (&*self.provider, if change.all_models { "*" } else { model });
        let rest = change.until.saturating_duration_since(now);
        let seconds = rest.as_secs_f64();
        let configured = || self.models.lock().unwrap_or_else(PoisonError::into_inner).contains(model);
        let ring = |fate| {
            self.bell.ring(news::Event::Credential {
                provider: Arc::clone(&self.provider),
                credential: Arc::clone(place),
                model: model.to_owned(),
                configured: configured(),
                fate,
                cause,
                rest,
            });
        };
        match change.event {
            Event::Limited => {
                tracing::info!(provider, credential = %place, model, cause, seconds, "is at its rate limit");
            }
            Event::Rests => {
                metrics.rest();
                ring(Fate::Rests);
                tracing::warn!(provider, credential = %place, model, cause, seconds, "has no money left: it rests");
            }
            Event::Out => {
                metrics.out();
                ring(Fate::Out);
                tracing::error!(
                    provider, credential = %place, model, cause, seconds,
                    "is out: the provider refused it twice in a row; replace it, or reload once it is good again"
                );
            }
            Event::StaysOut => {
                tracing::warn!(provider, credential = %place, model, cause, seconds, "stays out: it was refused again");
            }
            Event::Back => {
                metrics.back();
                ring(Fate::Back);
                tracing::info!(provider, credential = %place, model, "is back");
            }
        }
    }
}

impl<'a> Lent<'a> {
    /// Its place among the provider's credentials.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The key to send.
    pub fn key(&self) -> Option<&'a Secret> {
        self.key
    }

    /// Reads what the head of an answer without error tells of the provider's limits.
    pub fn saw(&self, headers: &HeaderMap, now: Instant) {
        let Some(pick) = self.pick else { return };
        if !quota::is_told(headers) {
            return;
        }
        let quota = quota::read(headers, SystemTime::now());
        let change = self.credentials.lock().saw(pick, self.model, &quota, now, rand::random());
        if let Some(change) = change {
            // It steps aside before anything is refused.
            self.credentials.tell(pick.slot, self.model, "its answer says that nothing is left", change, now);
        }
    }

    /// The try was answered.
    pub fn answered(self) {
        self.report(Outcome::Ok, None);
    }

    /// The try failed.
    pub fn failed(self, failure: &Failure) {
        self.report(failure.outcome, failure.retry_after);
    }

    fn report(mut self, outcome: Outcome, hint: Option<Duration>) {
        let Some(pick) = self.pick.take() else { return };
        let now = Instant::now();
        // Chance decides how long it is left alone.
        let draw = if outcome == Outcome::RateLimited { rand::random() } else { 0.0 };
        let change = self.credentials.lock().report(pick, self.model, (outcome, hint), now, draw);
        if let Some(change) = change {
            self.credentials.tell(pick.slot, self.model, outcome.as_str(), change, now);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(pick) = self.pick.take() {
            self.credentials.lock().give_back(pick, self.model);
        }
    }
}
