//! Who shares a call, to what end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tower::service_fn;

use super::*;
use crate::{
    base::{deadline::Deadline, id::RequestId},
    cache::store::Which,
    config::{self, Config},
    metrics::Metrics,
    openai::{Ask, Endpoint},
    pipeline::{
        answer::{Content, Facts},
        job::{Job, Wishes},
        refusal::Code,
        snapshot::Snapshot,
        verdict::Verdict,
    },
    route::{Missing, WantedBy},
    spend::Till,
    upstream::Timing,
};

const SECOND: Duration = Duration::from_secs(1);

type Told = Result<Answer, Box<Refusal>>;

/// A vault with those who may ask: the keys `k0`, `k1` and so on share their answers.
struct House {
    vault: Arc<Vault>,
    snapshot: Arc<Snapshot>,
    calls: Arc<AtomicUsize>,
}

impl House {
    fn new() -> Self {
        let budget = |name: &str| serde_json::json!({ "name": name, "scope": name, "daily": "1.0" });
        let keys: Vec<_> = (0..100)
            .map(|number| {
                let team = if number % 2 == 0 { "even" } else { "odd" };
                let (name, secret) = (format!("k{number}"), format!("sk-{number}"));
                serde_json::json!({ "name": name, "secret": secret, "tags": { "team": team } })
            })
            .collect();
        let config = serde_json::json!({
            "providers": { "p": { "base_url": "http://127.0.0.1:1" } },
            "models": { "m": { "provider": "p" } },
            "cache": { "enabled": true, "scope": "global" },
            "keys": keys,
        });
        let config: Config = serde_json::from_value(config).unwrap();
        let metrics = Metrics::new().unwrap();
        let till = Till::in_memory(&metrics);
        let built = Snapshot::build(config.clone(), None, &metrics, &till, Arc::default()).unwrap();
        let mut snapshot = Snapshot::clone(&built);
        // Only to be looked up: nothing is spent here.
        let budgets = ["global", "each-key", "key:k0", "tag:team=even", "model:m"].map(budget);
        let budgets = serde_json::from_value(budgets.to_vec().into()).unwrap();
        snapshot.config = Arc::new(Config { budgets, ..config });
        let vault = Vault::new(&snapshot.config.cache, &metrics, &till);
        Self { vault, snapshot: Arc::new(snapshot), calls: Arc::default() }
    }

    fn settings(&self, enabled: bool) -> config::Cache {
        config::Cache { enabled, ..self.snapshot.config.cache.clone() }
    }

    fn missed(&self, key: usize, stream: bool) -> Missed {
        let body = serde_json::json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "x" }] });
        let name = format!("k{key}");
        let key = self.snapshot.keys.iter().find(|key| **key.name() == *name).unwrap();
        let deadline = Deadline::after(Instant::now(), 10 * SECOND);
        let job = Job {
            id: RequestId::fresh(),
            ask: Arc::new(Ask::parse(Endpoint::Chat, body.to_string().into()).unwrap()),
            wishes: Wishes::default(),
            key: Some(Arc::clone(key)),
            tags: Arc::default(),
            tokens: None,
            snapshot: Arc::clone(&self.snapshot),
            timing: Timing { deadline, by_client: false, bounds_stream: false, attempt: None },
            cache: "bypass",
            trace: None,
        };
        let wanted = self.snapshot.book.wanted(WantedBy::Name("m")).unwrap();
        Missed { job: Box::new(job), wanted, verdict: Verdict::default() }
    }

    /// The key asks, and its call would end so.
    fn asks<F>(
        &self,
        key: usize,
        stream: bool,
        call: impl Fn(Missed) -> F + Clone + Send + 'static,
    ) -> JoinHandle<Told>
    where
        F: Future<Output = Told> + Send + 'static,
    {
        let missed = self.missed(key, stream);
        let question = Question::of(&missed).unwrap();
        let calls = Arc::clone(&self.calls);
        let inner = service_fn(move |missed| {
            calls.fetch_add(1, Ordering::SeqCst);
            call(missed)
        });
        let vault = Arc::clone(&self.vault);
        tokio::spawn(async move { vault.answer(question, missed, inner).await })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn refusal(code: Code) -> Box<Refusal> {
    Box::new(Refusal::new(code, "No."))
}

/// Nobody has money for it, each for the reason of this budget; that takes a second to know.
async fn spent(budget: &'static str) -> Told {
    sleep(SECOND).await;
    Err(Box::new(Refusal { budget: Some(budget.into()), ..*refusal(Code::BudgetExceeded) }))
}

/// The call of a target that answers.
async fn answered(missed: Missed) -> Told {
    sleep(SECOND).await;
    let target = missed.job.snapshot.book.target("m").cloned();
    let body = serde_json::json!({
        "choices": [{ "index": 0, "message": { "content": "Hi." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1 },
    });
    Ok(Answer {
        facts: Box::new(Facts { target, ..Facts::free() }),
        content: Content::Whole(body.to_string().into()),
    })
}

async fn codes(asked: Vec<JoinHandle<Told>>) -> Vec<Option<Code>> {
    let mut codes = Vec::new();
    for one in asked {
        codes.push(one.await.unwrap().err().map(|refusal| refusal.code));
    }
    codes
}

#[tokio::test(start_paused = true)]
async fn targets_that_take_too_long_take_too_long_for_all() {
    let house = House::new();
    let late = |_| async {
        sleep(SECOND).await;
        Err(refusal(Code::UpstreamTimeout))
    };
    let asked = (0..20).map(|key| house.asks(key, key % 2 == 0, late)).collect();
    assert!(codes(asked).await.iter().all(|code| *code == Some(Code::UpstreamTimeout)));
    assert_eq!(house.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn whose_own_time_is_over_leaves_those_who_have_some() {
    let house = House::new();
    let until_over = |missed: Missed| async move {
        sleep_until(missed.job.timing.deadline.instant()).await;
        Err(refusal(Code::UpstreamTimeout))
    };
    let begun = Instant::now();
    let leader = house.asks(0, false, until_over);
    sleep(2 * SECOND).await;
    let early: Vec<_> = (1..10).map(|key| house.asks(key, false, until_over)).collect();
    sleep(6 * SECOND).await;
    let late: Vec<_> = (10..20).map(|key| house.asks(key, false, until_over)).collect();
    for one in early.into_iter().chain([leader]) {
        assert_eq!(one.await.unwrap().unwrap_err().code, Code::UpstreamTimeout);
    }
    // Two of ten seconds are too little to pay for another try.
    assert!(begun.elapsed() < 11 * SECOND);
    codes(late).await;
    assert!(begun.elapsed() >= 18 * SECOND && begun.elapsed() < 19 * SECOND);
    assert_eq!(house.calls(), 2, "one of those who had eight seconds left");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_counts_all_is_spent_for_all() {
    for (budget, calls) in [("global", 1), ("tag:team=even", 2)] {
        let house = House::new();
        let call = move |missed: Missed| async move {
            let team = missed.job.key.as_ref().unwrap().tags().get("team").unwrap() == "odd";
            if budget != "global" && team { answered(missed).await } else { spent(budget).await }
        };
        let codes = codes((0..100).map(|key| house.asks(key, false, call)).collect()).await;
        let refused = codes.iter().filter(|code| **code == Some(Code::BudgetExceeded)).count();
        assert_eq!((refused, house.calls()), (100 / calls, calls), "{budget}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_without_money_do_not_queue_up() {
    let house = House::new();
    let begun = Instant::now();
    let spent = |_| spent("each-key");
    let codes = codes((0..100).map(|key| house.asks(key, false, spent)).collect()).await;
    assert!(codes.iter().all(|code| *code == Some(Code::BudgetExceeded)));
    assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    // Those of one key are one, wherever they ask.
    let house = House::new();
    let codes = self::codes((0..100).map(|number| house.asks(number % 10, false, spent)).collect()).await;
    assert_eq!((codes.len(), house.calls()), (100, 10));
}

#[tokio::test(start_paused = true)]
async fn whose_budget_is_spent_leaves_the_others_one_call() {
    let house = House::new();
    let call = |missed: Missed| async move {
        match &**missed.job.key.as_ref().unwrap().name() {
            "k0" => spent("key:k0").await,
            _ => answered(missed).await,
        }
    };
    let codes = codes((0..100).map(|key| house.asks(key, key % 2 == 0, call)).collect()).await;
    assert_eq!(codes.iter().filter(|code| code.is_some()).count(), 1);
    assert_eq!(house.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_want_of_the_leaders_money_is_the_leaders() {
    for (missing, diverted, calls) in [
        (Some(Missing::Price), false, 2),
        (Some(Missing::Budget("key:k0".into())), false, 2),
        (Some(Missing::Budget("model:m".into())), false, 1),
        (None, true, 2),
        (None, false, 1),
    ] {
        let house = House::new();
        let target = house.snapshot.book.target("m").unwrap().clone();
        let told = missing.clone();
        let call = move |missed: Missed| {
            let (target, missing) = (target.clone(), told.clone());
            async move {
                sleep(SECOND).await;
                if &**missed.job.key.as_ref().unwrap().name() != "k0" {
                    return answered(missed).await;
                }
                let skipped = missing.map(|missing| (target, missing)).into_iter().collect();
                let facts = Some(Facts { skipped, ..Facts::free() });
                Err(Box::new(Refusal { facts, diverted, ..*refusal(Code::UpstreamUnavailable) }))
            }
        };
        let codes = codes((0..10).map(|key| house.asks(key.min(8) / 2, false, call.clone())).collect()).await;
        let down = codes.iter().filter(|code| code.is_some()).count();
        // Those of the same key share whatever comes.
        assert_eq!((down, house.calls()), (if calls == 1 { 10 } else { 2 }, calls), "{missing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_met_once() {
    let house = House::new();
    let fails = |_| async {
        sleep(SECOND).await;
        panic!("a fault")
    };
    let asked = (0..20).map(|key| house.asks(key, key % 2 == 0, fails)).collect();
    assert!(codes(asked).await.iter().all(|code| *code == Some(Code::Internal)));
    assert_eq!(house.calls(), 1);
    assert_eq!(codes(vec![house.asks(0, false, answered)]).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_answers_are_thrown_away_is_for_those_who_wait() {
    let house = House::new();
    let before = house.asks(0, false, answered);
    sleep(SECOND / 2).await;
    assert_eq!(house.vault.purge(&Which::Route("other".into())), 0);
    let after = house.asks(0, false, answered);
    assert!(before.await.unwrap().is_ok());
    assert_eq!((house.vault.store.entries(), house.calls()), (0, 2));
    assert_eq!(after.await.unwrap().unwrap().facts.cache.word, "miss");
    assert_eq!(house.vault.store.entries(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_switched_off_keeps_nothing_of_before() {
    let house = House::new();
    let before = house.asks(0, false, answered);
    tokio::task::yield_now().await;
    house.vault.reload(&house.settings(false));
    // From one who still sees the old settings.
    let late = house.asks(1, false, answered);
    tokio::task::yield_now().await;
    sleep(SECOND / 2).await;
    house.vault.reload(&house.settings(true));
    assert!(before.await.unwrap().is_ok() && late.await.unwrap().is_ok());
    assert_eq!(house.vault.store.entries(), 0);
    house.vault.reload(&house.settings(false));
    assert!(house.asks(0, false, answered).await.unwrap().is_ok());
    assert_eq!(house.vault.store.entries(), 0);
    house.vault.reload(&house.settings(true));
    assert!(house.asks(0, false, answered).await.unwrap().is_ok());
    house.vault.reload(&house.settings(true));
    assert_eq!(house.vault.store.entries(), 1);
}
