//! A silent target does not cost a client its time: another one starts beside it, the first content wins.

use std::time::{Duration, Instant};

use crate::support::{
    ledger::Row,
    limits::quiet,
    openai::{DONE, ask, ask_stream, role, says, stop, streams, text, usage, whole},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{HEALTHY, OPEN, budget, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A stream with this text, after a silence.
fn late(silence: Duration, said: &str) -> Script {
    let parts = [role(), text(said), stop(), usage(), DONE.to_owned()];
    let mut steps = vec![Step::Sleep(silence), Step::Send(wire::sse_head())];
    steps.extend(parts.iter().map(|part| Step::Send(wire::chunk(part))));
    steps.push(Step::Send(wire::last_chunk()));
    Script::OnRequest(steps)
}

fn silent() -> Script {
    Script::OnRequest(vec![Step::Hang])
}

/// A gateway whose route `chain` leads over these upstreams, with priced models; `more` are lines of the route.
async fn gateway(before: &str, upstreams: &[&RawUpstream], more: &str) -> Weir {
    let names = ["first", "second", "third"];
    let mut toml = [OPEN, before].concat();
    for (name, upstream) in names.iter().zip(upstreams) {
        toml += &target(name, &upstream.base_url(), "", &price("2", "8"));
    }
    toml += &route("chain", &names[..upstreams.len()], more);
    Weir::start(&toml).await
}

async fn read(weir: &Weir) -> Transcript {
    Transcript::of(&mut weir.client().stream(CHAT, &ask_stream("chain")).await).await
}

fn outcomes(rows: &[Row]) -> Vec<(&str, &str)> {
    let mut seen: Vec<_> = rows.iter().map(|row| (row.model.as_str(), row.outcome.as_str())).collect();
    seen.sort_unstable();
    seen
}

async fn hedges(weir: &Weir, outcome: &str) -> f64 {
    weir.metric(&format!("weir_hedges_total{{outcome=\"{outcome}\",route=\"chain\"}}")).await
}

#[tokio::test]
async fn a_silent_target_is_overtaken() {
    let (first, second) =
        (RawUpstream::start(vec![silent()]).await, RawUpstream::start(vec![streams(&["Hello"])]).await);
    let weir = gateway("", &[&first, &second], "hedge_after = \"200ms\"").await;
    let began = Instant::now();
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    let answered = Instant::now();
    assert!(answered - began >= MS(200) && answered - began < MS(800), "{:?}", answered - began);
    assert_eq!((stream.header("x-weir-model"), stream.header("x-weir-attempts")), ("second", "2"));
    assert_eq!(stream.header("x-weir-fallbacks"), "0", "nothing failed");
    let transcript = Transcript::of(&mut stream).await;
    assert!(transcript.is_clean() && transcript.text == "Hello" && transcript.roles == 1, "{transcript:?}");
    let closed = first.peer_left(0).await.saturating_duration_since(answered);
    assert!(closed < MS(4 * 50), "the loser was closed {closed:?} after the first content");
    let rows = weir.attempts(2).await;
    assert_eq!(outcomes(&rows), [("first", "overtaken"), ("second", "ok")]);
    let loser = rows.iter().find(|row| row.model == "first").unwrap();
    assert!(loser.kind == "estimated" && loser.cost > 0 && loser.input > 0 && loser.output > 0, "{loser:?}");
    assert!(loser.output < 200, "100 tokens a second for as long as it ran: {loser:?}");
    let mut numbers: Vec<u32> = rows.iter().map(|row| row.attempt).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(hedges(&weir, "won").await, 1.0);
}

#[tokio::test]
async fn the_first_may_still_be_first() {
    let (first, second) =
        (RawUpstream::start(vec![late(MS(600), "slow")]).await, RawUpstream::start(vec![silent()]).await);
    let weir = gateway("", &[&first, &second], "hedge_after = \"150ms\"").await;
    let asking = tokio::spawn({
        let client = weir.client();
        async move { client.stream(CHAT, &ask_stream("chain")).await }
    });
    second.request(0).await;
    let status = weir.client().get("/admin/status").await.json();
    let under_way = |name: &str| {
        let row = status["data"].as_array().unwrap().iter().find(|row| row["model"] == name).unwrap();
        row["in_flight"].as_u64()
    };
    assert_eq!((under_way("first"), under_way("second")), (Some(1), Some(1)), "{status}");
    let mut stream = asking.await.unwrap();
    assert_eq!((stream.header("x-weir-model"), stream.header("x-weir-attempts")), ("first", "2"));
    assert_eq!(Transcript::of(&mut stream).await.text, "slow");
    second.peer_left(0).await;
    assert_eq!(outcomes(&weir.attempts(2).await), [("first", "ok"), ("second", "overtaken")]);
    assert_eq!(hedges(&weir, "lost").await, 1.0);
}

#[tokio::test]
async fn a_hedge_that_fails_harms_nobody_and_all_failing_moves_on() {
    let first = RawUpstream::start(vec![
        late(MS(600), "slow"),
        Script::OnRequest(vec![Step::Sleep(MS(500)), Step::Reset]),
    ])
    .await;
    let second = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let third = RawUpstream::start(vec![streams(&["third"])]).await;
    let weir = gateway("", &[&first, &second, &third], "hedge_after = \"150ms\"\nmax_attempts = 3").await;
    // The second one fails at once; the third would start 150 ms after the first is alone again.
    let transcript = read(&weir).await;
    assert!(transcript.is_clean() && ["slow", "third"].contains(&transcript.text.as_str()), "{transcript:?}");
    assert_eq!(hedges(&weir, "failed").await, 1.0);
    let transcript = read(&weir).await;
    assert!(transcript.is_clean() && transcript.text == "third", "{transcript:?}");
}

#[tokio::test]
async fn a_visible_failure_moves_on_before_the_hedge() {
    let first = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let second = RawUpstream::start(vec![streams(&["at once"])]).await;
    let weir = gateway("", &[&first, &second], "hedge_after = \"10s\"").await;
    let began = Instant::now();
    assert_eq!(read(&weir).await.text, "at once");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(outcomes(&weir.attempts(2).await), [("first", "server_error"), ("second", "ok")]);
}

#[tokio::test]
async fn whole_answers_are_hedged_where_the_route_says_so() {
    let slow =
        || Script::OnRequest(vec![Step::Sleep(MS(700)), Step::Send(wire::json_answer(200, &whole("slow")))]);
    for (more, told, asked) in [("", "slow", 0), ("\nhedge_non_stream = true", "quick", 1)] {
        let (first, second) =
            (RawUpstream::start(vec![slow()]).await, RawUpstream::start(vec![says("quick")]).await);
        let weir = gateway("", &[&first, &second], &format!("hedge_after = \"100ms\"{more}")).await;
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], told);
        assert_eq!(second.requests().len(), asked);
    }
}

#[tokio::test]
async fn parallel_starts_them_all_at_once() {
    let first = RawUpstream::start(vec![late(MS(400), "first")]).await;
    let second = RawUpstream::start(vec![late(MS(50), "second")]).await;
    let third = RawUpstream::start(vec![streams(&["third"])]).await;
    let weir = gateway("", &[&first, &second, &third], "parallel = 2").await;
    for round in 1..=3 {
        let transcript = read(&weir).await;
        assert!(transcript.is_clean() && transcript.text == "second", "{transcript:?}");
        assert_eq!(
            (first.requests().len(), second.requests().len(), third.requests().len()),
            (round, round, 0)
        );
    }
    let rows = weir.attempts(6).await;
    assert_eq!(rows.iter().filter(|row| row.outcome == "overtaken" && row.cost > 0).count(), 3, "{rows:?}");
    let page = weir.client().get("/metrics").await.text();
    assert!(!page.contains("weir_hedges_total{"), "parallel tries are no hedges");
}

#[tokio::test]
async fn all_that_runs_at_once_is_covered() {
    let upstreams =
        [RawUpstream::start(vec![late(MS(300), "first")]).await, RawUpstream::start(vec![silent()]).await];
    let (first, second) = (&upstreams[0], &upstreams[1]);
    // Room for one try, not for two: 8 USD a million tokens, 1,000 of them.
    let budgets =
        budget("small", "global", "per_request = 0.012\nmin_output = 1000\ndefault_max_output = 1000");
    let weir = gateway(&budgets, &[first, second], "parallel = 2").await;
    let transcript = read(&weir).await;
    assert!(transcript.is_clean() && transcript.text == "first", "{transcript:?}");
    assert_eq!(second.requests().len(), 0, "a try that does not fit beside the other is not made");
    let wide = budget("wide", "global", "per_request = 0.018\nmin_output = 1000\ndefault_max_output = 1000");
    let weir = gateway(&wide, &[first, second], "parallel = 2").await;
    assert!(read(&weir).await.is_clean());
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn no_more_hedges_than_the_traffic_allows() {
    let (first, second) = (
        RawUpstream::start(vec![late(MS(400), "slow")]).await,
        RawUpstream::start(vec![streams(&["quick"])]).await,
    );
    let few = "[retry]\nhedge_share = 0.0\nhedge_burst = 2.0\n";
    let weir = gateway(few, &[&first, &second], "hedge_after = \"50ms\"").await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(read(&weir).await.text);
    }
    assert_eq!(told, ["quick", "quick", "slow", "slow"]);
    assert_eq!((hedges(&weir, "won").await, hedges(&weir, "spent").await), (2.0, 2.0));
}

#[tokio::test]
async fn no_hedge_to_a_provider_at_its_limit() {
    let (first, second) = (
        RawUpstream::start(vec![late(MS(400), "slow")]).await,
        RawUpstream::start(vec![Script::json(429, "{}"), streams(&["quick"])]).await,
    );
    let weir = gateway("", &[&first, &second], "hedge_after = \"50ms\"").await;
    assert_eq!([read(&weir).await.text, read(&weir).await.text], ["slow", "slow"]);
    assert_eq!((hedges(&weir, "failed").await, hedges(&weir, "limited").await), (1.0, 1.0));
    assert_eq!(second.requests().len(), 1);
}

/// U12: one answer in twenty comes 3 s late.
#[tokio::test]
async fn one_late_answer_in_twenty_is_not_felt() {
    const REQUESTS: usize = 1000;
    let _quiet = quiet().await;
    let quick = || late(MS(20), "quick");
    let scripts =
        (0..REQUESTS).map(|number| if number % 20 == 10 { late(MS(3000), "late") } else { quick() });
    let first = RawUpstream::start(scripts.collect()).await;
    let second = RawUpstream::start(vec![quick()]).await;
    let weir = gateway("", &[&first, &second], "hedge_after = \"500ms\"").await;
    let mut took = Vec::new();
    for _ in 0..REQUESTS / 50 {
        let wave = (0..50).map(|_| async {
            let began = Instant::now();
            let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
            stream.next().await.unwrap();
            let took = began.elapsed();
            assert!(!Transcript::of(&mut stream).await.broken);
            took
        });
        took.extend(futures_util::future::join_all(wave).await);
    }
    took.sort_unstable();
    let (median, p99) = (took[REQUESTS / 2], took[REQUESTS * 99 / 100]);
    assert!(p99 <= MS(600) + 4 * median.max(MS(50)), "p99 {p99:?}, median {median:?}");
    let extra = second.requests().len();
    assert!(extra * 20 <= REQUESTS, "{extra} more tries for {REQUESTS} requests");
    let rows = weir.attempts(REQUESTS + extra).await;
    let losers = rows.iter().filter(|row| row.outcome == "overtaken");
    assert_eq!(losers.clone().count(), extra, "every loser is in the ledger");
    assert!(losers.clone().all(|row| row.kind == "estimated" && row.cost > 0));
}

/// U19: the shipped example with a first provider to which no connection comes about.
#[tokio::test]
async fn high_availability_hides_a_black_hole() {
    // Connections come in, and nobody ever takes part in TLS.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let black = format!("https://{}/v1", hole.local_addr().unwrap());
    let second = RawUpstream::start(vec![late(MS(30), "second")]).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/high-availability.toml");
    let example = std::fs::read_to_string(file).unwrap();
    // Alone on this machine, and without the file that holds a secret.
    let toml = example
        .replace("listen = \"0.0.0.0:8080\"", "request_timeout = \"3m\"")
        .replacen("request_timeout = \"3m\"                 # all tries together", "", 1)
        .replace("admin_listen = \"127.0.0.1:9090\"", "# no other port")
        .replace("file:/run/secrets/batch_key", "env:BATCH_KEY");
    let weir = Weir::with(&toml)
        .env("WEB_KEY", "web-key-of-this-test-0123456789")
        .env("BATCH_KEY", "batch-key-of-this-test-0123456789")
        .env("ANTHROPIC_API_KEY", "a")
        .env("OPENAI_API_KEY", "b")
        .env("WEIR_PROVIDERS__ANTHROPIC__BASE_URL", &black)
        .env("WEIR_PROVIDERS__OPENAI__BASE_URL", &second.base_url())
        .start()
        .await;
    let client = weir.client().key("web-key-of-this-test-0123456789");
    let mut all = Duration::ZERO;
    for round in 0..15 {
        let began = Instant::now();
        let mut stream = client.stream(CHAT, &ask_stream("main")).await;
        let took = began.elapsed();
        // A connection would be given up after 2 s.
        assert!(took < MS(1500), "request {round}: {took:?}");
        assert_eq!(Transcript::of(&mut stream).await.text, "second");
        all += took;
    }
    // Once that is known, nobody waits for it any more.
    assert!(all < MS(15 * 30 + 7 * 500 + 1500), "{all:?}");
    let rows = weir.rows();
    let hopeless: Vec<_> = rows.iter().filter(|row| row.model == "claude-sonnet-5-5").collect();
    assert!((1..=7).contains(&hopeless.len()), "{rows:?}");
    assert!(hopeless.iter().all(|row| row.cost == 0), "no upstream worked on it");
}

#[tokio::test]
async fn silence_of_a_stream_is_no_matter_for_a_breaker() {
    let first = RawUpstream::start(vec![silent()]).await;
    let second = RawUpstream::start(vec![streams(&["second"])]).await;
    let toml = [
        HEALTHY,
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], "hedge_after = \"50ms\""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..8 {
        assert_eq!(read(&weir).await.text, "second");
    }
    assert_eq!(first.requests().len(), 8, "who is only slower is not ill");
}

/// A provider that takes connections and never takes part in TLS, and its base URL.
fn hole() -> (std::net::TcpListener, String) {
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", hole.local_addr().unwrap());
    (hole, url)
}

#[tokio::test]
async fn a_quota_counts_a_request_once_whoever_answers() {
    let (_hole, black) = hole();
    let second = RawUpstream::start(vec![says("fine")]).await;
    let toml = [
        "[[keys]]\nname = \"few\"\nsecret = \"few-requests-0123456789\"\nrequests_per_month = 3\n",
        "[breaker]\nenabled = false\n",
        &target("first", &black, "", &price("2", "8")),
        &target("second", &second.base_url(), "", &price("2", "8")),
        &route("chain", &["first", "second"], "parallel = 2"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let client = weir.client().key("few-requests-0123456789");
    for round in 0..3 {
        let answer = client.post_json(CHAT, &ask("chain")).await;
        assert_eq!(answer.status.as_u16(), 200, "{round}: {}", answer.text());
    }
    let answer = client.post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "quota_exceeded".into()));
    assert_eq!(second.requests().len(), 3);
}

#[tokio::test]
async fn what_had_no_money_beside_another_gets_its_turn_afterwards() {
    let first = RawUpstream::start(vec![Script::OnRequest(vec![
        Step::Sleep(MS(300)),
        Step::Send(wire::json_answer(500, "{}")),
    ])])
    .await;
    let second = RawUpstream::start(vec![streams(&["second"])]).await;
    let one = budget("one", "global", "per_request = 0.012\nmin_output = 1000\ndefault_max_output = 1000");
    for race in ["parallel = 2", "hedge_after = \"50ms\""] {
        let weir = gateway(&one, &[&first, &second], race).await;
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        assert_eq!((stream.status().as_u16(), stream.header("x-weir-model")), (200, "second"), "{race}");
        let transcript = Transcript::of(&mut stream).await;
        assert!(transcript.is_clean() && transcript.text == "second", "{race}: {transcript:?}");
        let rows = weir.attempts(2).await;
        let places: Vec<_> = rows.iter().map(|row| (row.model.as_str(), row.position)).collect();
        assert_eq!(places, [("first", 1), ("second", 2)], "{race}");
    }
}

#[tokio::test]
async fn a_hedge_goes_past_a_provider_at_its_limit() {
    let first = RawUpstream::start(vec![silent()]).await;
    let second = RawUpstream::start(vec![Script::json(429, "{}"), streams(&["second"])]).await;
    let third = RawUpstream::start(vec![streams(&["third"])]).await;
    let weir = gateway("", &[&first, &second, &third], "hedge_after = \"50ms\"").await;
    assert_eq!([read(&weir).await.text, read(&weir).await.text], ["third", "third"]);
    assert_eq!((first.requests().len(), second.requests().len(), third.requests().len()), (2, 1, 2));
}

#[tokio::test]
async fn no_more_tries_than_the_route_allows_and_none_for_a_request_at_fault() {
    let first = RawUpstream::start(vec![
        Script::OnRequest(vec![Step::Sleep(MS(500)), Step::Reset]),
        Script::OnRequest(vec![Step::Sleep(MS(150)), Step::Send(wire::json_answer(400, "{}"))]),
    ])
    .await;
    let second = RawUpstream::start(vec![
        Script::json(500, "{}"),
        Script::OnRequest(vec![Step::Sleep(MS(500)), Step::Reset]),
    ])
    .await;
    let third = RawUpstream::start(vec![streams(&["third"])]).await;
    let weir = gateway("", &[&first, &second, &third], "hedge_after = \"50ms\"\nmax_attempts = 2").await;
    let answer = weir.client().post_json(CHAT, &ask_stream("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-attempts")), (503, "2"), "{}", answer.text());
    let weir = gateway("", &[&first, &second, &third], "hedge_after = \"50ms\"").await;
    let answer = weir.client().post_json(CHAT, &ask_stream("chain")).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    assert_eq!(third.requests().len(), 0);
}

#[tokio::test]
async fn another_way_on_is_found_after_a_race() {
    let first = RawUpstream::start(vec![silent()]).await;
    let second = RawUpstream::start(vec![Script::OnRequest(vec![
        Step::Sleep(MS(700)),
        Step::Send(wire::json_answer(500, "{}")),
    ])])
    .await;
    let third = RawUpstream::start(vec![streams(&["fast"])]).await;
    let toml = [
        OPEN,
        &target("first", &first.base_url(), "first_byte_timeout = \"300ms\"", ""),
        &target("second", &second.base_url(), "", ""),
        &target("third", &third.base_url(), "", ""),
        &route("chain", &["first"], "fallback = \"slow\"\nfallback_on = { timeout = \"fast\" }\nhedge_after = \"50ms\"\nmax_attempts = 3"),
        &route("slow", &["second"], ""),
        &route("fast", &["third"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    assert_eq!(read(&weir).await.text, "fast");
}
