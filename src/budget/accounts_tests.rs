//! Tests of the book of accounts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    thread,
};

use super::*;
use crate::{
    base::{
        account::{AccountKey, AccountState, AccountWindow, Period},
        money::Nanos,
    },
    config::{Budget, Enforce},
};

const DAY: i64 = 86_400;
const NOW: i64 = 20_000 * DAY + 3600;
const DOLLAR: i64 = 1_000_000_000;
const CENT: i64 = DOLLAR / 100;

static NO_TAGS: BTreeMap<String, String> = BTreeMap::new();
static ROUTES: LazyLock<[Arc<str>; 1]> = LazyLock::new(|| ["standard".into()]);

/// 1,000 tokens of output at $10 a million: a cent.
fn cent() -> Estimate {
    Estimate {
        input: Nanos::ZERO,
        output_pico: 10_000_000,
        wanted: 1000,
        client: Some(0),
        usual: 500,
        spent: Nanos::ZERO,
        ceiling: None,
        counts: true,
    }
}

fn ask(estimate: Estimate) -> Ask<'static> {
    let who = Who { key: "bot", tags: &NO_TAGS, routes: &*ROUTES };
    let target = Some(TargetName { model: "m", provider: "p" });
    Ask { who, target, estimate, downgraded: false }
}

fn daily(dollars: i64) -> Budget {
    Budget { daily: Some(Nanos(dollars * DOLLAR)), ..Budget::named("b") }
}

fn soft(dollars: i64) -> Budget {
    Budget { enforce: Enforce::Soft, ..daily(dollars) }
}

struct Desk {
    accounts: Accounts,
    bound: Bound,
}

impl Desk {
    fn new(budgets: &[Budget]) -> Self {
        Self::with_quota(budgets, 0)
    }

    fn with_quota(budgets: &[Budget], quota: u64) -> Self {
        let accounts = Accounts::new();
        let (bound, _) = accounts.bind(Rules::compile(budgets, [("bot", quota)]).unwrap(), &[], NOW);
        Self { accounts, bound }
    }

    fn admit_at(&self, ask: &Ask<'_>, mut swap: Option<Held>, now: i64) -> Result<Held, Exceeded> {
        // One raise is enough where nobody else asks.
        for _ in 0..10_000 {
            match self.accounts.admit(&self.bound, ask, swap.take(), now) {
                Admission::Held(held) => return Ok(held),
                Admission::Exceeded(exceeded) => return Err(exceeded),
                Admission::Raise { marks, swap: back } => {
                    self.accounts.raised(&marks);
                    swap = back;
                }
            }
        }
        panic!("raised without end");
    }

    fn admit(&self, estimate: Estimate) -> Result<Held, Exceeded> {
        self.admit_at(&ask(estimate), None, NOW)
    }

    fn spend(&self, nanos: i64) -> Settled {
        let held = self.admit(Estimate { wanted: 1, ..cent() }).unwrap();
        self.accounts.settle(held, Nanos(nanos), NOW)
    }

    fn spent_and_held(&self) -> Vec<(i64, i64)> {
        let list = self.accounts.list(&self.bound, NOW);
        list.iter().map(|account| (account.spent.0, account.held.0)).collect()
    }
}

#[test]
fn a_hold_is_settled_once_and_the_rest_released() {
    let desk = Desk::new(&[daily(1)]);
    let held = desk.admit(cent()).unwrap();
    assert_eq!((held.amount, held.max_output), (Nanos(CENT), None));
    assert_eq!(desk.spent_and_held(), [(0, CENT)]);
    let settled = desk.accounts.settle(held, Nanos(CENT / 2), NOW);
    let window = AccountWindow {
        account: AccountKey { budget: "b".into(), holder: "".into(), period: Period::Daily },
        start: 20_000 * DAY,
    };
    assert_eq!(settled.charges, [crate::base::account::Charge { window, amount: Nanos(CENT / 2) }]);
    assert!(settled.overruns.is_empty() && settled.marks.is_empty());
    assert_eq!(desk.spent_and_held(), [(CENT / 2, 0)]);
    let held = desk.admit(cent()).unwrap();
    desk.accounts.void(held, NOW);
    assert_eq!(desk.spent_and_held(), [(CENT / 2, 0)]);
}

#[test]
fn output_is_limited_to_what_the_tightest_affords() {
    let tight = Budget { per_request: Some(Nanos(CENT)), ..Budget::named("tight") };
    let desk = Desk::new(&[daily(1), tight]);
    let open = Estimate { wanted: u64::MAX, client: None, input: Nanos(CENT / 2), ..cent() };
    let held = desk.admit(open).unwrap();
    assert_eq!((held.max_output, held.amount), (Some(500), Nanos(CENT)));
    let desk = Desk::new(&[daily(10)]);
    // Nobody said how much: the budget's default. The client did: as it says, unless that is too much.
    assert_eq!(desk.admit(open).unwrap().max_output, Some(16_384));
    assert_eq!(desk.admit(Estimate { wanted: 8192, ..open }).unwrap().max_output, None);
    assert_eq!(desk.admit(Estimate { wanted: 50_000, client: Some(0), ..open }).unwrap().max_output, None);
    // What costs nothing is not limited.
    let free = Estimate { output_pico: 0, ..open };
    assert_eq!(desk.admit(free).unwrap().max_output, None);
}

#[test]
fn too_little_output_does_not_fit() {
    let desk = Desk::new(&[Budget { per_request: Some(Nanos(255 * 10_000)), ..Budget::named("b") }]);
    let refused = desk.admit(cent()).unwrap_err();
    assert_eq!((refused.limit, refused.may_free, refused.resets_at), (Limit::PerRequest, false, None));
    assert_eq!(refused.action, Action::Reject);
    // One that wants no more is served.
    assert_eq!(desk.admit(Estimate { wanted: 255, ..cent() }).unwrap().max_output, None);
    let ceiling = Estimate { ceiling: Some(Nanos(CENT / 10)), ..cent() };
    let free = Desk::new(&[]);
    assert_eq!(free.admit(ceiling).unwrap_err().limit, Limit::MaxCost);
    let held = free.admit(Estimate { ceiling: Some(Nanos(CENT / 2)), ..cent() }).unwrap();
    assert_eq!((held.max_output, held.is_free()), (Some(500), true));
}

#[test]
fn waiting_helps_only_where_something_is_held() {
    let desk = Desk::new(&[Budget { daily: Some(Nanos(CENT)), ..Budget::named("b") }]);
    let held = desk.admit(cent()).unwrap();
    let refused = desk.admit(cent()).unwrap_err();
    assert!(refused.may_free && !refused.target_only);
    assert_eq!(refused.resets_at, Some(20_001 * DAY));
    let _ = desk.accounts.settle(held, Nanos(CENT), NOW);
    assert!(!desk.admit(cent()).unwrap_err().may_free);
    // What costs nothing is served all the same.
    assert!(desk.admit(Estimate { output_pico: 0, ..cent() }).is_ok());
}

#[test]
fn more_than_held_is_posted_in_full_and_seen_by_the_next() {
    let desk = Desk::new(&[daily(1)]);
    let held = desk.admit(cent()).unwrap();
    let settled = desk.accounts.settle(held, Nanos(3 * DOLLAR), NOW);
    assert_eq!(settled.charges[0].amount, Nanos(3 * DOLLAR));
    assert_eq!(settled.overruns[0].by, Nanos(3 * DOLLAR - CENT));
    assert_eq!(settled.marks[0].to, Nanos(3 * DOLLAR));
    assert!(desk.admit(cent()).is_err());
    let account = &desk.accounts.list(&desk.bound, NOW)[0];
    assert_eq!((account.overruns, account.remaining), (1, Nanos::ZERO));
}

#[test]
fn a_soft_budget_holds_the_usual_and_may_be_passed_by_what_is_under_way() {
    let desk = Desk::new(&[Budget { daily: Some(Nanos(CENT)), ..soft(1) }]);
    let holds: Vec<Held> = (0..2).map(|_| desk.admit(cent()).unwrap()).collect();
    assert_eq!((holds[0].amount, holds[0].max_output), (Nanos(CENT / 2), None));
    assert!(desk.admit(cent()).unwrap_err().may_free);
    for held in holds {
        assert!(desk.accounts.settle(held, Nanos(CENT), NOW).overruns.is_empty());
    }
    assert_eq!(desk.spent_and_held(), [(2 * CENT, 0)]);
    assert_eq!(desk.admit(cent()).unwrap_err().action, Action::Reject);
}

#[test]
fn a_soft_budget_goes_on_past_its_limit_on_the_cheaper_route() {
    let desk = Desk::new(&[Budget { on_exceeded: "downgrade:cheap".into(), ..soft(1) }]);
    let _ = desk.spend(2 * DOLLAR);
    let refused = desk.admit(cent()).unwrap_err();
    assert_eq!(refused.action, Action::Downgrade("cheap".into()));
    let cheaper = Ask { downgraded: true, ..ask(cent()) };
    let held = desk.admit_at(&cheaper, None, NOW).unwrap();
    let _ = desk.accounts.settle(held, Nanos(CENT), NOW);
    assert_eq!(desk.spent_and_held(), [(2 * DOLLAR + CENT, 0)]);
}

#[test]
fn a_hard_budget_holds_on_the_cheaper_route_too() {
    let budget = Budget {
        daily: Some(Nanos(CENT)),
        on_exceeded: "downgrade:cheap".into(),
        downgrade_from: Some(0.5),
        ..Budget::named("b")
    };
    let desk = Desk::new(&[budget]);
    let half = Estimate { output_pico: 5_000_000, ..cent() };
    let first = desk.admit(half).unwrap();
    let refused = desk.admit(Estimate { output_pico: 1, ..cent() }).unwrap_err();
    assert_eq!((refused.action, refused.may_free), (Action::Downgrade("cheap".into()), false));
    let cheaper = Ask { downgraded: true, ..ask(half) };
    let second = desk.admit_at(&cheaper, None, NOW).unwrap();
    assert_eq!(desk.admit_at(&cheaper, None, NOW).unwrap_err().action, Action::Reject);
    desk.accounts.void(first, NOW);
    desk.accounts.void(second, NOW);
}

#[test]
fn the_watermark_is_raised_by_steps_never_over_the_limit() {
    let desk = Desk::new(&[daily(2)]);
    let raise = |estimate| match desk.accounts.admit(&desk.bound, &ask(estimate), None, NOW) {
        Admission::Raise { marks, .. } => marks[0].to.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(raise(cent()), DOLLAR / 10);
    assert_eq!(raise(cent()), DOLLAR / 10, "nothing changes before the ledger has it");
    assert_eq!(raise(Estimate { wanted: 50_000, ..cent() }), DOLLAR / 2);
    let _ = desk.spend(2 * DOLLAR - CENT);
    // The rest is smaller than any step.
    assert!(
        matches!(desk.accounts.admit(&desk.bound, &ask(cent()), None, NOW), Admission::Raise { marks, .. }
        if marks[0].to == Nanos(2 * DOLLAR))
    );
    let wide = Desk::new(&[daily(1000)]);
    assert!(
        matches!(wide.accounts.admit(&wide.bound, &ask(cent()), None, NOW), Admission::Raise { marks, .. }
        if marks[0].to == Nanos(DOLLAR))
    );
    let quota = Desk::with_quota(&[], 10_000);
    assert!(
        matches!(quota.accounts.admit(&quota.bound, &ask(cent()), None, NOW), Admission::Raise { marks, .. }
        if marks[0].to == Nanos(50))
    );
}

#[test]
fn a_quota_counts_each_request_once() {
    let desk = Desk::with_quota(&[], 2);
    for _ in 0..2 {
        let held = desk.admit(cent()).unwrap();
        let settled = desk.accounts.settle(held, Nanos::ZERO, NOW);
        assert_eq!(settled.charges[0].amount, Nanos(1));
        assert!(settled.charges[0].window.account.counts_requests());
    }
    let refused = desk.admit(cent()).unwrap_err();
    assert_eq!((refused.unit, refused.limit), (Unit::Requests, Limit::Period(Period::Monthly)));
    // Another attempt of a request that was counted.
    assert!(desk.admit(Estimate { counts: false, ..cent() }).unwrap().is_free());
    let who = Who { key: "bot", tags: &NO_TAGS, routes: &*ROUTES };
    assert_eq!(desk.accounts.remaining(&desk.bound, &who, [Period::Monthly], NOW), [None]);
    assert_eq!(desk.bound.bounds(&who, None), None);
}

#[test]
fn a_swap_gives_back_and_takes_in_one_step() {
    let desk = Desk::new(&[Budget { daily: Some(Nanos(CENT)), ..Budget::named("b") }]);
    let first = desk.admit(cent()).unwrap();
    let second = desk.admit_at(&ask(cent()), Some(first), NOW).unwrap();
    assert_eq!(desk.spent_and_held(), [(0, CENT)]);
    let dear = Estimate { input: Nanos(2 * CENT), ..cent() };
    assert!(desk.admit_at(&ask(dear), Some(second), NOW).is_err());
    assert_eq!(desk.spent_and_held(), [(0, 0)]);
    // A watermark in the way leaves the old hold as it was.
    let desk = Desk::new(&[daily(1)]);
    let small = desk.admit(Estimate { wanted: 1, ..cent() }).unwrap();
    let big = ask(Estimate { wanted: 50_000, ..cent() });
    let Admission::Raise { swap: Some(small), .. } = desk.accounts.admit(&desk.bound, &big, Some(small), NOW)
    else {
        panic!("the watermark suffices");
    };
    assert_eq!(desk.spent_and_held(), [(0, 10_000)]);
    desk.accounts.void(small, NOW);
    assert_eq!(desk.spent_and_held(), [(0, 0)]);
}

#[test]
fn a_charge_belongs_to_the_window_of_its_admission() {
    let desk = Desk::new(&[daily(1)]);
    let old = desk.admit(cent()).unwrap();
    let tomorrow = NOW + DAY;
    let new = desk.admit_at(&ask(cent()), None, tomorrow).unwrap();
    assert!(desk.accounts.ended(tomorrow + 3600).is_empty(), "something is still held there");
    let settled = desk.accounts.settle(old, Nanos(CENT), tomorrow);
    assert_eq!(settled.charges[0].window.start, 20_000 * DAY);
    assert_eq!(desk.accounts.list(&desk.bound, tomorrow)[0].spent, Nanos::ZERO);
    assert!(desk.accounts.ended(tomorrow + 59).is_empty());
    assert_eq!(desk.accounts.ended(tomorrow + 60), [settled.charges[0].window.clone()]);
    desk.accounts.closed(&desk.accounts.ended(tomorrow + 60));
    assert!(desk.accounts.ended(tomorrow + 60).is_empty());
    // The clock steps back over midnight: the new day goes on, the old one is not opened again.
    let back = desk.admit_at(&ask(cent()), None, NOW).unwrap();
    for held in [new, back] {
        let settled = desk.accounts.settle(held, Nanos(CENT), NOW);
        assert_eq!(settled.charges.len(), 1);
        assert_eq!(settled.charges[0].window.start, 20_001 * DAY);
    }
    assert_eq!(desk.accounts.list(&desk.bound, tomorrow)[0].spent, Nanos(2 * CENT));
}

#[test]
fn a_day_in_amsterdam_ends_at_its_own_midnight() {
    let budget = Budget { timezone: "Europe/Amsterdam".into(), ..daily(1) };
    for (midnight, length) in [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25)] {
        let midnight = crate::base::calendar::moment(midnight).unwrap();
        let accounts = Accounts::new();
        let (bound, _) = accounts.bind(Rules::compile([&budget], []).unwrap(), &[], midnight - 1);
        let desk = Desk { accounts, bound };
        let start = |now| {
            let held = desk.admit_at(&ask(cent()), None, now).unwrap();
            desk.accounts.settle(held, Nanos(CENT), now).charges[0].window.start
        };
        assert!(start(midnight - 1) < midnight);
        let end = midnight + length * 3600;
        assert_eq!(
            [start(midnight), start(end - 1), start(end), start(end - 7200)],
            [midnight, midnight, end, end]
        );
    }
}

#[test]
fn what_the_ledger_knows_is_taken_over() {
    let state = |holder: &str, start, posted| AccountState {
        window: AccountWindow {
            account: AccountKey { budget: "b".into(), holder: holder.into(), period: Period::Daily },
            start,
        },
        posted: Nanos(posted),
        watermark: Nanos(posted),
    };
    let today = 20_000 * DAY;
    let accounts = Accounts::new();
    accounts.load(vec![
        state("a", today - DAY, 7),
        state("a", today, 5),
        state("b", today - DAY, 3),
        state("c", today + DAY, 4),
    ]);
    let budget = Budget { scope: "each-key".into(), alert_at: vec![0.5], ..daily(1) };
    let (bound, fresh) = accounts.bind(Rules::compile([&budget], []).unwrap(), &["a", "b", "c", "d"], NOW);
    let known: Vec<(Arc<str>, i64, i64)> =
        accounts.list(&bound, NOW).into_iter().map(|one| (one.holder, one.start, one.spent.0)).collect();
    let expected =
        [("-", today, 0), ("a", today, 5), ("b", today, 0), ("c", today + DAY, 4), ("d", today, 0)];
    assert_eq!(known, expected.map(|(holder, start, spent)| (holder.into(), start, spent)));
    let names: Vec<&str> = fresh.iter().map(|fresh| &*fresh.window.account.holder).collect();
    assert_eq!(names, ["-", "b", "d"]);
    assert_eq!(fresh[1].scope, crate::config::Scope::Key("b".into()));
    // What was spent before the budget came is put in before it is used.
    accounts.load(vec![state("d", today, DOLLAR)]);
    let who = |key| Who { key, tags: &NO_TAGS, routes: &*ROUTES };
    assert_eq!(accounts.remaining(&bound, &who("d"), [Period::Daily], NOW), [Some(Nanos::ZERO)]);
    // A reload keeps what was spent.
    let (again, fresh) = accounts.bind(Rules::compile([&daily(2)], []).unwrap(), &["a"], NOW);
    assert_eq!(fresh.len(), 1, "the same budget for all is another account");
    assert_eq!(accounts.list(&again, NOW).len(), 1);
}

#[test]
fn an_account_is_fresh_until_it_was_told_what_was_spent_and_again_once_nobody_looks_after_it() {
    let accounts = Accounts::new();
    let shares = Budget { scope: "each-key".into(), ..daily(1) };
    let other = Budget { name: "other".into(), ..daily(1) };
    let bind = |budgets: &[&Budget], holders: &[&str]| {
        accounts.bind(Rules::compile(budgets.iter().copied(), []).unwrap(), holders, NOW)
    };
    let told = |fresh: &[Fresh], posted| {
        let state = |fresh: &Fresh| AccountState {
            window: fresh.window.clone(),
            posted: Nanos(posted),
            watermark: Nanos(posted),
        };
        accounts.load(fresh.iter().map(state).collect());
    };
    let holders = |fresh: &[Fresh]| -> Vec<String> {
        fresh.iter().map(|fresh| fresh.window.account.holder.to_string()).collect()
    };
    let (_, fresh) = bind(&[&shares], &["a"]);
    assert_eq!(holders(&fresh), ["-", "a"]);
    let (_, again) = bind(&[&shares], &["a"]);
    assert_eq!(again, fresh, "what could not be read is asked for again");
    told(&again, 7);
    assert!(bind(&[&shares], &["a"]).1.is_empty());
    // A key, then the budget itself, are away for a while.
    assert_eq!(holders(&bind(&[&shares], &[]).1), [""; 0]);
    let (_, fresh) = bind(&[&shares], &["a"]);
    assert_eq!(holders(&fresh), ["a"]);
    told(&fresh, 5);
    told(&bind(&[&other], &[]).1, 0);
    let (bound, fresh) = bind(&[&shares], &["a"]);
    assert_eq!(holders(&fresh), ["-", "a"]);
    told(&fresh, 9);
    let spent: Vec<i64> = accounts.list(&bound, NOW).iter().map(|one| one.spent.0).collect();
    assert_eq!(spent, [9, 9], "raised, never lowered");
    // Under another scope it has counted something else.
    let (_, fresh) = bind(&[&other], &[]);
    told(&fresh, 1);
    let mine = Budget { scope: "key:a".into(), ..other.clone() };
    let (_, fresh) = bind(&[&mine], &[]);
    assert_eq!(fresh[0].scope, crate::config::Scope::Key("a".into()));
    // What the ledger knew at the start says nothing of an account that comes later.
    let window = AccountWindow {
        account: AccountKey { budget: "late".into(), holder: "".into(), period: Period::Daily },
        start: 20_000 * DAY,
    };
    accounts.load(vec![AccountState { window, posted: Nanos(3), watermark: Nanos(3) }]);
    let late = Budget { name: "late".into(), ..daily(1) };
    let (bound, fresh) = bind(&[&late], &[]);
    assert_eq!((fresh.len(), accounts.list(&bound, NOW)[0].spent), (1, Nanos(3)));
}

#[test]
fn a_list_is_paged_and_a_limit_told_by_its_fullest_share() {
    let budget = Budget { scope: "each-key".into(), monthly: Some(Nanos(DOLLAR)), ..daily(1) };
    let accounts = Accounts::new();
    let rules = Rules::compile([&budget, &Budget { name: "all".into(), ..daily(2) }], [("bot", 5)]).unwrap();
    let (bound, _) = accounts.bind(rules, &["bot", "a", "c"], NOW);
    let desk = Desk { accounts, bound };
    let _ = desk.spend(5);
    let held = desk.admit(cent()).unwrap();
    let (all, none) = desk.accounts.page(&desk.bound, Cursor::default(), 10, NOW);
    assert_eq!((all.len(), none), (2 * 4 + 1 + 1, None));
    for limit in 1..10 {
        let (mut read, mut next) = (Vec::new(), Some(Cursor::default()));
        while let Some(from) = next {
            assert_eq!(from.to_string().parse(), Ok(from));
            let (page, after) = desk.accounts.page(&desk.bound, from, limit, NOW);
            assert!(!page.is_empty() && page.len() <= limit);
            read.extend(page);
            next = after;
        }
        assert_eq!(read, all);
    }
    let beyond: Cursor = "9-0-0".parse().unwrap();
    assert_eq!(desk.accounts.page(&desk.bound, beyond, 10, NOW), (vec![], None));
    for bad in ["", "1-2", "1-2-3-4", "a-b-c", "-1-0-0"] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
    let fullest = desk.accounts.fullest(&desk.bound, NOW);
    let standing: Vec<_> =
        fullest.iter().map(|one| (&*one.budget, one.period, one.spent.0, one.held.0)).collect();
    assert_eq!(
        standing,
        [("b", Period::Daily, 5, CENT), ("b", Period::Monthly, 5, CENT), ("all", Period::Daily, 5, CENT)]
    );
    desk.accounts.void(held, NOW);
}

#[test]
fn a_window_that_was_used_is_told_until_it_is_closed() {
    let desk = Desk::new(&[daily(1), Budget { scope: "key:other".into(), name: "idle".into(), ..daily(1) }]);
    // A raise that nobody waits for any more.
    let Admission::Raise { .. } = desk.accounts.admit(&desk.bound, &ask(cent()), None, NOW) else {
        panic!("the watermark suffices");
    };
    let tomorrow = NOW + DAY;
    assert_eq!(desk.accounts.list(&desk.bound, tomorrow).len(), 2);
    let ended = desk.accounts.ended(tomorrow + 60);
    assert_eq!(
        ended.iter().map(|one| (&*one.account.budget, one.start)).collect::<Vec<_>>(),
        [("b", 20_000 * DAY)]
    );
    assert_eq!(desk.accounts.ended(tomorrow + 60), ended, "it could not be written");
    desk.accounts.closed(&ended);
    assert!(desk.accounts.ended(tomorrow + 60).is_empty());
}

#[test]
fn each_share_of_a_limit_is_told_once() {
    let desk = Desk::new(&[Budget { alert_at: vec![0.5, 0.8, 1.0], ..daily(1) }]);
    let told = |nanos| -> Vec<f64> { desk.spend(nanos).crossed.iter().map(|one| one.fraction).collect() };
    assert!(told(DOLLAR / 2 - 1).is_empty());
    assert_eq!(told(1), [0.5]);
    assert!(told(1).is_empty());
    assert_eq!(told(DOLLAR / 2 - 1), [0.8, 1.0]);
    let next = desk.admit_at(&ask(Estimate { wanted: 1, ..cent() }), None, NOW + DAY).unwrap();
    assert_eq!(desk.accounts.settle(next, Nanos(DOLLAR), NOW + DAY).crossed.len(), 3);
}

#[test]
fn a_target_without_room_is_only_passed_over() {
    let target = Budget { scope: "model:m".into(), daily: Some(Nanos(1)), ..Budget::named("m") };
    let desk = Desk::new(&[daily(1), target]);
    let refused = desk.admit(cent()).unwrap_err();
    assert!(refused.target_only && &*refused.budget == "m");
    let other = Ask { target: Some(TargetName { model: "n", provider: "p" }), ..ask(cent()) };
    assert!(desk.admit_at(&other, None, NOW).is_ok());
    // Where the request itself has no room, that is told.
    let desk = Desk::new(&[
        Budget { daily: Some(Nanos(1)), ..Budget::named("all") },
        Budget { scope: "provider:p".into(), daily: Some(Nanos(1)), ..Budget::named("p") },
    ]);
    assert_eq!(&*desk.admit(cent()).unwrap_err().budget, "all");
}

#[test]
fn each_key_has_its_own_share_and_the_keyless_one_together() {
    let desk =
        Desk::new(&[Budget { scope: "each-key".into(), daily: Some(Nanos(CENT)), ..Budget::named("b") }]);
    let by = |key| Ask { who: Who { key, tags: &NO_TAGS, routes: &*ROUTES }, ..ask(cent()) };
    let holds = ["a", "b", ""].map(|key| desk.admit_at(&by(key), None, NOW).unwrap());
    assert!(desk.admit_at(&by(""), None, NOW).is_err());
    let holders: Vec<Arc<str>> =
        desk.accounts.list(&desk.bound, NOW).into_iter().map(|one| one.holder).collect();
    assert_eq!(holders, ["-", "a", "b"].map(Arc::from));
    holds.into_iter().for_each(|held| desk.accounts.void(held, NOW));
}

#[tokio::test]
async fn whoever_waits_is_woken_by_what_is_given_back() {
    let desk = Desk::new(&[Budget { daily: Some(Nanos(CENT)), ..Budget::named("b") }]);
    let held = desk.admit(cent()).unwrap();
    let changed = desk.accounts.changed();
    assert!(desk.admit(cent()).unwrap_err().may_free);
    desk.accounts.void(held, NOW);
    changed.await;
    assert!(desk.admit(cent()).is_ok());
}

/// Many threads at once; how many were held, and the most that was ever spent or held together.
fn wave(desk: &Desk, asks: usize, ask: &Ask<'_>, cost: impl Fn(&Held) -> i64 + Sync) -> (usize, i64) {
    let (next, held, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicI64::new(0));
    let done = AtomicBool::new(false);
    let sample = || {
        for account in desk.accounts.list(&desk.bound, NOW) {
            most.fetch_max(account.spent.0 + account.held.0, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sample();
            }
        });
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    while next.fetch_add(1, Ordering::Relaxed) < asks {
                        if let Ok(one) = desk.admit_at(ask, None, NOW) {
                            held.fetch_add(1, Ordering::Relaxed);
                            kept.push(one);
                        }
                    }
                    kept.into_iter().for_each(|one| {
                        let cost = Nanos(cost(&one));
                        assert!(desk.accounts.settle(one, cost, NOW).overruns.is_empty());
                    });
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    sample();
    (held.into_inner(), most.into_inner())
}

#[test]
fn a_thousand_at_once_spend_a_dollar_to_the_cent_in_every_scope() {
    let tags = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    let who = Who { key: "bot", tags: &tags, routes: &*ROUTES };
    let scopes = ["global", "key:bot", "each-key", "tag:team=x", "route:standard", "model:m", "provider:p"];
    for scope in scopes {
        let desk = Desk::new(&[Budget { scope: scope.into(), ..daily(1) }]);
        let ask = Ask { who, ..ask(cent()) };
        let (held, most) = wave(&desk, 1000, &ask, |_| CENT);
        assert_eq!((held, most), (100, DOLLAR), "{scope}");
        assert_eq!(desk.spent_and_held().last(), Some(&(DOLLAR, 0)), "{scope}");
    }
}

#[test]
fn a_second_wave_spends_what_the_first_gave_back() {
    let desk = Desk::new(&[daily(1)]);
    let priced = Estimate { input: Nanos(CENT / 2), ..cent() };
    // Each costs less than was held for it.
    let cost = |held: &Held| held.amount.0 * 2 / 3;
    for wave_at in 0..12 {
        let (held, most) = wave(&desk, 1000, &ask(priced), cost);
        assert!(most <= DOLLAR, "wave {wave_at}: {most}");
        if held == 0 {
            break;
        }
    }
    let [(spent, held)] = desk.spent_and_held()[..] else { panic!("one account") };
    assert!(held == 0 && (DOLLAR * 98 / 100..=DOLLAR).contains(&spent), "{spent} {held}");
}
