//! One question under way, followed by all who asked it.

mod desk;
mod lead;
mod room;
mod seat;
mod tape;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
};

use bytes::Bytes;

use crate::openai::Endpoint;

use super::key::Key;
use desk::Desk;
use room::{Room, Taken};
use tape::{Tape, Taping};

pub use lead::Lead;
pub use seat::Seat;
pub use tape::Ended;

/// How many bytes of a stream are held for those who come late. Past it nobody joins any more, and whoever reads
/// slowest sets the pace.
pub const MOST_HELD: usize = 1024 * 1024;

/// The questions under way. `H` is how an answer begins, `R` how it is refused.
pub struct Flights<H, R> {
    known: Mutex<HashMap<Key, Arc<Flight<H, R>>>>,
    room: Room,
}

impl<H, R> fmt::Debug for Flights<H, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// What a question finds.
pub enum Joined<H, R, T> {
    /// Its answer came a moment ago.
    There(T),
    /// Nobody asks the same: this one leads, from its own seat.
    Lead(Lead<H, R>, Seat<H, R>),
    /// Somebody does.
    Follow(Seat<H, R>),
}

/// How a flight begins for those who wait.
#[derive(Clone, Debug)]
pub enum Start<H, R> {
    /// With an answer.
    Answered(H),
    /// With none.
    Refused(R),
    /// It ended without a word: a fault in whoever led.
    Lost,
}

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One that others follow.
    Part(Bytes),
    /// One that tells the usage and nothing else.
    Usage(Bytes),
    /// The terminal event.
    Last(Bytes),
    /// The error event of a stream that broke.
    Cut(Bytes),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Part(bytes) | Self::Usage(bytes) | Self::Last(bytes) | Self::Cut(bytes) => bytes.len(),
        }
    }

    fn ends(&self) -> bool {
        matches!(self, Self::Last(_) | Self::Cut(_))
    }
}

struct Flight<H, R> {
    state: Mutex<State<H, R>>,
    desk: Desk,
    home: Weak<Flights<H, R>>,
    room: Room,
    key: Key,
}

struct State<H, R> {
    start: Option<Start<H, R>>,
    pieces: VecDeque<Piece>,
    /// The number of the first piece that is held.
    first: usize,
    /// What the pieces take.
    held: Taken,
    /// Whether others may still join.
    open: bool,
    ended: bool,
    /// Where the leader is, while it has its seat; a chair of its own, as most flights have no other.
    leader: Option<Chair>,
    /// Where those are who follow, by their numbers.
    followers: BTreeMap<u64, Chair>,
    next: u64,
    /// The leader, which waits for room.
    waits: Option<Waker>,
    tape: Tape,
}

/// Where one who follows is.
#[derive(Default)]
struct Chair {
    /// The number of the piece that comes next; the highest there is for one who wants an object.
    at: usize,
    waker: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Clone + Send + 'static, R: Clone + Send + 'static> Flights<H, R> {
    /// None; all that will be may hold so many bytes together.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { known: Mutex::default(), room: Room::new(most) })
    }

    /// Joins those who ask the same. `there` looks once more whether the answer has come: between an earlier look and
    /// this one a flight may have ended.
    pub fn join<T>(self: &Arc<Self>, key: Key, there: impl FnOnce() -> Option<T>) -> Joined<H, R, T> {
        let seat = {
            let mut known = lock(&self.known);
            let entry = known.entry(key);
            let seat = match &entry {
                Entry::Occupied(flight) => Seat::take(flight.get()),
                Entry::Vacant(_) => None,
            };
            match seat {
                Some(seat) => seat,
                None => {
                    if let Some(there) = there() {
                        return Joined::There(there);
                    }
                    let (flight, seat) = Flight::new(key, Arc::downgrade(self), &self.room, true);
                    entry.insert_entry(Arc::clone(&flight));
                    return Joined::Lead(Lead(flight), seat);
                }
            }
        };
        Desk::share(&seat.flight, |flight| &flight.desk);
        Joined::Follow(seat)
    }

    /// A flight that nobody joins.
    pub fn alone(&self, key: Key) -> (Lead<H, R>, Seat<H, R>) {
        let (flight, seat) = Flight::new(key, Weak::new(), &self.room, false);
        (Lead(flight), seat)
    }
}

impl<H, R> Flights<H, R> {
    /// From now on all of them may hold so many bytes together.
    pub fn resize(&self, most: usize) {
        self.room.resize(most);
    }

    /// Lets nobody join those that are under way; who has a seat keeps it.
    pub fn close(&self) {
        let known = std::mem::take(&mut *lock(&self.known));
        known.values().for_each(|flight| lock(&flight.state).open = false);
    }

    fn forget(&self, flight: &Flight<H, R>) {
        let mut known = lock(&self.known);
        // Another one may fly under the same key by now.
        if known.get(&flight.key).is_some_and(|known| std::ptr::eq(&**known, flight)) {
            known.remove(&flight.key);
        }
    }
}

impl<H, R> State<H, R> {
    /// Those who wait for what has come now; who wants an object waits for the end.
    fn waiting(&mut self) -> Vec<Waker> {
        let over = self.tape.ended().is_some();
        let chairs = self.leader.iter_mut().chain(self.followers.values_mut());
        let woken = chairs.filter(|chair| over || chair.at != usize::MAX);
        woken.filter_map(|chair| chair.waker.take()).collect()
    }

    /// The chair of a number; the leader's is 0.
    fn chair(&mut self, number: u64) -> Option<&mut Chair> {
        match number {
            0 => self.leader.as_mut(),
            number => self.followers.get_mut(&number),
        }
    }

    /// The next piece for a number, which has it then.
    fn next_for(&mut self, number: u64) -> Option<Piece> {
        let first = self.first;
        let at = self.chair(number)?.at.checked_sub(first)?;
        let piece = self.pieces.get(at)?.clone();
        self.chair(number)?.at += 1;
        Some(piece)
    }

    /// Somebody leaves; whether nobody is left.
    fn leaves(&mut self, number: u64) -> bool {
        match number {
            0 => self.leader = None,
            number => drop(self.followers.remove(&number)),
        }
        self.leader.is_none() && self.followers.is_empty()
    }

    /// Another piece is there for all; gives what has to be put together of them.
    fn put(&mut self, piece: Piece) -> Option<Box<Taping>> {
        let taping = self.tape.passes(&piece);
        self.ended |= piece.ends();
        self.pieces.push_back(piece);
        taping
    }

    /// Has the stream written down, for one who has read nothing yet: so all pieces are held. Gives what has to be put
    /// together, where the stream is over already.
    fn start_tape(&mut self, endpoint: Endpoint, taken: Taken) -> Option<Box<Taping>> {
        if !matches!(self.tape, Tape::Off) {
            return None;
        }
        self.tape.start(endpoint, taken);
        let Self { tape, pieces, .. } = self;
        let taping = pieces.iter().find_map(|piece| tape.passes(piece));
        if self.ended && taping.is_none() {
            self.tape.lost();
        }
        taping
    }

    /// Lets go of what everybody has, once nobody can join who would need it.
    fn trim(&mut self) -> Option<Waker> {
        if self.open {
            return None;
        }
        let chairs = self.leader.iter().chain(self.followers.values());
        let slowest = chairs.map(|chair| chair.at).min().unwrap_or(usize::MAX);
        let before = self.first;
        while self.first < slowest
            && let Some(piece) = self.pieces.pop_front()
        {
            self.first += 1;
            self.held.shrink(piece.len());
        }
        if self.first > before { self.waits.take() } else { None }
    }
}

impl<H, R> Flight<H, R> {
    fn new(key: Key, home: Weak<Flights<H, R>>, room: &Room, open: bool) -> (Arc<Self>, Seat<H, R>) {
        let flight = Arc::new(Self {
            state: Mutex::new(State {
                start: None,
                pieces: VecDeque::new(),
                first: 0,
                held: room.place(),
                open,
                ended: false,
                leader: Some(Chair::default()),
                followers: BTreeMap::new(),
                next: 1,
                waits: None,
                tape: Tape::Off,
            }),
            desk: Desk::default(),
            home,
            room: room.clone(),
            key,
        });
        let seat = Seat { flight: Arc::clone(&flight), number: 0 };
        (flight, seat)
    }

    /// Lets nobody join any more.
    fn close(&self) {
        let was_open = std::mem::replace(&mut lock(&self.state).open, false);
        if was_open {
            self.leave();
        }
    }

    /// Is no longer among those that can be found.
    fn leave(&self) {
        if let Some(home) = self.home.upgrade() {
            home.forget(self);
        }
    }

    /// The stream is put together, for all who wait for that.
    fn taped(&self, tape: Tape) {
        let waiting = {
            let mut state = lock(&self.state);
            state.tape = tape;
            state.waiting()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}
