//! A bounded memory of what happened lately.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What was noted lately, by hash; the oldest makes room.
#[derive(Debug)]
pub struct Recent<T>(Mutex<Notes<T>>);

#[derive(Debug)]
struct Notes<T> {
    by_hash: HashMap<u64, Note<T>, BuildHasherDefault<Itself>>,
    /// Every note in its order. One that was written over still stands here, so this is what bounds them all.
    order: VecDeque<(u64, u64)>,
    /// The number of the next note.
    next: u64,
}

#[derive(Debug)]
struct Note<T> {
    number: u64,
    at: Instant,
    what: T,
}

/// A hash is its own hash: nobody can choose it, since its hasher is seeded anew in each process.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a hash is a number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(Notes { by_hash: HashMap::default(), order: VecDeque::new(), next: 0 }))
    }
}

impl<T: Clone> Recent<T> {
    /// What is noted under `hash`, if that is younger than `ttl`.
    pub fn get(&self, hash: u64, ttl: Duration, now: Instant) -> Option<T> {
        let notes = self.lock();
        let note = notes.by_hash.get(&hash)?;
        (now.saturating_duration_since(note.at) < ttl).then(|| note.what.clone())
    }

    /// Notes it, among `most` at most.
    pub fn put(&self, hash: u64, what: T, most: usize, now: Instant) {
        let mut notes = self.lock();
        let number = notes.next;
        notes.next += 1;
        notes.order.push_back((hash, number));
        notes.by_hash.insert(hash, Note { number, at: now, what });
        while notes.order.len() > most {
            let Some((oldest, number)) = notes.order.pop_front() else { break };
            if notes.by_hash.get(&oldest).is_some_and(|note| note.number == number) {
                notes.by_hash.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn notes_are_bounded_and_grow_old() {
        let (recent, now) = (Recent::default(), Instant::now());
        for hash in 0..10 {
            recent.put(hash, hash, 3, now);
        }
        let kept: Vec<Option<u64>> = [6, 7, 8, 9].map(|hash| recent.get(hash, HOUR, now)).into();
        assert_eq!(kept, [None, Some(7), Some(8), Some(9)]);
        assert_eq!(recent.get(9, HOUR, now + HOUR), None);
    }

    #[test]
    fn one_that_is_written_over_stays_as_long_as_the_last_time() {
        let (recent, now) = (Recent::default(), Instant::now());
        for hash in [1, 2, 1, 1, 3] {
            recent.put(hash, "x", 3, now);
        }
        assert!(recent.get(1, HOUR, now).is_some() && recent.get(2, HOUR, now).is_none());
        for _ in 0..100 {
            recent.put(5, "x", 3, now);
        }
        let notes = recent.lock();
        assert_eq!((notes.by_hash.len(), notes.order.len()), (1, 3));
    }
}
