//! The row of a request that cost nothing, written once, when it ends.

use std::sync::Arc;

use crate::{
    base::{money::Nanos, outcome::Outcome},
    ledger::{Entry, Origin},
    openai::Usage,
    price::{self, Price},
    route::Target,
    spend::Till,
};

use super::super::job::Missed;

/// Writes the row of a request when it ends; one that is dropped before says that its client left.
#[derive(Debug)]
pub struct Receipt {
    till: Arc<Till>,
    origin: Option<Arc<Origin>>,
    /// What the answer is worth by: the baseline's price, else that of the target that made it.
    price: Option<Arc<Price>>,
}

impl Receipt {
    /// For a request that gets what another one paid for: `cache` says how.
    pub fn new(till: &Arc<Till>, missed: &Missed, route: &Arc<str>, cache: &'static str) -> Self {
        let job = &*missed.job;
        let origin = Origin {
            request_id: job.id.as_str().into(),
            key: job.key.as_ref().map_or_else(|| "".into(), |key| Arc::clone(key.name())),
            tags: Arc::clone(&job.tags),
            route: Arc::clone(route),
            tier: missed.verdict.tier.clone(),
            task: missed.verdict.task.clone(),
            complexity: missed.verdict.complexity,
            requested_model: job.ask.model().into(),
            stream: job.ask.stream(),
            cache,
        };
        Self { till: Arc::clone(till), origin: Some(Arc::new(origin)), price: job.snapshot.baseline.clone() }
    }

    /// The answer is that of `target`.
    #[must_use]
    pub fn of(mut self, target: Option<&Arc<Target>>) -> Self {
        if self.price.is_none() {
            self.price = target.and_then(|target| target.price.clone());
        }
        self
    }

    /// The answer is there to its end; `usage` is what it took when it was made. Gives what that would have cost.
    pub fn answered(mut self, usage: Option<&Usage>) -> Option<Nanos> {
        let saved = self.price.as_ref().zip(usage).map(|(price, usage)| price::cost(price, usage));
        if let Some(saved) = saved {
            self.till.metrics.saved("cache", saved);
        }
        self.post(Outcome::Ok.as_str(), saved);
        saved
    }

    /// There is no answer, or not all of it.
    pub fn failed(mut self, code: &'static str) {
        self.post(code, None);
    }

    /// The request asks anew, and is written down by that.
    pub fn void(mut self) {
        self.origin = None;
    }

    fn post(&mut self, code: &'static str, baseline: Option<Nanos>) {
        if let Some(origin) = self.origin.take() {
            let entry = Entry { baseline, ..Entry::refused(origin, self.till.clock.millis(), code) };
            // It costs nothing, so nobody waits for it.
            self.till.ledger.note(entry, Vec::new());
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.post(Outcome::ClientLeft.as_str(), None);
    }
}
