//! One question under way, followed by all who asked it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::future::poll_fn;

use super::key::Key;

/// How many bytes of a stream are held for those who come late. Past it nobody joins any more, and whoever reads
/// slowest sets the pace.
pub const MOST_HELD: usize = 1024 * 1024;

/// The questions under way. `H` is how an answer begins, `R` how it is refused.
pub struct Flights<H, R>(Mutex<HashMap<Key, Arc<Flight<H, R>>>>);

impl<H, R> Default for Flights<H, R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
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

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Flight<H, R> {
    state: Mutex<State<H, R>>,
    work: Mutex<Desk>,
    home: Weak<Flights<H, R>>,
    key: Key,
}

struct State<H, R> {
    start: Option<Start<H, R>>,
    pieces: VecDeque<Piece>,
    /// The number of the first piece that is held.
    first: usize,
    held: usize,
    /// Whether others may still join.
    open: bool,
    ended: bool,
    seats: BTreeMap<u64, Chair>,
    next: u64,
    /// The leader, which waits for room.
    waits: Option<Waker>,
}

/// Where one who follows is.
#[derive(Default)]
struct Chair {
    at: usize,
    waker: Option<Waker>,
}

/// The work of a flight, between two of its steps.
#[derive(Default)]
struct Desk {
    work: Option<Work>,
    given_up: bool,
    task: Option<tokio::task::AbortHandle>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Clone + Send + 'static, R: Clone + Send + 'static> Flights<H, R> {
    /// Joins those who ask the same. `there` looks once more whether the answer has come: between an earlier look and
    /// this one a flight may have ended.
    pub fn join<T>(self: &Arc<Self>, key: Key, there: impl FnOnce() -> Option<T>) -> Joined<H, R, T> {
        let mut flights = lock(&self.0);
        if let Some(seat) = flights.get(&key).and_then(Seat::take) {
            return Joined::Follow(seat);
        }
        if let Some(there) = there() {
            return Joined::There(there);
        }
        let (flight, seat) = Flight::new(key, Arc::downgrade(self));
        flights.insert(key, Arc::clone(&flight));
        Joined::Lead(Lead(flight), seat)
    }

    /// A flight that nobody joins.
    pub fn alone(key: Key) -> (Lead<H, R>, Seat<H, R>) {
        let (flight, seat) = Flight::new(key, Weak::new());
        (Lead(flight), seat)
    }
}

impl<H, R> Flights<H, R> {
    fn forget(&self, flight: &Flight<H, R>) {
        let mut flights = lock(&self.0);
        // Another one may fly under the same key by now.
        if flights.get(&flight.key).is_some_and(|known| std::ptr::eq(&**known, flight)) {
            flights.remove(&flight.key);
        }
    }
}

impl<H, R> State<H, R> {
    /// Those who wait for what has come now.
    fn waiting(&mut self) -> Vec<Waker> {
        self.seats.values_mut().filter_map(|chair| chair.waker.take()).collect()
    }

    /// Lets go of what everybody has, once nobody can join who would need it.
    fn trim(&mut self) -> Option<Waker> {
        if self.open {
            return None;
        }
        let slowest = self.seats.values().map(|chair| chair.at).min().unwrap_or(usize::MAX);
        while self.first < slowest
            && let Some(piece) = self.pieces.pop_front()
        {
            self.first += 1;
            self.held -= piece.len();
        }
        if self.held < MOST_HELD { self.waits.take() } else { None }
    }
}

impl<H, R> Flight<H, R> {
    fn new(key: Key, home: Weak<Flights<H, R>>) -> (Arc<Self>, Seat<H, R>) {
        let flight = Arc::new(Self {
            state: Mutex::new(State {
                start: None,
                pieces: VecDeque::new(),
                first: 0,
                held: 0,
                open: true,
                ended: false,
                seats: BTreeMap::from([(0, Chair::default())]),
                next: 1,
                waits: None,
            }),
            work: Mutex::default(),
            home,
            key,
        });
        let seat = Seat { flight: Arc::clone(&flight), number: 0 };
        (flight, seat)
    }

    /// Lets nobody join any more.
    fn close(&self) {
        lock(&self.state).open = false;
        if let Some(home) = self.home.upgrade() {
            home.forget(self);
        }
    }

    /// One step of the work. It is taken from its place for that, so that whoever gives it up need not wait.
    fn step(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut work) = lock(&self.work).work.take() else { return Poll::Ready(()) };
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut desk = lock(&self.work);
        if desk.given_up {
            drop(desk);
            drop(work);
            return Poll::Ready(());
        }
        desk.work = Some(work);
        Poll::Pending
    }

    /// Nobody waits for the answer any more: what makes it ends now.
    fn give_up(&self) {
        let (work, task) = {
            let mut desk = lock(&self.work);
            desk.given_up = true;
            (desk.work.take(), desk.task.take())
        };
        drop(work);
        task.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// The side that makes the answer. Dropped before it has begun or ended, the flight is lost.
pub struct Lead<H, R>(Arc<Flight<H, R>>);

impl<H: Send + 'static, R: Send + 'static> Lead<H, R> {
    /// Starts the work, as a task that goes on for as long as somebody has a seat.
    pub fn fly(self, work: impl FnOnce(Self) -> Work) {
        let flight = Arc::clone(&self.0);
        lock(&flight.work).work = Some(work(self));
        let flying = Arc::clone(&flight);
        let task = tokio::spawn(poll_fn(move |cx| flying.step(cx)));
        lock(&flight.work).task = Some(task.abort_handle());
    }
}

impl<H, R> Lead<H, R> {
    /// There is no answer. Who comes from now on asks anew.
    pub fn refuse(self, refusal: R) {
        self.0.close();
        self.start(Start::Refused(refusal), true);
    }

    /// The answer is here, and whole: nothing follows. Who comes from now on asks anew.
    pub fn answer(self, whole: H) {
        self.0.close();
        self.start(Start::Answered(whole), true);
    }

    /// The answer begins; its pieces follow.
    pub fn begin(&self, head: H) {
        self.start(Start::Answered(head), false);
    }

    fn start(&self, start: Start<H, R>, ended: bool) {
        let waiting = {
            let mut state = lock(&self.0.state);
            state.start = Some(start);
            state.ended = ended;
            state.waiting()
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Hands a piece to everybody; waits while too much is held for whoever is slow. A piece that ends the stream ends
    /// the flight.
    pub async fn push(&self, piece: Piece) {
        let mut piece = Some(piece);
        if lock(&self.0.state).held.saturating_add(piece.as_ref().map_or(0, Piece::len)) > MOST_HELD
            || piece.as_ref().is_some_and(Piece::ends)
        {
            self.0.close();
        }
        let waiting = poll_fn(|cx| {
            let mut state = lock(&self.0.state);
            drop(state.trim());
            if state.held >= MOST_HELD && !state.open {
                state.waits = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(piece) = piece.take() {
                state.held += piece.len();
                state.ended |= piece.ends();
                state.pieces.push_back(piece);
            }
            Poll::Ready(state.waiting())
        })
        .await;
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<H, R> Drop for Lead<H, R> {
    fn drop(&mut self) {
        let lost = {
            let state = lock(&self.0.state);
            !state.ended
        };
        if lost {
            self.0.close();
            let waiting = {
                let mut state = lock(&self.0.state);
                state.start.get_or_insert(Start::Lost);
                state.ended = true;
                state.waiting()
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// The side of one who waits for the answer. When the last one is dropped, the work ends at once.
pub struct Seat<H, R> {
    flight: Arc<Flight<H, R>>,
    number: u64,
}

impl<H, R> fmt::Debug for Seat<H, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("key", &self.flight.key).finish_non_exhaustive()
    }
}

impl<H: Clone, R: Clone> Seat<H, R> {
    /// A seat in a flight that may still be joined.
    fn take(flight: &Arc<Flight<H, R>>) -> Option<Self> {
        let mut state = lock(&flight.state);
        if !state.open {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.seats.insert(number, Chair::default());
        Some(Self { flight: Arc::clone(flight), number })
    }

    /// How the flight begins.
    pub async fn start(&mut self) -> Start<H, R> {
        poll_fn(|cx| {
            let mut state = lock(&self.flight.state);
            match &state.start {
                Some(start) => Poll::Ready(start.clone()),
                None => {
                    self.waits(&mut state, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<H, R> Seat<H, R> {
    fn waits(&self, state: &mut State<H, R>, cx: &Context<'_>) {
        if let Some(chair) = state.seats.get_mut(&self.number) {
            chair.waker = Some(cx.waker().clone());
        }
    }

    /// The next piece; `None` after the last one.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let (piece, waits) = {
            let mut state = lock(&self.flight.state);
            let (first, count) = (state.first, state.pieces.len());
            let Some(chair) = state.seats.get_mut(&self.number) else { return Poll::Ready(None) };
            if chair.at >= first + count {
                if state.ended {
                    return Poll::Ready(None);
                }
                self.waits(&mut state, cx);
                return Poll::Pending;
            }
            let at = chair.at - first;
            chair.at += 1;
            (state.pieces[at].clone(), state.trim())
        };
        waits.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(piece))
    }

    /// The next piece; `None` after the last one.
    pub async fn piece(&mut self) -> Option<Piece> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }
}

impl<H, R> Drop for Seat<H, R> {
    fn drop(&mut self) {
        let (empty, waits) = {
            let mut state = lock(&self.flight.state);
            state.seats.remove(&self.number);
            let empty = state.seats.is_empty();
            // In the same moment: who came now would find nobody who works.
            state.open &= !empty;
            (empty, state.trim())
        };
        waits.into_iter().for_each(Waker::wake);
        if empty {
            self.flight.close();
            self.flight.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{
        cache::key::{Entry, Tenant},
        openai::{Ask, Endpoint},
    };

    type Two = (Lead<u8, u8>, Seat<u8, u8>);

    fn key() -> Key {
        let ask = Ask::parse(Endpoint::Embeddings, r#"{"model":"r","input":"x"}"#.into()).unwrap();
        Key::of(Tenant::Global, [Entry { kind: "route", name: "r", epoch: [0; 32] }].into_iter(), true, &ask)
    }

    fn lead(flights: &Arc<Flights<u8, u8>>) -> Two {
        match flights.join(key(), || None::<()>) {
            Joined::Lead(lead, seat) => (lead, seat),
            _ => panic!("somebody leads"),
        }
    }

    fn follow(flights: &Arc<Flights<u8, u8>>) -> Seat<u8, u8> {
        match flights.join(key(), || None::<()>) {
            Joined::Follow(seat) => seat,
            _ => panic!("nobody leads"),
        }
    }

    fn part(size: usize) -> Piece {
        Piece::Part(Bytes::from(vec![b'x'; size]))
    }

    fn last() -> Piece {
        Piece::Last(Bytes::from_static(b"end"))
    }

    async fn all(mut seat: Seat<u8, u8>) -> (usize, bool) {
        assert!(matches!(seat.start().await, Start::Answered(7)));
        let (mut bytes, mut whole) = (0, false);
        while let Some(piece) = seat.piece().await {
            bytes += piece.len();
            whole = matches!(piece, Piece::Last(_));
        }
        (bytes, whole)
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_gets_what_has_come_and_then_follows() {
        let flights = Arc::default();
        let (pilot, seat) = lead(&flights);
        pilot.fly(|lead| {
            Box::pin(async move {
                lead.begin(7);
                for _ in 0..10 {
                    lead.push(part(10)).await;
                    sleep(Duration::from_millis(10)).await;
                }
                lead.push(last()).await;
            })
        });
        let first = tokio::spawn(all(seat));
        sleep(Duration::from_millis(45)).await;
        let late = tokio::spawn(all(follow(&flights)));
        assert_eq!((first.await.unwrap(), late.await.unwrap()), ((103, true), (103, true)));
        assert!(matches!(flights.join(key(), || Some(1)), Joined::There(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_ends_when_the_last_one_leaves_and_not_before() {
        struct Mark(Arc<AtomicBool>);
        impl Drop for Mark {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let flights = Arc::default();
        let (pilot, first) = lead(&flights);
        let over = Arc::new(AtomicBool::new(false));
        let mark = Mark(Arc::clone(&over));
        pilot.fly(|lead| {
            Box::pin(async move {
                let (_lead, _mark) = (lead, mark);
                sleep(Duration::from_secs(3600)).await;
            })
        });
        let second = follow(&flights);
        tokio::task::yield_now().await;
        drop(first);
        assert!(!over.load(Ordering::SeqCst));
        drop(second);
        assert!(over.load(Ordering::SeqCst), "at once");
        drop(lead(&flights));
        assert!(lock(&flights.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_bound_nobody_joins_and_the_slowest_sets_the_pace() {
        let flights = Arc::default();
        let (pilot, mut slow) = lead(&flights);
        let mut fast = follow(&flights);
        pilot.fly(|lead| {
            Box::pin(async move {
                lead.begin(7);
                for _ in 0..40 {
                    lead.push(part(100_000)).await;
                }
                lead.push(last()).await;
            })
        });
        let read = async |seat: &mut Seat<u8, u8>| {
            let mut pieces = 0;
            while let Ok(Some(_)) = timeout(Duration::from_secs(1), seat.piece()).await {
                pieces += 1;
            }
            pieces
        };
        let held = |flights: &Flights<u8, u8>| lock(&flights.0).len();
        let before = read(&mut fast).await;
        assert_eq!((before, held(&flights)), (11, 0), "it waits for the slow one");
        for _ in 0..5 {
            slow.piece().await.unwrap();
        }
        assert_eq!(read(&mut fast).await, 5);
        assert!(lock(&slow.flight.state).held <= MOST_HELD + 100_000);
        drop(slow);
        assert_eq!(read(&mut fast).await, 41 - 16, "whoever has left is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_reaches_all_who_wait_and_nobody_after() {
        let flights = Arc::default();
        let (pilot, mut seat) = lead(&flights);
        let mut other = follow(&flights);
        pilot.fly(|lead| Box::pin(async move { lead.refuse(3) }));
        assert!(matches!(seat.start().await, Start::Refused(3)));
        assert!(matches!(other.start().await, Start::Refused(3)));
        let _ = lead(&flights);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_fails_without_a_word_leaves_nobody_waiting() {
        let flights = Arc::default();
        let (pilot, mut seat) = lead(&flights);
        pilot.fly(|lead| {
            Box::pin(async move {
                let _lead = lead;
                panic!("a fault");
            })
        });
        assert!(matches!(seat.start().await, Start::Lost));
        let (pilot, mut seat) = lead(&flights);
        pilot.begin(7);
        drop(pilot);
        assert!(matches!(seat.start().await, Start::Answered(7)));
        assert_eq!(seat.piece().await, None, "a stream without an end is no whole one");
    }

    #[tokio::test]
    async fn alone_is_alone() {
        let flights: Arc<Flights<u8, u8>> = Arc::default();
        let (_lead, _seat) = Flights::<u8, u8>::alone(key());
        let _ = lead(&flights);
    }
}
