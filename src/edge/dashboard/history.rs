//! The last hour in steps of ten seconds: what became of requests, how fast, for how much, how the breakers stood.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{base::money::Nanos, metrics::money::Totals};

use super::{ended::Fate, speeds::Speeds};

/// How long a step is, in seconds.
pub const STEP_S: i64 = 10;
/// How many steps are kept: an hour.
pub const STEPS: usize = 360;
/// How many columns of requests there are: see [`column`].
const COLUMNS: usize = 6;
/// How many seconds back requests a second are counted.
const RATE_S: i64 = 10;
/// How many steps back "the last minute" goes.
const MINUTE: usize = 6;

/// How a target stood; of several in one step the greatest is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// Nobody looked.
    Unknown,
    /// It takes requests.
    On,
    /// Its provider asked to be left alone.
    Limited,
    /// It is probed.
    HalfOpen,
    /// It gets no requests.
    Open,
    /// An operator took it out.
    Out,
}

impl Light {
    /// A character for it.
    fn sign(self) -> char {
        match self {
            Self::Unknown => '-',
            Self::On => '0',
            Self::Limited => '1',
            Self::HalfOpen => '2',
            Self::Open => '3',
            Self::Out => '4',
        }
    }
}

/// One step.
#[derive(Clone, Debug, Default)]
struct Slot {
    requests: [u32; COLUMNS],
    /// Absent until there is one, so that an idle hour takes no room.
    speeds: Option<Box<Speeds>>,
    spent: Totals,
}

/// How a target stood, step by step.
#[derive(Debug)]
struct Track {
    lights: VecDeque<Light>,
    /// The last look that it was in.
    seen: u64,
}

/// The last hour.
#[derive(Debug)]
pub struct History {
    /// The number of the last slot: its beginning in seconds since 1970, by [`STEP_S`].
    last: i64,
    slots: VecDeque<Slot>,
    tracks: BTreeMap<Arc<str>, Track>,
    /// Requests of the last seconds, each with its second.
    seconds: [(i64, u32); 16],
    totals: Totals,
    looks: u64,
}

/// The column of a request: answered by the target of choice, by another, by the cache, by a stand-in; refused; failed.
fn column(fate: Fate) -> usize {
    match fate {
        Fate::Ok => 0,
        Fate::Moved => 1,
        Fate::Cached => 2,
        Fate::StoodIn => 3,
        Fate::Refused | Fate::Left => 4,
        Fate::Failed => 5,
    }
}

impl History {
    /// Nothing yet.
    pub fn new(now_s: i64) -> Self {
        Self {
            last: now_s.div_euclid(STEP_S),
            slots: VecDeque::from([Slot::default()]),
            tracks: BTreeMap::new(),
            seconds: [(0, 0); 16],
            totals: Totals::default(),
            looks: 0,
        }
    }

    /// A request ended; `first` is the time to its first content, where a provider was asked.
    pub fn count(&mut self, now_s: i64, fate: Fate, first: Option<Duration>) {
        let slot = self.slot(now_s);
        let count = &mut slot.requests[column(fate)];
        *count = count.saturating_add(1);
        if let Some(first) = first {
            slot.speeds.get_or_insert_default().add(first);
        }
        let second = &mut self.seconds[now_s.rem_euclid(16) as usize];
        if second.0 != now_s {
            *second = (now_s, 0);
        }
        second.1 = second.1.saturating_add(1);
    }

    /// Takes down what was spent since the last look, and how the targets stand. Targets that are not named are forgotten.
    pub fn look<'a>(
        &mut self,
        now_s: i64,
        totals: Totals,
        lights: impl Iterator<Item = (&'a Arc<str>, Light)>,
    ) {
        let before = std::mem::replace(&mut self.totals, totals);
        let spent = &mut self.slot(now_s).spent;
        for (sum, now, before) in [
            (&mut spent.cost, totals.cost, before.cost),
            (&mut spent.routing, totals.routing, before.routing),
            (&mut spent.cache, totals.cache, before.cache),
        ] {
            *sum = sum.saturating_add(now.saturating_sub(before));
        }
        self.looks += 1;
        let (looks, length) = (self.looks, self.slots.len());
        for (name, light) in lights {
            let track = self.tracks.entry(Arc::clone(name)).or_insert_with(|| Track {
                lights: std::iter::repeat_n(Light::Unknown, length).collect(),
                seen: looks,
            });
            track.seen = looks;
            if let Some(last) = track.lights.back_mut() {
                *last = light.max(*last);
            }
        }
        self.tracks.retain(|_, track| track.seen == looks);
    }

    /// The slot of now. A clock that goes back a little counts into the last one. One that leaps ahead by more than an hour,
    /// or back by more than a minute, begins a new history: else one that leapt ahead and comes back would leave all that
    /// follows in one slot.
    fn slot(&mut self, now_s: i64) -> &mut Slot {
        let number = now_s.div_euclid(STEP_S);
        if !(self.last - MINUTE as i64..=self.last + STEPS as i64).contains(&number) {
            self.last = number;
            self.slots = VecDeque::from([Slot::default()]);
            self.tracks.values_mut().for_each(|track| track.lights = VecDeque::from([Light::Unknown]));
        }
        let steps = usize::try_from(number.saturating_sub(self.last)).unwrap_or(0);
        for _ in 0..steps.min(STEPS) {
            if self.slots.len() == STEPS {
                self.slots.pop_front();
                for track in self.tracks.values_mut() {
                    track.lights.pop_front();
                }
            }
            self.slots.push_back(Slot::default());
            self.tracks.values_mut().for_each(|track| track.lights.push_back(Light::Unknown));
        }
        self.last = self.last.max(number);
        self.slots.back_mut().expect("there is always a slot")
    }

    /// Requests a second, over the last whole seconds.
    pub fn per_second(&self, now_s: i64) -> f64 {
        let recent = self.seconds.iter().filter(|(second, _)| (now_s - RATE_S..now_s).contains(second));
        recent.map(|(_, count)| f64::from(*count)).sum::<f64>() / RATE_S as f64
    }

    /// What the last minute comes to.
    pub fn minute(&mut self, now_s: i64) -> Value {
        self.slot(now_s);
        self.sum(MINUTE)
    }

    /// What the last hour comes to.
    pub fn hour(&mut self, now_s: i64) -> Value {
        self.slot(now_s);
        self.sum(STEPS)
    }

    fn sum(&self, steps: usize) -> Value {
        let (mut requests, mut speeds, mut spent) = ([0_u64; COLUMNS], Speeds::default(), [Nanos::ZERO; 3]);
        for slot in self.slots.iter().rev().take(steps) {
            for (sum, count) in requests.iter_mut().zip(slot.requests) {
                *sum += u64::from(count);
            }
            if let Some(some) = &slot.speeds {
                speeds.merge(some);
            }
            let more = [slot.spent.cost, slot.spent.routing, slot.spent.cache];
            for (sum, more) in spent.iter_mut().zip(more) {
                *sum = sum.saturating_add(more);
            }
        }
        let [cost, routing, cache] = spent;
        json!({
            "requests": requests,
            "p50": speeds.percentile(0.5),
            "p95": speeds.percentile(0.95),
            "cost_usd": cost,
            "saved_by_routing_usd": routing,
            "saved_by_cache_usd": cache,
        })
    }

    /// All steps, column by column.
    pub fn columns(&self) -> Value {
        let each = |value: &dyn Fn(&Slot) -> Value| self.slots.iter().map(value).collect::<Vec<_>>();
        let percentile =
            |share| each(&|slot| json!(slot.speeds.as_ref().and_then(|some| some.percentile(share))));
        let tracks: BTreeMap<&str, String> = self
            .tracks
            .iter()
            .map(|(name, track)| (&**name, track.lights.iter().map(|light| light.sign()).collect()))
            .collect();
        json!({
            "step": STEP_S,
            "first": (self.last + 1 - self.slots.len() as i64) * STEP_S,
            "requests": (0..COLUMNS).map(|at| each(&|slot| json!(slot.requests[at]))).collect::<Vec<_>>(),
            "p50": percentile(0.5),
            "p95": percentile(0.95),
            "cost": each(&|slot| usd(slot.spent.cost)),
            "routing": each(&|slot| usd(slot.spent.routing)),
            "cache": each(&|slot| usd(slot.spent.cache)),
            "tracks": tracks,
        })
    }

    /// The step before this one, and this one: what may have changed since the last look.
    pub fn tail(&mut self, now_s: i64) -> Vec<Value> {
        self.slot(now_s);
        let from = self.slots.len().saturating_sub(2);
        let begins = |at: usize| (self.last + 1 - (self.slots.len() - at) as i64) * STEP_S;
        let slots = self.slots.iter().enumerate().skip(from);
        slots
            .map(|(at, slot)| {
                let percentile = |share| slot.speeds.as_ref().and_then(|some| some.percentile(share));
                json!({
                    "at": begins(at),
                    "requests": slot.requests,
                    "p50": percentile(0.5),
                    "p95": percentile(0.95),
                    "cost": usd(slot.spent.cost),
                    "routing": usd(slot.spent.routing),
                    "cache": usd(slot.spent.cache),
                })
            })
            .collect()
    }

    /// How a target stood in the step before this one, and in this one.
    pub fn lights(&self, name: &str) -> String {
        let lights = self.tracks.get(name).map(|track| &track.lights);
        let at = |back: usize| {
            let light = lights.and_then(|lights| lights.iter().rev().nth(back)).copied();
            light.unwrap_or(Light::Unknown).sign()
        };
        [at(1), at(0)].iter().collect()
    }
}

/// An amount for a chart.
fn usd(amount: Nanos) -> Value {
    json!(amount.0 as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_000_000;

    fn totals(cost: i64, cache: i64) -> Totals {
        Totals { cost: Nanos(cost), routing: Nanos(-cost), cache: Nanos(cache) }
    }

    fn look(history: &mut History, now: i64, light: Light) {
        let name: Arc<str> = "a".into();
        history.look(now, Totals::default(), [(&name, light)].into_iter());
    }

    #[test]
    fn requests_count_where_they_ended() {
        let mut history = History::new(T);
        history.count(T, Fate::Ok, Some(Duration::from_millis(100)));
        history.count(T + 9, Fate::Left, None);
        history.count(T + 10, Fate::Moved, Some(Duration::from_millis(300)));
        // The clock goes back.
        history.count(T + 3, Fate::Failed, None);
        let columns = history.columns();
        assert_eq!(columns["first"], T);
        assert_eq!(columns["requests"], json!([[1, 0], [0, 1], [0, 0], [0, 0], [1, 0], [0, 1]]));
        assert_eq!(history.minute(T + 10)["requests"], json!([1, 1, 0, 0, 1, 1]));
        assert_eq!(history.minute(T + 65)["requests"], json!([0, 1, 0, 0, 0, 1]));
        assert_eq!(history.hour(T + 65)["requests"], json!([1, 1, 0, 0, 1, 1]));
        assert!(history.minute(T + 200)["p50"].is_null());
        assert!((90..120).contains(&history.columns()["p50"][0].as_u64().unwrap()));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut history = History::new(T);
        for second in 0..2 * 3600 {
            history.count(T + second, Fate::Ok, None);
            look(&mut history, T + second, Light::On);
        }
        let columns = history.columns();
        assert_eq!(columns["p50"].as_array().unwrap().len(), STEPS);
        assert_eq!(columns["tracks"]["a"], "0".repeat(STEPS));
        assert_eq!(columns["first"], T + 3600);
        assert_eq!(history.hour(T + 7199)["requests"][0], 3600);
        // A clock that leaps ahead, by whatever.
        history.count(i64::MAX, Fate::Ok, None);
        assert_eq!(history.columns()["p50"].as_array().unwrap().len(), 1);
        // It comes back, and goes on.
        for second in 0..30 {
            history.count(T + second, Fate::Ok, None);
            look(&mut history, T + second, Light::On);
        }
        let columns = history.columns();
        assert_eq!((&columns["first"], &columns["requests"][0]), (&json!(T), &json!([10, 10, 10])));
        assert_eq!(columns["tracks"]["a"], "000");
    }

    #[test]
    fn the_rate_is_that_of_whole_seconds() {
        let mut history = History::new(T);
        (0..30).for_each(|second| (0..4).for_each(|_| history.count(T + second, Fate::Ok, None)));
        assert_eq!(history.per_second(T + 30), 4.0);
        assert_eq!(history.per_second(T + 35), 2.0);
        assert_eq!(history.per_second(T + 60), 0.0);
    }

    #[test]
    fn the_worst_of_a_step_is_kept() {
        let mut history = History::new(T);
        look(&mut history, T, Light::On);
        look(&mut history, T + 4, Light::Open);
        look(&mut history, T + 9, Light::HalfOpen);
        assert_eq!(history.lights("a"), "-3");
        look(&mut history, T + 10, Light::On);
        assert_eq!(history.lights("a"), "30");
        // Nobody looked for a while.
        look(&mut history, T + 30, Light::Limited);
        assert_eq!(history.columns()["tracks"]["a"], "30-1");
        history.look(T + 31, Totals::default(), [].into_iter());
        assert_eq!(history.columns()["tracks"], json!({}), "it is no target any more");
    }

    #[test]
    fn money_counts_where_it_was_seen() {
        let mut history = History::new(T);
        history.look(T, totals(1_000_000_000, 0), [].into_iter());
        history.look(T + 10, totals(1_500_000_000, 250_000_000), [].into_iter());
        assert_eq!(history.columns()["cost"], json!([1.0, 0.5]));
        assert_eq!(history.columns()["routing"], json!([-1.0, -0.5]));
        let hour = history.hour(T + 10);
        assert_eq!((&hour["cost_usd"], &hour["saved_by_cache_usd"]), (&json!("1.5"), &json!("0.25")));
        let tail = history.tail(T + 20);
        assert_eq!((&tail[0]["at"], &tail[0]["cache"]), (&json!(T + 10), &json!(0.25)));
        assert_eq!(tail[1]["at"], T + 20);
    }
}
