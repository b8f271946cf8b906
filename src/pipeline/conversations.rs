//! Which model has which conversation.

use std::{
    hash::{BuildHasher as _, Hash as _},
    sync::Arc,
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::config::Sticky;

use super::{job::Job, recent::Recent};

/// The conversations that were answered lately. No text is kept, only hashes.
#[derive(Debug, Default)]
pub struct Conversations {
    /// All that is said is hashed for each request, so it has to be fast; who finds two conversations of one hash can make a
    /// target be preferred, no more.
    hasher: RandomState,
    answered: Recent<Kept>,
}

/// What answered a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The route.
    pub route: Arc<str>,
    /// The tier that it stood for.
    pub tier: Option<Arc<str>>,
    /// The target, if it was one of the route's own.
    pub target: Option<Arc<str>>,
    /// The complexity for which the route was chosen.
    pub complexity: u8,
}

/// Where a request stands in its conversation.
#[derive(Clone, Debug)]
pub struct Place {
    /// What answered the turn before it, if that is remembered.
    pub before: Option<Kept>,
    /// All that is said by now, as a hash.
    now: u64,
}

impl Conversations {
    /// Where a request stands that enters at `entry`; `None` where nothing is to be remembered. A conversation belongs
    /// to its key.
    pub fn place(&self, job: &Job, entry: &str) -> Option<Place> {
        let Sticky { enabled, ttl, .. } = job.snapshot.config.classifier.sticky;
        let mut hasher = enabled.then(|| self.hasher.build_hasher())?;
        job.key.as_ref().map(|key| key.name()).hash(&mut hasher);
        entry.hash(&mut hasher);
        let talk = job.ask.talk(hasher)?;
        let before = talk.before.and_then(|before| self.answered.get(before, ttl.0, Instant::now()));
        Some(Place { before, now: talk.now })
    }

    /// Remembers what answered.
    pub fn keep(&self, place: &Place, kept: Kept, settings: &Sticky) {
        self.answered.put(place.now, kept, settings.entries, Instant::now());
    }
}
