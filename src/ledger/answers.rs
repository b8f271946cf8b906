//! Giving the same answer to the same idempotency key.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

/// Names a kept answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose it is: a virtual key's name and holder; another one's answers are never given.
    pub key: Arc<str>,
    /// What the client sent as `idempotency-key`.
    pub idempotency_key: Arc<str>,
}

/// An answer that may be given again.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Under what.
    pub key: Key,
    /// The SHA-256 of the request's body: only the same request gets it.
    pub request: [u8; 32],
    /// Its status.
    pub status: u16,
    /// Its `content-type`.
    pub content_type: Arc<str>,
    /// Whether it is a stream of events.
    pub stream: bool,
    /// When it was given first, in milliseconds since 1970.
    pub created: i64,
    /// Its body, whole.
    pub body: Bytes,
}

impl fmt::Debug for KeptAnswer {
    /// Without its body: the text of answers is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswer")
            .field("key", &self.key)
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What to do with a request that carries an idempotency key.
#[derive(Debug)]
pub enum Begun {
    /// It is the first: answer it, then [`Lead::finish`].
    Lead(Lead),
    /// It was answered.
    Answered(Arc<KeptAnswer>),
    /// The key was used with another body.
    Mismatch,
}

type Flights = Arc<Mutex<HashMap<Key, Flight>>>;

#[derive(Debug)]
struct Flight {
    request: [u8; 32],
    answer: watch::Receiver<Option<Arc<KeptAnswer>>>,
}

/// The requests with idempotency keys that are under way, or answered and not stored yet.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Flights);

/// Leave to answer. Dropped without [`Lead::finish`], the next one that waits leads.
#[derive(Debug)]
pub struct Lead {
    // Its drop comes first, so that whoever is woken by the sender's finds the place free.
    place: Place,
    answer: watch::Sender<Option<Arc<KeptAnswer>>>,
    queue: super::queue::Queue,
}

/// A place among the requests under way; free when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: Key,
    flights: Flights,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What is known without asking the store.
pub(super) enum Joined {
    /// Nothing: the caller has the place now.
    First(Place, watch::Sender<Option<Arc<KeptAnswer>>>),
    /// Another one is at it.
    Wait(watch::Receiver<Option<Arc<KeptAnswer>>>),
    /// Another one is at it with another body.
    Mismatch,
}

impl UnderWay {
    /// Takes the place, or joins whoever has it.
    pub(super) fn join(&self, key: &Key, request: &[u8; 32]) -> Joined {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match flights.entry(key.clone()) {
            hash_map::Entry::Occupied(flight) if flight.get().request == *request => {
                Joined::Wait(flight.get().answer.clone())
            }
            hash_map::Entry::Occupied(_) => Joined::Mismatch,
            hash_map::Entry::Vacant(free) => {
                let (sender, answer) = watch::channel(None);
                free.insert(Flight { request: *request, answer });
                Joined::First(Place { key: key.clone(), flights: self.0.clone() }, sender)
            }
        }
    }
}

impl Lead {
    pub(super) fn new(
        place: Place,
        answer: watch::Sender<Option<Arc<KeptAnswer>>>,
        queue: super::queue::Queue,
    ) -> Self {
        Self { place, answer, queue }
    }

    /// Gives the answer to those that wait for it, and stores it. Those that come later find it too.
    pub fn finish(self, answer: KeptAnswer) -> super::Ack {
        let answer = Arc::new(KeptAnswer { key: self.place.key.clone(), ..answer });
        self.answer.send_replace(Some(answer.clone()));
        self.queue.answer(answer, self.place)
    }
}
