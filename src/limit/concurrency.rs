//! A limit on how much may be under way at once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Counts what is under way. A limit of 0 is no limit.
#[derive(Debug, Default)]
pub struct Concurrency {
    limit: AtomicU32,
    in_use: AtomicU32,
}

/// One place; dropping it frees the place.
#[derive(Debug)]
#[must_use = "dropping the permit frees the place at once"]
pub struct Permit(Arc<Concurrency>);

impl Concurrency {
    /// With nothing under way.
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU32::new(limit), in_use: AtomicU32::new(0) })
    }

    /// Takes a place; `None` where none is free.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.limit();
        let most = if limit == 0 { u32::MAX } else { limit };
        // The counter guards no other memory, so it needs no ordering.
        self.in_use
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1))
            .ok()
            .map(|_| Permit(Arc::clone(self)))
    }

    /// Changes the limit. Places that are taken stay taken, also past a lower limit.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit; 0: none.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many places are taken.
    pub fn in_use(&self) -> u32 {
        self.in_use.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_places_than_there_are() {
        let two = Concurrency::new(2);
        let first = two.try_acquire().unwrap();
        let _second = two.try_acquire().unwrap();
        assert!(two.try_acquire().is_none());
        drop(first);
        assert!(two.try_acquire().is_some());
        assert_eq!(two.in_use(), 1);
    }

    #[test]
    fn a_changed_limit_holds_for_the_next() {
        let places = Concurrency::new(0);
        let held: Vec<_> = (0..5).map(|_| places.try_acquire().unwrap()).collect();
        places.set_limit(3);
        assert!(places.try_acquire().is_none());
        drop(held);
        assert_eq!(places.in_use(), 0);
        assert!(places.try_acquire().is_some());
    }

    #[test]
    fn threads_never_share_a_place() {
        let places = Concurrency::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let permit = places.try_acquire();
                        assert!(places.in_use() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(places.in_use(), 0);
    }
}
