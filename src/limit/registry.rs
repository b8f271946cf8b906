//! The limiters of every key, by its name, across reloads.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

use super::{bucket::Bucket, concurrency::Concurrency};
use crate::{base::map::NameMap, keys::VirtualKey};

/// What one key has used.
#[derive(Debug)]
pub struct KeyLimits {
    /// Requests a minute.
    pub rpm: Bucket,
    /// Tokens a minute.
    pub tpm: Bucket,
    /// Requests under way.
    pub concurrency: Arc<Concurrency>,
}

impl KeyLimits {
    fn new(key: &VirtualKey, now: Instant) -> Self {
        Self {
            rpm: Bucket::new(key.rpm(), now),
            tpm: Bucket::new(key.tpm(), now),
            concurrency: Concurrency::new(key.max_concurrent()),
        }
    }
}

/// The limiters of the configured keys.
#[derive(Debug, Default)]
pub struct Limits(RwLock<NameMap<Arc<str>, Arc<KeyLimits>>>);

impl Limits {
    /// The limiters of this key, made at its first use. They are found by its name: a key whose secret changed
    /// does not begin anew.
    pub fn for_key(&self, key: &VirtualKey, now: Instant) -> Arc<KeyLimits> {
        // Nothing panics under these locks; were it so, the map would still be whole.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(limits) = known.get(key.name()) {
            return Arc::clone(limits);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(KeyLimits::new(key, now));
        Arc::clone(known.entry(Arc::clone(key.name())).or_insert_with(fresh))
    }

    /// Takes over a new set of keys: changed limits hold at once and keep what was used, removed keys go.
    pub fn reload<'a>(&self, keys: impl IntoIterator<Item = &'a Arc<VirtualKey>>, now: Instant) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut kept = NameMap::with_capacity_and_hasher(known.len(), Default::default());
        for key in keys {
            if let Some(limits) = known.remove(key.name()) {
                limits.rpm.set_limit(key.rpm(), now);
                limits.tpm.set_limit(key.tpm(), now);
                limits.concurrency.set_limit(key.max_concurrent());
                kept.insert(Arc::clone(key.name()), limits);
            }
        }
        *known = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Key, SecretSource},
        keys::KeyRing,
    };

    fn ring(keys: &[(&str, u32)]) -> KeyRing {
        let keys: Vec<Key> = keys
            .iter()
            .map(|(name, rpm)| Key {
                name: (*name).into(),
                secret: Some(SecretSource::parse(&format!("sk-{name}"))),
                hash: None,
                routes: None,
                models: None,
                rpm: *rpm,
                tpm: 0,
                max_concurrent: 1,
                requests_per_month: 0,
                tags: Default::default(),
            })
            .collect();
        KeyRing::build(&keys).unwrap()
    }

    #[test]
    fn what_was_used_survives_a_reload() {
        let now = Instant::now();
        let limits = Limits::default();
        let old = ring(&[("a", 10), ("b", 10)]);
        let a = limits.for_key(&old.find("sk-a").unwrap(), now);
        a.rpm.try_take(5, now).unwrap();
        let permit = a.concurrency.try_acquire();
        limits.for_key(&old.find("sk-b").unwrap(), now);

        let new = ring(&[("a", 20), ("c", 1)]);
        limits.reload(new.iter(), now);
        let again = limits.for_key(&new.find("sk-a").unwrap(), now);
        assert_eq!(again.rpm.peek(now).remaining, 10);
        assert!(again.concurrency.try_acquire().is_none());
        drop(permit);
        assert!(again.concurrency.try_acquire().is_some());
        assert_eq!(limits.0.read().unwrap().len(), 1);
    }
}
