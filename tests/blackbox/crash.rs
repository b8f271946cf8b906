//! kill -9 at random moments under load: what a client saw to its end is in the ledger, once, to the token.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use weir::{
    base::money::Nanos,
    sim::{Finished, LogEntry, Sim, SimSettings, serve},
};

use crate::support::{
    books::{Books, Entry},
    client::Client,
    limits::quiet,
    settings::{OPEN, route},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

/// How often it is killed; the variable says otherwise, see `make soak`.
const CRASHES: u64 = 8;
const CRASHES_VARIABLE: &str = "WEIR_CRASHES";
/// Repeats the moments of a run that failed.
const SEED_VARIABLE: &str = "WEIR_CRASH_SEED";
const CONCURRENT: u64 = 64;

/// Nanodollars a token. With [`MAX_TOKENS`] a request holds less than a tenth of a cent, so all that are under way hold
/// a sixteenth of a step: what a crash leaves unknown is told from what they hold.
const INPUT: i64 = 1_000;
const OUTPUT: i64 = 10_000;
const PRICE: &str = "price = { input = 1, output = 10 }";
const MAX_TOKENS: i64 = 60;
const HOLD: i64 = 400 * INPUT + MAX_TOKENS * OUTPUT;
/// The limits are so high that a watermark always rises by the largest step, a dollar.
const LIMIT: &str = "100000";
const STEP: i64 = 1_000_000_000;
/// How many tokens Weir's own count of a broken answer may be off: what the upstream sent that never arrived, and a
/// prompt that the upstream did not come to count.
const LEEWAY: i64 = 20;

const ROUTES: [&str; 3] = ["chat", "frail", "slow"];
const BUDGETS: [&str; 4] = ["all", "chats", "slowness", "each"];

/// Random numbers (splitmix64), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[allow(clippy::print_stderr, reason = "the seed of a run is for whoever has to repeat it")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// A provider that fails now and then, in this process, so that it survives.
async fn upstream() -> (Sim, String) {
    let settings =
        SimSettings { first_token: Duration::from_millis(5), tokens_per_second: 400.0, ..Default::default() };
    let sim = Sim::new(settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, sim.clone(), std::future::pending::<()>()));
    (sim, base_url)
}

fn config(base_url: &str) -> String {
    let model = |name: &str, fault: &str| {
        format!("[models.{name}]\nprovider = \"p\"\nupstream_model = \"{name}{fault}\"\n{PRICE}\n")
    };
    let budget = |name: &str, scope: &str| {
        format!("[[budgets]]\nname = \"{name}\"\nscope = \"{scope}\"\ntotal = {LIMIT}\n")
    };
    [
        OPEN,
        &format!("[providers.p]\nbase_url = \"{base_url}\"\n"),
        &model("flaky", "?status=500&rate=0.2"),
        &model("steady", ""),
        &model("cut", "?reset-after=5&rate=0.3"),
        &model("slow", "?first_token=100ms&tps=100"),
        &route("chat", &["flaky", "steady"], ""),
        &route("frail", &["cut", "steady"], ""),
        // Its name is that of a model, which it stands for.
        &route("slow-route", &["slow", "steady"], ""),
        &budget("all", "global"),
        &budget("chats", "route:chat"),
        &budget("slowness", "model:slow"),
        &budget("each", "each-key"),
    ]
    .concat()
}

/// What the clients of one round saw.
#[derive(Default)]
struct Round {
    number: u64,
    /// The requests whose answer was seen to its end.
    seen: Mutex<Vec<String>>,
    dead: AtomicBool,
    next: AtomicU64,
}

impl Round {
    /// One client: asks until the gateway is dead.
    async fn client(&self, client: Client, mut dice: Dice) {
        while !self.dead.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let way = dice.below(10);
            let route = ROUTES[dice.below(3) as usize];
            let id = format!("{}:{route}:{number}", self.number);
            let body = body(route, &id, (4..9).contains(&way));
            let client = client.clone().header("x-request-id", &id);
            let ended = match way {
                0..4 => whole(&client, &body).await,
                4..8 => stream(&client, &body).await,
                8 => leaves(&client, &body, dice.below(20)).await,
                _ => {
                    let patience = Duration::from_millis(dice.below(60));
                    timeout(patience, whole(&client, &body)).await.unwrap_or(Some(false))
                }
            };
            match ended {
                Some(true) => self.seen.lock().unwrap().push(id),
                Some(false) => {}
                // Only the kill breaks a connection, and it may come a moment before it is known here.
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

fn body(route: &str, id: &str, stream: bool) -> Value {
    let model = if route == "slow" { "slow-route" } else { route };
    json!({
        "model": model, "stream": stream, "user": id, "max_tokens": MAX_TOKENS,
        "messages": [{ "role": "user", "content": "Say something." }],
    })
}

/// Whether the answer was seen to its end; none: the connection broke.
async fn whole(client: &Client, body: &Value) -> Option<bool> {
    let answer = client.try_post(CHAT, body.to_string()).await.ok()?;
    Some(answer.status.as_u16() == 200 && answer.json()["usage"].is_object())
}

async fn stream(client: &Client, body: &Value) -> Option<bool> {
    let mut stream = client.try_stream(CHAT, body).await.ok()?;
    Some(stream.status().as_u16() == 200 && Transcript::of(&mut stream).await.is_clean())
}

/// Leaves after some events.
async fn leaves(client: &Client, body: &Value, after: u64) -> Option<bool> {
    let mut stream = client.try_stream(CHAT, body).await.ok()?;
    for _ in 0..after {
        match stream.next().await {
            Some(event) if event.is_done() => return Some(true),
            Some(_) => {}
            None => break,
        }
    }
    Some(false)
}

/// The id in a request that the upstream got.
fn id_of(entry: &LogEntry) -> String {
    let body: Value = serde_json::from_str(&entry.body).unwrap();
    body["user"].as_str().unwrap().to_owned()
}

fn cost(prompt: i64, completion: i64) -> i64 {
    prompt * INPUT + completion * OUTPUT
}

/// Whether a request of that id, answered by that model, counts in a budget.
fn counts(budget: &str, id: &str, model: &str) -> bool {
    match budget {
        "chats" => id.split(':').nth(1) == Some("chat"),
        "slowness" => model == "slow",
        _ => true,
    }
}

/// Whether a row counts in a budget.
fn in_budget(budget: &str, entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "adjustment" => entry.budget == budget,
        _ => counts(budget, &entry.request, &entry.model),
    }
}

/// What a client saw to its end has one row, equal to the upstream's own count.
fn check_seen(round: &Round, books: &Books, log: &[LogEntry]) {
    let mut rows: HashMap<String, Vec<Entry>> = HashMap::new();
    books.entries().into_iter().for_each(|row| rows.entry(row.request.clone()).or_default().push(row));
    let mut sent: HashMap<String, Vec<&LogEntry>> = HashMap::new();
    log.iter().for_each(|entry| sent.entry(id_of(entry)).or_default().push(entry));
    for id in round.seen.lock().unwrap().iter() {
        let (rows, sent) = (rows.get(id).map_or(&[][..], |rows| rows), &sent[id]);
        assert_eq!(rows.len(), sent.len(), "{id}: a row for each attempt: {rows:?} {sent:?}");
        let answers: Vec<_> = rows.iter().filter(|row| row.outcome == "ok").collect();
        let answered: Vec<_> = sent.iter().filter(|entry| entry.finished == Finished::Complete).collect();
        let ([row], [entry]) = (&answers[..], &answered[..]) else {
            panic!("{id}: one answer, one row: {rows:?} {sent:?}");
        };
        let count = (entry.prompt_tokens as i64, entry.completion_tokens as i64);
        assert_eq!((row.prompt, row.completion), count, "{id}: {row:?} {entry:?}");
        assert_eq!((row.kind.as_str(), row.cost), ("actual", cost(count.0, count.1)), "{id}: {row:?}");
    }
}

/// What one budget counts of a round: no less than the upstream emitted, no more than a step beyond.
fn check_bounds(budget: &str, new: &[Entry], log: &[LogEntry]) {
    let sent = log.iter().filter(|entry| entry.status == Some(200));
    let sent = sent.filter(|entry| {
        let model = entry.model.as_deref().unwrap_or_default().split('?').next().unwrap();
        counts(budget, &id_of(entry), model)
    });
    let emitted: i64 =
        sent.map(|entry| cost(entry.prompt_tokens as i64, entry.completion_tokens as i64)).sum();
    let rows: Vec<_> = new.iter().filter(|row| in_budget(budget, row)).collect();
    let counted: i64 = rows.iter().map(|row| row.cost).sum();
    let estimated = rows.iter().filter(|row| row.kind == "estimated").count() as i64;
    let short = estimated * cost(LEEWAY, LEEWAY);
    assert!(
        emitted <= counted + short,
        "{budget}: {emitted} was emitted, {counted} is in the ledger, with {estimated} estimates"
    );
    // An answer that came to nothing because its client left is posted with all that it might have cost.
    let most = emitted + STEP + (CONCURRENT as i64 + estimated) * HOLD;
    assert!(counted <= most, "{budget}: {counted} is in the ledger, {emitted} was emitted");
}

/// Where each budget stands: nothing held, and what the rows come to.
async fn check_budgets(weir: &Weir, books: &Books) {
    // It answers again; the share of those without a key is listed once somebody has asked.
    let again = weir.client().post_json(CHAT, &body("steady", "again", false)).await;
    assert_eq!(again.status.as_u16(), 200, "{}", again.text());
    let answer = weir.client().get("/admin/budgets").await.json();
    let rows = books.entries();
    for budget in BUDGETS {
        let found = answer["data"].as_array().unwrap().iter().find(|row| row["budget"] == budget);
        let amount = |name: &str| Nanos::parse(found.unwrap()[name].as_str().unwrap()).unwrap().0;
        assert_eq!(amount("held_usd"), 0, "{budget}: {answer}");
        let sum: i64 = rows.iter().filter(|row| in_budget(budget, row)).map(|row| row.cost).sum();
        assert_eq!(amount("spent_usd"), sum, "{budget}: the rows say otherwise: {answer}");
        let windows = books.windows();
        let windows: Vec<_> = windows.iter().filter(|window| window.budget == budget).collect();
        assert_eq!(windows.iter().map(|window| window.posted).sum::<i64>(), sum, "{windows:?}");
    }
}

/// Asks from many sides, kills it amid that; gives what the clients saw.
async fn crash(weir: &mut Weir, number: u64, dice: &mut Dice) -> Arc<Round> {
    let round = Arc::new(Round { number, ..Round::default() });
    let client = weir.client();
    let clients = (0..CONCURRENT).map(|_| {
        let (round, client, dice) = (Arc::clone(&round), client.clone(), Dice(dice.below(u64::MAX)));
        tokio::spawn(async move { round.client(client, dice).await })
    });
    let clients: Vec<_> = clients.collect();
    // From before the first answers to well into the load.
    tokio::time::sleep(Duration::from_micros(20_000 + dice.below(1_200_000))).await;
    weir.kill();
    round.dead.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    round
}

/// What the upstream was sent in a round, once it knows that nobody is there any more.
async fn log_of(sim: &Sim) -> Vec<LogEntry> {
    let end = Instant::now() + Duration::from_secs(20);
    while sim.stats().open_requests > 0 {
        assert!(Instant::now() < end, "the upstream still answers: {:?}", sim.stats());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sim.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_any_crash() {
    let _quiet = quiet().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable(SEED_VARIABLE).unwrap_or(now.as_micros() as u64);
    let crashes = variable(CRASHES_VARIABLE).unwrap_or(CRASHES);
    tell(&format!("{crashes} crashes, {SEED_VARIABLE}={seed}"));
    let mut dice = Dice(seed);
    let (sim, base_url) = upstream().await;
    let mut weir = Weir::start(&config(&base_url)).await;
    let (mut known, mut seen, mut asked) = (0, 0, 0);
    for number in 0..crashes {
        let round = crash(&mut weir, number, &mut dice).await;
        let log = log_of(&sim).await;
        weir.restart().await;
        let books = Books::in_folder(weir.folder());
        assert_eq!(books.soundness(), "ok");
        check_seen(&round, &books, &log);
        let prefix = format!("{number}:");
        let mut adjustments = 0;
        // Rows come in the order of time, so that the adjustments of this crash are the last ones.
        let of_round = |row: &Entry| {
            adjustments += usize::from(row.kind == "adjustment");
            row.request.starts_with(&prefix) || (row.kind == "adjustment" && adjustments > known)
        };
        let new: Vec<Entry> = books.entries().into_iter().filter(of_round).collect();
        known = adjustments;
        BUDGETS.iter().for_each(|budget| check_bounds(budget, &new, &log));
        check_budgets(&weir, &books).await;
        sim.clear_log();
        (seen, asked) = (seen + round.seen.lock().unwrap().len(), asked + log.len());
    }
    tell(&format!("{seen} answers were seen to their end, the upstream was asked {asked} times"));
    assert!(seen > 0, "no client saw an answer: the test shows nothing");
}

/// More was spent than held, past the watermark, while another request holds money: that money has to stand below the
/// watermark on the disk too.
#[tokio::test]
async fn an_overrun_does_not_uncover_what_others_hold() {
    let (_sim, base_url) = upstream().await;
    let toml = [
        &config(&base_url),
        "[models.lies]\nprovider = \"p\"\nupstream_model = \"lies?usage-times=10000\"\n",
        PRICE,
        "\n[models.hangs]\nprovider = \"p\"\nupstream_model = \"hangs?hang-after=3\"\n",
        PRICE,
    ]
    .concat();
    let mut weir = Weir::start(&toml).await;
    let client = weir.client();
    let mut held = client.stream(CHAT, &body("hangs", "a", true)).await;
    assert!(held.next().await.is_some());
    let answer = client.post_json(CHAT, &body("lies", "b", false)).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    weir.kill();
    weir.restart().await;
    let books = Books::in_folder(weir.folder());
    let rows = books.entries();
    let spent: i64 = rows.iter().filter(|row| row.outcome == "ok").map(|row| row.cost).sum();
    assert!(spent > STEP, "it was no overrun: {rows:?}");
    for window in books.windows().iter().filter(|window| window.budget == "all") {
        assert!(window.posted >= spent + MAX_TOKENS * OUTPUT, "what was held is lost: {window:?} {rows:?}");
    }
}
