//! What a request is to the cache: under which key, for how long.

use std::time::Duration;

use crate::{
    cache::{
        key::{Entry, Key, Tenant, is_deterministic},
        store::Labels,
    },
    config::{self, CacheScope},
    route::Wanted,
};

use super::super::job::{Job, Missed};

/// No answer is kept for longer, whoever asks.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A request that the cache has to do with.
#[derive(Clone, Debug)]
pub struct Question {
    /// Under what its answer is kept.
    pub key: Key,
    /// What its client wishes of the way to an answer; `None`: nothing.
    wishes: Option<[[u8; 8]; 4]>,
    /// How long its answer is kept; zero: not at all.
    pub ttl: Duration,
    /// A kept answer that is as old as this is not given.
    pub oldest: Duration,
    /// What its answer can be thrown away by.
    pub labels: Labels,
}

impl Question {
    /// `None` where the cache has nothing to do with the request: it is off, or the client or the settings want it so.
    pub fn of(Missed { job, wanted, .. }: &Missed) -> Option<Self> {
        let epochs = job.snapshot.epochs.as_ref()?;
        let settings = &job.snapshot.config.cache;
        let wish = &job.wishes.cache;
        // No client's answer is one of Weir's own, which are kept elsewhere, if at all.
        if job.key.as_ref().is_some_and(|key| key.is_own()) {
            return None;
        }
        if wish.no_cache && wish.no_store || settings.deterministic_only && !is_deterministic(&job.ask) {
            return None;
        }
        let scope = settings.scope();
        let most = longest(job, wanted, settings)?;
        // More is not the client's to say: others may get that answer.
        let oldest = wish.ttl.map_or(most, |ttl| ttl.min(most));
        let entries = wanted.iter().map(|wanted| match wanted {
            Wanted::Route(route) => {
                Entry { kind: "route", name: &route.name, epoch: epochs.route(&route.name) }
            }
            Wanted::Model(target) => {
                Entry { kind: "model", name: &target.name, epoch: epochs.model(&target.name) }
            }
            // A configured model has its settings, however it is named.
            Wanted::Pinned(target, name) if target.configured => {
                Entry { kind: "pinned", name, epoch: epochs.model(&target.name) }
            }
            Wanted::Pinned(target, name) => {
                Entry { kind: "pinned", name, epoch: epochs.provider(&target.provider) }
            }
        });
        let key = Key::of(tenant(job, &scope), entries, !job.wishes.no_fallback, &job.ask);
        let ttl = if wish.no_store { Duration::ZERO } else { oldest };
        let has_own = job.wishes.timeout.is_some()
            || job.wishes.attempt_timeout.is_some()
            || job.wishes.max_cost.is_some()
            || ttl != most;
        let wishes = has_own.then(|| {
            [
                millis(job.wishes.timeout),
                millis(job.wishes.attempt_timeout),
                millis(Some(ttl)),
                job.wishes.max_cost.map_or(-1, |cost| cost.0).to_le_bytes(),
            ]
        });
        let route = wanted.first().map(name).unwrap_or_default();
        let labels = match &job.key {
            Some(key) => Labels { key: key.name().clone(), route, tags: key.tags().clone() },
            None => Labels { route, ..Labels::default() },
        };
        Some(Self { key, wishes, ttl, oldest, labels })
    }

    /// Who may share its way to an answer: those who ask the same and wish for the same on the way.
    pub fn flight(&self) -> Key {
        match &self.wishes {
            Some(wishes) => self.key.among(wishes.iter().map(|wish| &wish[..])),
            None => self.key,
        }
    }
}

/// The name of an entry.
fn name(wanted: &Wanted) -> std::sync::Arc<str> {
    match wanted {
        Wanted::Route(route) => route.name.clone(),
        Wanted::Model(target) | Wanted::Pinned(target, _) => target.name.clone(),
    }
}

/// Who shares the answer. Only a key's own tags count, never those that a client sets.
fn tenant<'a>(job: &'a Job, scope: &'a CacheScope) -> Tenant<'a> {
    match (scope, &job.key) {
        (CacheScope::Global, _) => Tenant::Global,
        (_, None) => Tenant::Open,
        (CacheScope::Key, Some(key)) => Tenant::Key(key.name(), key.holder().bytes()),
        (CacheScope::Tag(name), Some(key)) => match key.tags().get(name) {
            Some(value) => Tenant::Tag(name, value),
            None => Tenant::Key(key.name(), key.holder().bytes()),
        },
    }
}

/// How old an answer may be, and so for how long one may be kept: as the route says, else the settings. `None` where the
/// operator wants none to be given twice.
fn longest(job: &Job, wanted: &[Wanted], settings: &config::Cache) -> Option<Duration> {
    let of_route = || match wanted {
        [Wanted::Route(route)] => job.snapshot.config.routes.get(&*route.name)?.cache_ttl,
        _ => None,
    };
    let most = of_route().unwrap_or(settings.ttl).0.min(LONGEST);
    (!most.is_zero()).then_some(most)
}

fn millis(span: Option<Duration>) -> [u8; 8] {
    span.map_or(-1, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).to_le_bytes()
}
