//! What the dashboard knows, kept up to date whether anybody looks or not.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{base::clock::Clock, metrics::money::Totals};

use super::{
    ended::{Ended, Fate},
    history::{History, Light},
};

/// How many requests are kept, of all and of those worth a look.
const KEPT: usize = 100;
/// How many of each are told every second.
const TOLD: usize = 25;
/// How many may look at a time.
const PLACES: usize = 16;

/// What the dashboard knows.
#[derive(Debug)]
pub struct Board {
    clock: Clock,
    /// When the process began, in milliseconds since 1970.
    pub started: i64,
    kept: Mutex<Kept>,
    moments: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    /// Comes when nobody may look any more.
    pub closed: CancellationToken,
}

#[derive(Debug)]
struct Kept {
    history: History,
    ended: u64,
    /// The newest first.
    recent: VecDeque<Arc<Ended>>,
    notable: VecDeque<Arc<Ended>>,
}

impl Board {
    /// An empty one.
    pub fn new(clock: Clock) -> Arc<Self> {
        let started = clock.millis();
        let kept = Kept {
            history: History::new(started.div_euclid(1000)),
            ended: 0,
            recent: VecDeque::with_capacity(KEPT),
            notable: VecDeque::new(),
        };
        Arc::new(Self {
            clock,
            started,
            kept: Mutex::new(kept),
            moments: watch::Sender::new(Bytes::new()),
            places: Arc::new(Semaphore::new(PLACES)),
            closed: CancellationToken::new(),
        })
    }

    /// A request ended. One of a `stranger`, who was refused before it was known who asks, only counts: else whoever has no
    /// key could push everybody else's out of the lists.
    pub fn ended(&self, ended: Ended, stranger: bool) {
        let now = self.clock.millis();
        let asked = !matches!(ended.fate, Fate::Cached | Fate::StoodIn);
        let first = ended.first.filter(|_| asked);
        let mut ended = Ended { at: now, ..ended };
        let kept = &mut *self.lock();
        kept.history.count(now.div_euclid(1000), ended.fate, first);
        if stranger {
            return;
        }
        kept.ended += 1;
        ended.seq = kept.ended;
        let ended = Arc::new(ended);
        if ended.is_notable() {
            push(&mut kept.notable, Arc::clone(&ended));
        }
        push(&mut kept.recent, ended);
    }

    /// Takes down how the targets stand, and what was spent.
    pub fn look<'a>(&self, totals: Totals, lights: impl Iterator<Item = (&'a Arc<str>, Light)>) {
        let now = self.clock.seconds();
        self.lock().history.look(now, totals, lights);
    }

    /// A place to look from, if there is one left.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// What comes each second.
    pub fn moments(&self) -> watch::Receiver<Bytes> {
        self.moments.subscribe()
    }

    /// Whether anybody looks.
    pub fn is_watched(&self) -> bool {
        self.moments.receiver_count() > 0
    }

    /// Tells all who look.
    pub fn tell(&self, moment: Bytes) {
        // With nobody there it is not kept either: who comes next is told anew.
        let _ = self.moments.send(moment);
    }

    /// The last hour with the last requests, for somebody who begins to look.
    pub fn all(&self) -> Value {
        let (mut columns, recent, notable) = {
            let kept = self.lock();
            (kept.history.columns(), newest(&kept.recent, KEPT), newest(&kept.notable, KEPT))
        };
        columns["recent"] = json!(recent);
        columns["notable"] = json!(notable);
        columns
    }

    /// What is new of a moment, as far as it is about requests.
    pub fn moment(&self) -> Value {
        let now = self.clock.millis();
        let now_s = now.div_euclid(1000);
        let mut kept = self.lock();
        let (recent, notable) = (newest(&kept.recent, TOLD), newest(&kept.notable, TOLD));
        let history = &mut kept.history;
        let (minute, hour, tail) = (history.minute(now_s), history.hour(now_s), history.tail(now_s));
        let per_second = history.per_second(now_s);
        drop(kept);
        json!({
            "at": now,
            "started": self.started,
            "per_second": per_second,
            "minute": minute,
            "hour": hour,
            "tail": tail,
            "recent": recent,
            "notable": notable,
        })
    }

    /// How a target stood just before and now.
    pub fn lights(&self, name: &str) -> String {
        self.lock().history.lights(name)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whatever panicked, counts stay counts.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(ring: &mut VecDeque<Arc<Ended>>, ended: Arc<Ended>) {
    ring.truncate(KEPT - 1);
    ring.push_front(ended);
}

fn newest(ring: &VecDeque<Arc<Ended>>, count: usize) -> Vec<Arc<Ended>> {
    ring.iter().take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::ended::Seen, *};

    fn ended(status: u16) -> Ended {
        let first = Some(Duration::from_millis(5));
        Ended::of(Seen { status, first, ..Seen::default() }, None)
    }

    #[test]
    fn the_last_requests_are_kept_those_worth_a_look_longer() {
        let board = Board::new(Clock::of(|| 5_000));
        board.ended(ended(503), false);
        (0..2 * KEPT).for_each(|_| board.ended(ended(200), false));
        let all = board.all();
        let (recent, notable) = (all["recent"].as_array().unwrap(), all["notable"].as_array().unwrap());
        assert_eq!((recent.len(), notable.len()), (KEPT, 1));
        assert_eq!(recent[0]["seq"], 2 * KEPT as u64 + 1);
        assert_eq!((&notable[0]["seq"], &notable[0]["at"]), (&json!(1), &json!(5_000)));
        let moment = board.moment();
        assert_eq!(moment["recent"].as_array().unwrap().len(), TOLD);
        assert_eq!(moment["hour"]["requests"], json!([200, 0, 0, 0, 0, 1]));
        (0..KEPT).for_each(|_| board.ended(ended(401), true));
        let after = board.all();
        assert_eq!([&after["recent"], &after["notable"]], [&all["recent"], &all["notable"]]);
        assert_eq!(board.moment()["hour"]["requests"], json!([200, 0, 0, 0, 100, 1]));
    }

    #[test]
    fn only_so_many_may_look() {
        let board = Board::new(Clock::of(|| 0));
        let held: Vec<_> = std::iter::from_fn(|| board.place()).collect();
        assert_eq!(held.len(), PLACES);
        drop(held);
        assert!(board.place().is_some());
        assert!(!board.is_watched());
    }
}
