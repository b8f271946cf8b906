//! Where kept answers are, bounded in bytes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use tokio::time::Instant;

use super::{answer::Kept, key::Key};

/// What an answer takes beside its own bytes: the places in the store's tables, its labels.
const OVERHEAD: usize = 512;

/// What the allocator cannot use between answers of all sizes that come and go, as a part of their bytes: measured, a third
/// of what is alive.
const HOLES: usize = 3;

/// How many parts the store has, each with a lock of its own; fewer where one would not hold some large answers.
const MOST_SHARDS: usize = 16;

/// Kept answers, each with a note of how it came about.
#[derive(Debug)]
pub struct Store<N> {
    answers: Cache<Key, Arc<Slot<N>>, Bytes>,
    /// Goes up whenever answers are thrown away on purpose.
    era: AtomicU64,
}

/// A kept answer with what is known of it.
#[derive(Debug)]
pub struct Slot<N> {
    /// The answer.
    pub answer: Kept,
    /// Whom it belongs to, for whoever throws answers away.
    pub labels: Labels,
    /// How it came about.
    pub note: N,
    /// When it came.
    pub made: Instant,
    /// How long it is given again.
    pub ttl: Duration,
}

/// What answers can be thrown away by.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The key that asked for it; empty where none was needed.
    pub key: Arc<str>,
    /// The entry that it answers for.
    pub route: Arc<str>,
    /// The tags of that key.
    pub tags: Arc<BTreeMap<String, String>>,
}

/// Which answers are thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that a key asked for.
    Key(String),
    /// Those of a route.
    Route(String),
    /// Those whose key has this tag.
    Tag(String, String),
}

/// A time between two throwings away: what was asked for in one is not kept in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era(u64);

impl Which {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::All => true,
            Self::Key(key) => *labels.key == **key,
            Self::Route(route) => *labels.route == **route,
            Self::Tag(name, value) => labels.tags.get(name) == Some(value),
        }
    }
}

impl<N> Slot<N> {
    /// How old the answer is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }

    /// Whether its time is not over.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.ttl
    }

    fn bytes(&self) -> u64 {
        let size = self.answer.size();
        (size + size / HOLES + size_of::<Self>() + OVERHEAD) as u64
    }
}

/// Weighs answers by what they take.
#[derive(Clone, Copy, Debug)]
struct Bytes;

impl<N> Weighter<Key, Arc<Slot<N>>> for Bytes {
    fn weight(&self, _: &Key, slot: &Arc<Slot<N>>) -> u64 {
        slot.bytes()
    }
}

impl<N> Store<N> {
    /// A store of so many bytes in all, for answers of at most `max_answer`.
    pub fn new(max_bytes: usize, max_answer: usize) -> Self {
        // A part that holds some of the largest ones can hold each that is allowed.
        let shards = (max_bytes / max_answer.saturating_mul(4).max(1)).clamp(1, MOST_SHARDS);
        // Halved until it is a power of two, as the store would round up.
        let shards = 1 << shards.ilog2();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(1024)
            .weight_capacity(max_bytes as u64)
            .build()
            .expect("both capacities are given");
        let hasher = quick_cache::DefaultHashBuilder::default();
        let answers =
            Cache::with_options(options, Bytes, hasher, quick_cache::sync::DefaultLifecycle::default());
        Self { answers, era: AtomicU64::new(0) }
    }

    /// The answer under a key, if its time is not over, nor that of whoever asks: it has to be younger than `oldest`.
    pub fn fresh(&self, key: &Key, now: Instant, oldest: Duration) -> Option<Arc<Slot<N>>> {
        self.answers.get(key).filter(|slot| slot.is_fresh(now) && slot.age(now) < oldest)
    }

    /// The answer under a key, if its time is over by no more than `stale`.
    pub fn stale(&self, key: &Key, now: Instant, stale: Duration) -> Option<Arc<Slot<N>>> {
        let slot = self.answers.get(key)?;
        if slot.age(now) < slot.ttl.saturating_add(stale) {
            return Some(slot);
        }
        // It can be given no more.
        self.answers.remove_if(key, |kept| Arc::ptr_eq(kept, &slot));
        None
    }

    /// The time now, by what was thrown away.
    pub fn era(&self) -> Era {
        Era(self.era.load(Ordering::SeqCst))
    }

    /// Keeps an answer that was asked for in `era`, unless answers were thrown away since: it may be one of those.
    pub fn keep(&self, key: Key, slot: Slot<N>, era: Era) -> bool {
        if self.era() != era {
            return false;
        }
        let slot = Arc::new(slot);
        self.answers.insert(key, Arc::clone(&slot));
        if self.era() != era {
            // Between the look and the insertion.
            self.answers.remove_if(&key, |kept| Arc::ptr_eq(kept, &slot));
            return false;
        }
        true
    }

    /// Throws answers away; gives how many.
    pub fn purge(&self, which: &Which) -> usize {
        self.era.fetch_add(1, Ordering::SeqCst);
        let before = self.answers.len();
        match which {
            Which::All => self.answers.clear(),
            which => self.answers.retain(|_, slot| !which.holds(&slot.labels)),
        }
        before.saturating_sub(self.answers.len())
    }

    /// Takes on another size.
    pub fn resize(&self, max_bytes: usize) {
        if self.answers.capacity() != max_bytes as u64 {
            self.answers.set_capacity(max_bytes as u64);
        }
    }

    /// How many answers there are.
    pub fn entries(&self) -> usize {
        self.answers.len()
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.answers.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::key::{Entry, Tenant},
        openai::{Ask, Endpoint},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(number: usize) -> Key {
        let body = format!(r#"{{"model":"r","messages":[{{"role":"user"}}],"seed":{number}}}"#);
        let ask = Ask::parse(Endpoint::Chat, body.into()).unwrap();
        let entry = Entry { kind: "route", name: "r", epoch: [0; 32] };
        Key::of(Tenant::Global, [entry].into_iter(), true, &ask)
    }

    fn answer(text: &str) -> Kept {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#
        );
        Kept::whole(Endpoint::Chat, body.as_bytes(), false, 1 << 20).unwrap()
    }

    fn slot<N>(text: &str, note: N) -> Slot<N> {
        Slot { answer: answer(text), labels: Labels::default(), note, made: Instant::now(), ttl: HOUR }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_its_time_and_a_while_behind_it() {
        let store = Store::new(1 << 20, 1 << 16);
        assert!(store.keep(key(1), slot("a", ()), store.era()));
        let now = Instant::now();
        let just = Duration::from_nanos(1);
        let fresh = |number, now, oldest| store.fresh(&key(number), now, oldest).is_some();
        assert!(fresh(1, now + HOUR - just, 2 * HOUR) && !fresh(2, now, HOUR));
        assert!(!fresh(1, now + HOUR, 2 * HOUR));
        // Who asks may want a younger one.
        assert!(fresh(1, now, just) && fresh(1, now + HOUR / 2 - just, HOUR / 2));
        assert!(!fresh(1, now, Duration::ZERO) && !fresh(1, now + HOUR / 2, HOUR / 2));
        assert!(store.stale(&key(1), now + HOUR, HOUR).is_some());
        assert!(store.stale(&key(1), now + 2 * HOUR - just, HOUR).is_some());
        assert_eq!(store.entries(), 1);
        assert!(store.stale(&key(1), now + 2 * HOUR, HOUR).is_none());
        assert_eq!((store.entries(), store.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn answers_are_thrown_away_by_key_route_tag_or_all() {
        let labels = |key: &str, route: &str, team: &str| Labels {
            key: key.into(),
            route: route.into(),
            tags: Arc::new([("team".to_owned(), team.to_owned())].into()),
        };
        for (which, left) in [
            (Which::Key("a".into()), vec![2, 3]),
            (Which::Route("r".into()), vec![1]),
            (Which::Tag("team".into(), "y".into()), vec![0, 3]),
            (Which::Tag("team".into(), "".into()), vec![0, 1, 2, 3]),
            (Which::Key("".into()), vec![0, 1, 2, 3]),
            (Which::All, vec![]),
        ] {
            let store = Store::new(1 << 20, 1 << 16);
            let all = [("a", "r", "x"), ("a", "s", "y"), ("b", "r", "y"), ("c", "r", "z")];
            for (number, (key_name, route, team)) in all.into_iter().enumerate() {
                store.keep(
                    key(number),
                    Slot { labels: labels(key_name, route, team), ..slot("a", ()) },
                    store.era(),
                );
            }
            assert_eq!(store.purge(&which), 4 - left.len(), "{which:?}");
            let there = (0..4).filter(|number| store.fresh(&key(*number), Instant::now(), HOUR).is_some());
            assert_eq!(there.collect::<Vec<_>>(), left, "{which:?}");
        }
    }

    #[tokio::test]
    async fn what_was_under_way_when_answers_were_thrown_away_is_not_kept() {
        let store = Store::new(1 << 20, 1 << 16);
        let era = store.era();
        store.purge(&Which::Route("any".into()));
        assert!(!store.keep(key(1), slot("a", ()), era) && store.entries() == 0);
        assert!(store.keep(key(1), slot("a", ()), store.era()));
    }

    /// Set for a process that does nothing but measure what it takes.
    const ALONE: &str = "WEIR_TEST_ALONE";

    #[test]
    fn a_gibibyte_of_answers_goes_through_64_mebibytes() {
        if std::env::var_os(ALONE).is_some() {
            return a_gibibyte();
        }
        // Other tests of this process take memory too.
        let name = "cache::store::tests::a_gibibyte_of_answers_goes_through_64_mebibytes";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    /// A figure of this process's memory, in bytes: `VmRSS` now, `VmHWM` at most so far.
    fn memory(figure: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn a_gibibyte() {
        const MOST: usize = 64 << 20;
        let text =
            |number: usize| format!("{number} {}", "x".repeat([1_000, 20_000, 300_000, 900_000][number % 4]));
        let store = Store::new(MOST, 1 << 20);
        let (before, mut through, mut number) = (memory("VmRSS"), 0, 0);
        while through < 1 << 30 {
            let new = slot(&text(number), ());
            through += new.answer.size();
            store.keep(key(number), new, store.era());
            number += 1;
            if number.is_multiple_of(200) {
                let found = |old| Some((old, store.fresh(&key(old), Instant::now(), HOUR)?));
                let there: Vec<_> = (0..number).filter_map(found).collect();
                assert!(
                    there.len() > 50 && there.last().unwrap().0 + 20 > number,
                    "the latest answers are there"
                );
                for (old, hit) in there {
                    assert_eq!(hit.answer.object(), answer(&text(old)).object());
                }
            }
        }
        let taken = memory("VmHWM") - before;
        println!("{number} answers, {} MiB took {} MiB", through >> 20, taken >> 20);
        assert!(taken <= MOST / 5 * 6, "{taken} bytes at most");
        assert!(store.bytes() <= MOST as u64 && store.bytes() > MOST as u64 / 2, "{} bytes", store.bytes());
    }

    #[tokio::test]
    async fn many_small_answers_count_with_what_surrounds_them() {
        let store = Store::new(1 << 20, 1 << 16);
        for number in 0..5000 {
            store.keep(key(number), slot("x", ()), store.era());
        }
        let each = slot("x", ()).bytes();
        assert!(each > 600 && store.entries() as u64 <= (1 << 20) / each, "{} of {each}", store.entries());
        store.resize(1 << 19);
        assert!(store.bytes() <= 1 << 19, "{}", store.bytes());
    }

    #[tokio::test]
    async fn even_the_largest_answer_finds_room() {
        let store = Store::new(1 << 20, 1 << 20);
        assert!(store.keep(key(1), slot(&"x".repeat(690_000), ()), store.era()));
        assert!(store.fresh(&key(1), Instant::now(), HOUR).is_some());
    }
}
