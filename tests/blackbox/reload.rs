//! Changes of the configuration while the gateway runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::support::{client::Client, raw::wait_for, sim::SimProcess, weir::Weir};

const CHAT: &str = "/v1/chat/completions";

/// One key, one route; `more` stands behind.
fn config(key: &str, route: &str, more: &str) -> String {
    format!(
        r#"
        [[keys]]
        name = "{key}"
        secret = "sk-{key}"
        [providers.sim]
        protocol = "sim"
        [models.m]
        provider = "sim"
        upstream_model = "sim-small?tokens=3"
        [routes.{route}]
        targets = ["m"]
        {more}
        "#
    )
}

async fn status(client: &Client, model: &str) -> u16 {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    client.post_json(CHAT, &body).await.status.as_u16()
}

async fn wait_for_status(client: &Client, model: &str, wanted: u16) {
    let end = Instant::now() + Duration::from_secs(20);
    while status(client, model).await != wanted {
        assert!(Instant::now() < end, "{model} does not become {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many reloads were counted with this result.
async fn reloads(weir: &Weir, result: &str) -> usize {
    let page = weir.client().get("/metrics").await.text();
    let name = format!("weir_config_reloads_total{{result=\"{result}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0");
    line.parse().unwrap()
}

async fn wait_for_reloads(weir: &Weir, result: &str, count: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while reloads(weir, result).await < count {
        assert!(Instant::now() < end, "no reload came:\n{}", weir.logs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_whatever_asks_for_it() {
    let weir = Weir::start(&config("a", "one", "")).await;
    let client = weir.client().key("sk-a");
    weir.write_config(&config("b", "two", "fallback = \"nobody\""));
    // The file's change is noticed by itself.
    wait_for_reloads(&weir, "rejected", 1).await;
    weir.sighup();
    wait_for_reloads(&weir, "rejected", 2).await;
    let answer = weir.client().send("POST", "/admin/reload", "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["reloaded"].as_bool()), (422, Some(false)));
    let faults = answer.json()["faults"].as_str().unwrap().to_owned();
    assert!(faults.contains("routes.two.fallback") && faults.contains("nobody"), "{faults}");
    let told = || weir.logs().matches("was not reloaded, nothing has changed").count();
    wait_for(|| (told() >= 3).then_some(())).await;
    assert_eq!(told(), 3, "{}", weir.logs());
    assert!(weir.logs().contains("routes.two.fallback"));
    assert_eq!(reloads(&weir, "ok").await, 0);
    assert_eq!(status(&client, "one").await, 200);
    assert_eq!(status(&client, "two").await, 404);
    assert_eq!(status(&weir.client().key("sk-b"), "one").await, 401);
}

#[tokio::test]
async fn keys_and_routes_come_and_go() {
    // Asking again and again with a key that is not there yet is no guessing here.
    let server = "[server]\nauth_failures_per_minute = 0";
    let weir = Weir::start(&config("a", "one", server)).await;
    let (a, b) = (weir.client().key("sk-a"), weir.client().key("sk-b"));
    weir.write_config(&config("b", "two", server));
    weir.sighup();
    wait_for_status(&b, "two", 200).await;
    assert_eq!((status(&b, "two").await, status(&b, "one").await), (200, 404));
    assert_eq!(status(&a, "two").await, 401, "a removed key stops working");
    // By the file's change alone.
    weir.write_config(&config("a", "three", &format!("max_attempts = 2\n{server}")));
    wait_for_status(&a, "three", 200).await;
    assert_eq!((status(&a, "three").await, status(&b, "three").await), (200, 401));
}

#[tokio::test]
async fn a_setting_that_needs_a_restart_is_named() {
    let weir = Weir::start(&config("a", "one", "")).await;
    weir.write_config(&config("a", "one", "[server]\nmax_in_flight = 7\nmax_body = \"1MiB\""));
    weir.sighup();
    weir.logged("server.max_in_flight has changed: a restart is needed").await;
    assert!(!weir.logs().contains("max_body has changed"));
}

/// What the workers have done so far.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    asked: AtomicUsize,
    lost: AtomicUsize,
}

/// Answers and streams until `load.stop`.
async fn work(client: Client, load: Arc<Load>) {
    while !load.stop.load(Ordering::Relaxed) {
        let streams = load.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let body = json!({
            "model": "r", "stream": streams, "messages": [{ "role": "user", "content": "hi" }]
        });
        let good = if streams {
            let mut stream = client.stream(CHAT, &body).await;
            stream.status() == 200 && stream.rest().await.last().is_some_and(|event| event.is_done())
        } else {
            client.post_json(CHAT, &body).await.status == 200
        };
        load.lost.fetch_add(usize::from(!good), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_hundred_reloads_under_load_lose_no_request() {
    let pace = ["--first-token", "5ms", "--tokens-per-second", "400"];
    let sim = SimProcess::start(&pace).await;
    let config = |number: usize| {
        // The provider itself changes each time, so that its connections are set up anew.
        format!(
            "[[keys]]\nname = \"k\"\nsecret = \"sk-k\"\nrpm = {}\n[providers.p]\nbase_url = \"{}\"\nheaders = {{ x-turn = \"turn-{}\" }}\n[models.m]\nprovider = \"p\"\nupstream_model = \"sim-small?tokens=12\"\n[routes.r]\ntargets = [\"m\"]\n",
            100_000 + number % 2,
            sim.base_url(),
            number % 2,
        )
    };
    let weir = Weir::start(&config(0)).await;
    let load = Arc::new(Load::default());
    let workers: Vec<_> =
        (0..8).map(|_| tokio::spawn(work(weir.client().key("sk-k"), Arc::clone(&load)))).collect();
    for number in 1..=100 {
        weir.write_config(&config(number));
        let before = load.asked.load(Ordering::Relaxed);
        let answer = weir.client().send("POST", "/admin/reload", "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Each configuration sees at least two requests begin.
        wait_for(|| (load.asked.load(Ordering::Relaxed) >= before + 2).then_some(())).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(reloads(&weir, "ok").await >= 100);
    let asked = load.asked.load(Ordering::Relaxed);
    assert_eq!(load.lost.load(Ordering::Relaxed), 0, "of {asked}:\n{}", weir.logs());
}
