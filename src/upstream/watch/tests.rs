//! A try counts exactly once, however it ends: in the metrics, in the ledger, in its target's health.

use bytes::Bytes;

use super::*;
use crate::{
    base::deadline::Deadline,
    budget::Bound,
    health::Minute,
    ledger::{
        Origin,
        report::Period,
        rows::{LedgerRow, RowQuery},
    },
    metrics::Metrics,
    openai::{Ask, Endpoint},
    route::{Book, Entries, Target},
    spend::{Purpose, Purse, Till},
    upstream::{Kind, fleet::Fleet},
};

/// One target of one provider, with all that counts its tries.
struct World {
    metrics: Metrics,
    till: Arc<Till>,
    fleet: Fleet,
    target: Arc<Target>,
    progress: Progress,
}

impl World {
    fn new() -> Self {
        let config = serde_json::from_value(serde_json::json!({
            "providers": { "p": { "protocol": "sim" } },
            "models": { "m": { "provider": "p", "price": { "input": 1, "output": 2 } } },
        }))
        .unwrap();
        let metrics = Metrics::new().unwrap();
        let till = Till::in_memory(&metrics);
        let fleet = Fleet::build(&config, None, &metrics, &till.bell).unwrap();
        let target = Arc::clone(Book::compile(&config, |_| true).target("m").unwrap());
        Self { metrics, till, fleet, target, progress: Progress::default() }
    }

    /// The leave to spend of one request.
    fn purse(&self, stream: bool) -> Purse {
        let body = serde_json::json!({
            "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "Say something." }],
        });
        let ask = Ask::parse(Endpoint::Chat, Bytes::from(body.to_string())).unwrap();
        let purpose = Purpose {
            origin: Origin { request_id: "req_1".into(), stream, ..Origin::default() },
            own_tags: Arc::default(),
            ask: Arc::new(ask),
            bound: Bound::default(),
            defaults: Arc::default(),
            routes: Entries::default(),
            route_label: "direct".into(),
            first_choice: None,
            baseline: None,
            deadline: Deadline::after(Instant::now(), Duration::from_secs(60)),
            ceiling: None,
            durable: true,
            tokens: None,
        };
        Purse::open(&self.till, purpose).unwrap()
    }

    fn ward(&self, stream: bool) -> Ward {
        self.fleet
            .patient(&self.target)
            .unwrap()
            .admit(Kind { stream, ..Kind::default() }, false, Instant::now())
            .unwrap()
    }

    /// A try that has a connection.
    async fn send(&self, purse: &Purse, ward: Ward, stream: bool) -> Box<Watch> {
        self.progress.handed_over();
        self.begin(purse, ward, stream).await
    }

    async fn begin(&self, purse: &Purse, ward: Ward, stream: bool) -> Box<Watch> {
        let hold = purse.hold(&self.target, 1).await.unwrap();
        let room = self.fleet.of(&self.target).unwrap().allowance.take(0, Instant::now()).unwrap();
        let metrics = self.fleet.metrics_of(&self.target).unwrap();
        Watch::begin(metrics, hold, room, Some(ward), &self.progress, (stream, None))
    }

    async fn try_it(&self, stream: bool) -> Box<Watch> {
        self.send(&self.purse(stream), self.ward(stream), stream).await
    }

    /// All rows, the oldest first.
    async fn rows(&self) -> Vec<LedgerRow> {
        // What was posted before is written with it.
        self.till.ledger.raise(Vec::new()).await.unwrap();
        let query = RowQuery {
            period: Period { since: 0, until: i64::MAX },
            key: None,
            model: None,
            request_id: None,
            after: None,
            limit: 100,
        };
        let mut rows = self.till.ledger.books().rows(query).await.unwrap().data;
        rows.reverse();
        rows
    }

    /// How often a try was counted that ended so.
    fn counted(&self, outcome: Outcome) -> u64 {
        let outcome = outcome.as_str();
        let line =
            format!("weir_upstream_attempts_total{{model=\"m\",outcome=\"{outcome}\",provider=\"p\"}} ");
        self.value(&line)
    }

    /// How many tries were counted in all.
    fn all_counted(&self) -> u64 {
        let all = Outcome::ALL.iter().map(|outcome| self.counted(*outcome)).sum();
        let timed = self.value("weir_upstream_duration_seconds_count{model=\"m\",provider=\"p\"} ");
        assert_eq!(timed, all, "each is timed once");
        all
    }

    fn value(&self, begin: &str) -> u64 {
        let page = String::from_utf8(self.metrics.page()).unwrap();
        page.lines().find_map(|line| line.strip_prefix(begin)).map_or(0, |value| value.parse().unwrap())
    }

    /// What the target's health has seen.
    fn health(&self) -> Minute {
        self.fleet.patient(&self.target).unwrap().health.history(Instant::now())[0]
    }
}

#[tokio::test]
async fn a_try_that_is_answered_counts_once() {
    for stream in [false, true] {
        let world = World::new();
        let mut watch = world.try_it(stream).await;
        watch.reached(Instant::now());
        watch.first_token();
        watch.came(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n");
        watch.told(&Usage { input: 7, output: 3, ..Usage::default() });
        let posted = watch.answered(|| panic!("the upstream said it"));
        assert_eq!(posted.cost.0, 7 * 1000 + 3 * 2000);
        assert_eq!((world.counted(Outcome::Ok), world.all_counted()), (1, 1));
        let rows = world.rows().await;
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.outcome.as_str(), row.kind, row.output_tokens), ("ok", "actual", 3));
        assert_eq!(row.stream, stream);
        assert_eq!((world.health().ok, world.health().calls()), (1, 1));
    }
}

#[tokio::test]
async fn a_try_that_fails_counts_once() {
    // What a provider cannot take is never sent.
    let never = [Outcome::Ok, Outcome::Unsupported];
    let outcomes = Outcome::ALL.iter().filter(|outcome| !never.contains(outcome));
    for (outcome, stream) in outcomes.flat_map(|outcome| [(*outcome, false), (*outcome, true)]) {
        let world = World::new();
        world.try_it(stream).await.failed(outcome, Some(Duration::from_secs(1)));
        assert_eq!((world.counted(outcome), world.all_counted()), (1, 1), "{outcome}");
        let rows = world.rows().await;
        let [row] = &rows[..] else { panic!("{outcome}: {rows:?}") };
        assert_eq!((row.outcome.as_str(), row.attempt), (outcome.as_str(), 1));
        assert!(world.health().calls() <= 1, "{outcome}: {:?}", world.health());
    }
}

/// The client left, before the first content or amid a stream.
#[tokio::test]
async fn a_try_that_is_dropped_counts_once() {
    for (stream, began) in [(false, false), (true, false), (true, true)] {
        let world = World::new();
        let mut watch = world.try_it(stream).await;
        if began {
            watch.first_token();
            watch.came(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hello there\"}}]}\n\n");
        }
        drop(watch);
        assert_eq!((world.counted(Outcome::ClientLeft), world.all_counted()), (1, 1));
        let rows = world.rows().await;
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.outcome.as_str(), row.kind), ("client_left", "estimated"));
        assert!(row.output_tokens > 0 || !began, "what came is counted: {row:?}");
        assert_eq!(world.health(), Minute::default(), "it says nothing of the target");
    }
}

/// Another try was faster, before this one had a connection or afterwards.
#[tokio::test]
async fn a_try_that_is_overtaken_counts_once() {
    for (connected, kind) in [(false, "actual"), (true, "estimated")] {
        let world = World::new();
        let watch = world.begin(&world.purse(true), world.ward(true), true).await;
        if connected {
            world.progress.handed_over();
        }
        world.progress.overtaken();
        drop(watch);
        assert_eq!((world.counted(Outcome::Overtaken), world.all_counted()), (1, 1));
        let rows = world.rows().await;
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.outcome.as_str(), row.kind), ("overtaken", kind));
        assert_eq!(row.input_tokens > 0, connected, "no upstream worked on it without a connection");
        assert_eq!(world.health(), Minute::default(), "it says nothing of the target");
    }
}

/// Each key's try counts, the target's health once.
#[tokio::test]
async fn a_refused_key_counts_once_and_leaves_health_to_the_next() {
    let world = World::new();
    let purse = world.purse(false);
    let watch = world.send(&purse, world.ward(false), false).await;
    let ward = watch.refused(Outcome::CredentialRejected).expect("its health goes on");
    assert_eq!((world.counted(Outcome::CredentialRejected), world.all_counted()), (1, 1));
    assert_eq!(world.health(), Minute::default(), "nothing is known of the target yet");
    let mut watch = world.send(&purse, ward, false).await;
    watch.told(&Usage { input: 7, output: 3, ..Usage::default() });
    drop(watch.answered(|| (0, 0)));
    drop(purse);
    assert_eq!((world.counted(Outcome::Ok), world.all_counted()), (1, 2));
    let rows: Vec<_> = world.rows().await.into_iter().map(|row| (row.attempt, row.outcome)).collect();
    assert_eq!(rows, [(1, "credential_rejected".to_owned()), (2, "ok".to_owned())]);
    assert_eq!((world.health().ok, world.health().calls()), (1, 1));
}
