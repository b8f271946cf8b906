//! The book of accounts against a small model, under any order of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    base::{
        account::{AccountKey, AccountState, AccountWindow, Period},
        money::Nanos,
    },
    config::{Budget, Enforce},
};

const DAY: i64 = 86_400;

/// What the account of one limit ought to say.
#[derive(Debug)]
struct Model {
    soft: bool,
    period: Period,
    limit: i64,
    start: i64,
    posted: i64,
    held: i64,
    /// What was spent beyond its hold, by window.
    overrun: BTreeMap<i64, i64>,
}

impl Model {
    fn turn(&mut self, now: i64) {
        let start = if self.period == Period::Daily { now.div_euclid(DAY) * DAY } else { 0 };
        if start > self.start {
            (self.start, self.posted, self.held) = (start, 0, 0);
        }
    }

    /// How many tokens fit, as money.md says; `None`: not enough.
    fn fits(&self, ask: &Wish) -> Option<u64> {
        let room = self.limit - self.posted - self.held;
        if self.soft {
            return (room > 0 || ask.downgraded).then_some(u64::MAX);
        }
        let left = room.max(0) - ask.input;
        let affords = u64::try_from(left).ok()? / ask.price;
        (affords >= ask.most().min(256)).then_some(affords)
    }

    fn settle(&mut self, start: i64, hold: i64, actual: i64) {
        if start == self.start {
            self.held -= hold;
            self.posted += actual;
        }
        if !self.soft {
            *self.overrun.entry(start).or_default() += (actual - hold).max(0);
        }
    }
}

/// An attempt; prices in nanodollars a token.
#[derive(Clone, Debug)]
struct Wish {
    input: i64,
    price: u64,
    wanted: u64,
    gave: bool,
    downgraded: bool,
}

impl Wish {
    fn most(&self) -> u64 {
        if self.gave { self.wanted } else { self.wanted.min(16_384) }
    }

    fn usual(&self) -> i64 {
        self.input + (self.price * self.wanted.min(500)) as i64
    }
}

#[derive(Clone, Debug)]
enum Event {
    Hold(Wish),
    Swap(usize, Wish),
    /// The share of the hold that it cost, in percent: above 100 it is an overrun.
    Settle(usize, i64),
    Void(usize),
    Clock(i64),
    Crash,
}

fn wish() -> impl Strategy<Value = Wish> {
    (0..2_000_000_i64, 1..2000_u64, 1..20_000_u64, any::<bool>(), any::<bool>())
        .prop_map(|(input, price, wanted, gave, downgraded)| Wish { input, price, wanted, gave, downgraded })
}

fn event() -> impl Strategy<Value = Event> {
    let clock = prop_oneof![3 => 0..DAY / 2, 1 => DAY..3 * DAY, 2 => -2 * 3600..0_i64];
    prop_oneof![
        8 => wish().prop_map(Event::Hold),
        2 => (any::<usize>(), wish()).prop_map(|(at, wish)| Event::Swap(at, wish)),
        6 => (any::<usize>(), 0..=100_i64).prop_map(|(at, share)| Event::Settle(at, share)),
        1 => (any::<usize>(), 101..400_i64).prop_map(|(at, share)| Event::Settle(at, share)),
        1 => any::<usize>().prop_map(Event::Void),
        1 => clock.prop_map(Event::Clock),
        1 => Just(Event::Crash),
    ]
}

/// A hold as the model sees it: what it took in each account, from which window.
type Taken = Vec<(i64, i64)>;

/// The book, the model beside it, what a disk would hold.
struct World {
    now: i64,
    accounts: Accounts,
    bound: Bound,
    models: Vec<Model>,
    /// What is posted, with the watermark.
    durable: BTreeMap<(AccountKey, i64), (i64, i64)>,
    held: Vec<(Held, Taken)>,
}

fn budgets() -> [Budget; 2] {
    let hard =
        Budget { daily: Some(Nanos(40_000_000)), total: Some(Nanos(150_000_000)), ..Budget::named("hard") };
    let soft = Budget {
        daily: Some(Nanos(30_000_000)),
        enforce: Enforce::Soft,
        on_exceeded: "downgrade:cheap".into(),
        ..Budget::named("soft")
    };
    [hard, soft]
}

impl World {
    fn new() -> Self {
        let now = 20_000 * DAY + 40_000;
        let accounts = Accounts::new();
        let (bound, _) = accounts.bind(Rules::compile(&budgets(), []).unwrap(), &[], now);
        let model = |soft, period, limit| {
            let start = if period == Period::Daily { 20_000 * DAY } else { 0 };
            Model { soft, period, limit, start, posted: 0, held: 0, overrun: BTreeMap::new() }
        };
        let models = vec![
            model(false, Period::Daily, 40_000_000),
            model(false, Period::Total, 150_000_000),
            model(true, Period::Daily, 30_000_000),
        ];
        Self { now, accounts, bound, models, durable: BTreeMap::new(), held: Vec::new() }
    }

    fn write(&mut self, window: &AccountWindow, posted: i64, mark: i64) {
        let row = self.durable.entry((window.account.clone(), window.start)).or_default();
        row.0 += posted;
        row.1 = row.1.max(mark).max(row.0);
    }

    fn hold(&mut self, wish: &Wish, old: Option<(Held, Taken)>) {
        let estimate = Estimate {
            input: Nanos(wish.input),
            output_pico: u128::from(wish.price) * 1000,
            wanted: wish.wanted,
            client: wish.gave.then_some(wish.wanted),
            usual: 500,
            spent: Nanos::ZERO,
            ceiling: None,
            counts: true,
        };
        let tags = BTreeMap::new();
        let who = Who { key: "", tags: &tags, routes: &[] };
        let ask = Ask { who, target: None, estimate, downgraded: wish.downgraded };
        let (mut swap, taken) = old.map_or((None, None), |(held, taken)| (Some(held), Some(taken)));
        if let Some(taken) = taken {
            self.forget(&taken);
        }
        let fits: Option<Vec<u64>> = self.models.iter().map(|model| model.fits(wish)).collect();
        for round in 0.. {
            assert!(round < 3, "raised without end");
            match self.accounts.admit(&self.bound, &ask, swap.take(), self.now) {
                Admission::Raise { marks, swap: back } => {
                    marks.iter().for_each(|mark| self.write(&mark.window, 0, mark.to.0));
                    self.accounts.raised(&marks);
                    swap = back;
                }
                Admission::Exceeded(exceeded) => {
                    return assert!(fits.is_none(), "{exceeded:?} {:?}", self.models);
                }
                Admission::Held(held) => {
                    let tokens = fits.expect("the model refuses").into_iter().min().unwrap();
                    let tokens = tokens.min(wish.most());
                    let limited = (tokens < wish.wanted).then_some(tokens);
                    assert_eq!(held.max_output, limited);
                    let hard = wish.input + (tokens * wish.price) as i64;
                    assert_eq!(held.amount.0, hard);
                    let taken = self.models.iter_mut().map(|model| {
                        let amount = if model.soft { wish.usual() } else { hard };
                        model.held += amount;
                        (model.start, amount)
                    });
                    let taken = taken.collect();
                    return self.held.push((held, taken));
                }
            }
        }
    }

    fn forget(&mut self, taken: &Taken) {
        for (model, (start, amount)) in self.models.iter_mut().zip(taken) {
            if *start == model.start {
                model.held -= amount;
            }
        }
    }

    fn take(&mut self, at: usize) -> Option<(Held, Taken)> {
        let at = at.checked_rem(self.held.len())?;
        Some(self.held.swap_remove(at))
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Hold(wish) => self.hold(wish, None),
            Event::Swap(at, wish) => {
                let old = self.take(*at);
                self.hold(wish, old);
            }
            Event::Settle(at, share) => {
                let Some((held, taken)) = self.take(*at) else { return };
                let actual = held.amount.0 * share / 100;
                let settled = self.accounts.settle(held, Nanos(actual), self.now);
                for charge in &settled.charges {
                    self.write(&charge.window, charge.amount.0, 0);
                }
                settled.marks.iter().for_each(|mark| self.write(&mark.window, 0, mark.to.0));
                for (model, (start, hold)) in self.models.iter_mut().zip(taken) {
                    model.settle(start, hold, actual);
                }
            }
            Event::Void(at) => {
                let Some((held, taken)) = self.take(*at) else { return };
                self.accounts.void(held, self.now);
                self.forget(&taken);
            }
            Event::Clock(by) => {
                self.now += by;
                self.models.iter_mut().for_each(|model| model.turn(self.now));
            }
            Event::Crash => self.crash(),
        }
    }

    /// The process ends; what the watermarks allowed beyond what was posted counts as spent.
    fn crash(&mut self) {
        self.held.clear();
        self.durable.values_mut().for_each(|(posted, mark)| *posted = *mark);
        let state = |((account, start), (posted, mark)): (&(AccountKey, i64), &(i64, i64))| AccountState {
            window: AccountWindow { account: account.clone(), start: *start },
            posted: Nanos(*posted),
            watermark: Nanos(*mark),
        };
        self.accounts = Accounts::new();
        self.accounts.load(self.durable.iter().map(state).collect());
        let rules = Rules::compile(&budgets(), []).unwrap();
        self.bound = self.accounts.bind(rules, &[], self.now).0;
        for model in &mut self.models {
            let name = if model.soft { "soft" } else { "hard" };
            let rows = self
                .durable
                .iter()
                .filter(|((key, _), _)| *key.budget == *name && key.period == model.period);
            let newest = rows.map(|((_, start), (posted, _))| (*start, *posted)).max();
            (model.start, model.posted, model.held) = (0, 0, 0);
            model.turn(self.now);
            if let Some((start, posted)) = newest.filter(|(start, _)| *start >= model.start) {
                (model.start, model.posted) = (start, posted);
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let list = self.accounts.list(&self.bound, self.now);
        prop_assert_eq!(list.len(), self.models.len());
        for (account, model) in list.iter().zip(&self.models) {
            let (spent, held) = (account.spent.0, account.held.0);
            prop_assert_eq!((account.start, spent, held), (model.start, model.posted, model.held));
            let overrun = model.overrun.get(&model.start).copied().unwrap_or(0);
            prop_assert!(
                model.soft || spent + held <= model.limit + overrun,
                "over the limit: {:?}",
                account
            );
            let key = AccountKey {
                budget: account.budget.clone(),
                holder: account.holder.clone(),
                period: account.period,
            };
            let (posted, mark) = self.durable.get(&(key, account.start)).copied().unwrap_or_default();
            prop_assert!(spent + held <= mark, "over the watermark {}: {:?}", mark, account);
            prop_assert_eq!(posted, spent);
            prop_assert!(model.soft || mark <= model.limit + overrun, "watermark {} over the limit", mark);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_overspends(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            world.check()?;
        }
    }
}
