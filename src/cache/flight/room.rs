//! How many bytes all flights together may hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The room for what flights hold, in bytes; clones share it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Bytes>);

#[derive(Debug)]
struct Bytes {
    taken: AtomicUsize,
    most: AtomicUsize,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Bytes { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }))
    }

    /// From now on there is room for so many bytes; what is held already stays.
    pub fn resize(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// A place that nothing is in yet.
    pub fn place(&self) -> Taken {
        Taken { room: self.clone(), bytes: 0 }
    }

    /// How many bytes are taken.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// What one of them holds; dropped, its room is free again.
#[derive(Debug)]
pub struct Taken {
    room: Room,
    bytes: usize,
}

impl Taken {
    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so many bytes more; false: there is no room, and nothing was taken.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Bytes { taken, most } = &*self.room.0;
        let most = most.load(Ordering::Relaxed);
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= most);
        let grown = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Takes so many bytes more, whether there is room for them or not.
    pub fn force(&mut self, bytes: usize) {
        self.room.0.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Gives so many bytes back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.room.0.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::new(10);
        let (mut one, mut other) = (room.place(), room.place());
        assert!(one.grow(6) && !other.grow(5) && other.grow(4));
        one.shrink(2);
        assert!(other.grow(2) && !other.grow(usize::MAX));
        other.force(100);
        assert_eq!((room.taken(), one.bytes(), other.bytes()), (110, 4, 106));
        drop(other);
        assert!(room.taken() == 4 && one.grow(6));
        room.resize(5);
        assert!(!room.place().grow(1));
        drop(one);
        assert_eq!(room.taken(), 0);
    }
}
