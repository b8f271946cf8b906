//! Names that clients make up never become metrics.

use std::collections::BTreeSet;

use super::support::{line::Line, raw::RawUpstream, script::Script, weir::Weir};

const NAMES: usize = 10_000;
const CONNECTIONS: usize = 8;
/// How many new series all of it may make: statuses and labels that a request can have for the first time.
const MOST: usize = 50;

const CONFIG: &str = r#"
[[keys]]
name = "k"
secret = "sk-k"
[server]
auth_failures_per_minute = 0
[providers.sim]
protocol = "sim"
[providers.broken]
protocol = "sim"
sim = { fault = "status=500" }
[models.m]
provider = "sim"
upstream_model = "sim-small?tokens=2"
price = { input = 1.0, output = 1.0 }
[models.b]
provider = "broken"
[routes.r]
targets = ["m"]
[routes.down]
targets = ["b"]
[classifier]
kind = "keywords"
baseline = "m"
tiers = [{ min = 1, route = "r" }]
[cache]
enabled = true
[degraded]
static = { general = "Later." }
[alerts]
webhook = "http://WEBHOOK/hook"
min_interval = "0s"
"#;

async fn series(weir: &Weir) -> BTreeSet<String> {
    let page = weir.client().get("/metrics").await.text();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Sends one junk request; each number gives another name in another place.
async fn junk(line: &mut Line, number: usize) {
    const CHAT: &str = "/v1/chat/completions";
    const TEXT: &str = "/v1/completions";
    const VECTOR: &str = "/v1/embeddings";
    let key = "authorization: Bearer sk-k\r\n";
    let asks = |model: &str| {
        let user = r#"[{"role":"user","content":"x"}]"#;
        format!(r#"{{"model":"{model}","messages":{user}}}"#)
    };
    let with = |header: &str, value: &str| format!("{key}{header}: {value}\r\n");
    let made_up = format!("junk-{number}");
    let (path, headers, body) = match number % 16 {
        0 => (CHAT, key.into(), asks(&made_up)),
        1 => (CHAT, key.into(), asks(&format!("sim/{made_up}?tokens=1"))),
        2 => (TEXT, with("x-weir-route", &made_up), r#"{"model":"r","prompt":"x"}"#.into()),
        3 => {
            (TEXT, format!("authorization: Bearer sk-{made_up}\r\n"), r#"{"model":"r","prompt":"x"}"#.into())
        }
        4 => {
            let headers =
                with("x-weir-models", &format!("{made_up},r")) + &with("x-weir-tags", "a=1")[key.len()..];
            (TEXT, headers, r#"{"model":"r","prompt":"x"}"#.into())
        }
        5 => {
            let body = format!(r#"{{"model":"sim/\"}} evil-{number}\n","input":"x"}}"#);
            (VECTOR, with("x-request-id", &made_up), body)
        }
        6 => (VECTOR, with("x-weir-cache", &made_up), r#"{"model":"r","input":"x"}"#.into()),
        7 => ("/v1/junk", key.into(), format!(r#"{{"model":"r","user":"{made_up}"}}"#)),
        // A tier and a task for `auto`.
        8 => (CHAT, with("x-weir-tier", &made_up), asks("auto")),
        9 => (CHAT, with("x-weir-task", &made_up), asks("auto")),
        // Kept answers.
        10 => (CHAT, with("x-weir-cache", &format!("ttl={number}")), asks("r")),
        11 => (CHAT, with("idempotency-key", &made_up), asks("r")),
        // Answers that stand in, on a route and for models that only the client names; their breaker is told of.
        12 => (CHAT, with("user-agent", &made_up), asks("down")),
        13 => (CHAT, key.into(), asks(&format!("broken/{made_up}"))),
        // Paths, methods and versions are no labels either.
        14 => (CHAT, with("traceparent", &format!("00-{number:032x}-{number:016x}-01")), asks("m")),
        _ => (CHAT, with(&format!("x-{made_up}"), &made_up), asks("r")),
    };
    line.post(path, &headers, body.as_bytes()).await.expect("the connection stays open");
}

#[tokio::test]
async fn ten_thousand_junk_names_make_at_most_fifty_series() {
    let hook = RawUpstream::start(vec![Script::json(200, "ok")]).await;
    let weir = Weir::start(&CONFIG.replace("WEBHOOK", hook.address())).await;
    let before = series(&weir).await;
    assert!(before.len() > 20, "{before:?}");
    let mut sets = Vec::new();
    for set in 0..CONNECTIONS {
        let address = weir.address().to_owned();
        sets.push(tokio::spawn(async move {
            let mut line = Line::to(&address).await;
            for number in (set..NAMES).step_by(CONNECTIONS) {
                // Shifted, so that each connection sends each kind.
                junk(&mut line, number + number / CONNECTIONS).await;
            }
        }));
    }
    for set in sets {
        set.await.unwrap();
    }
    let after = series(&weir).await;
    let new: Vec<&String> = after.difference(&before).collect();
    // What clients asked for was counted, under labels of our own.
    assert!(
        new.iter().any(|name| name.contains("model=\"other\"") && name.contains("status=\"200\"")),
        "{new:#?}"
    );
    // All that was reached is among it.
    for seen in ["cache=\"hit\"", "weir_degraded{route=", "weir_alerts_total{event=\"breaker_open\"", "task="]
    {
        assert!(new.iter().any(|name| name.contains(seen)), "no {seen} in {new:#?}");
    }
    assert!(new.len() <= MOST, "{}: {new:#?}", new.len());
    assert!(!after.iter().any(|name| name.contains("junk") || name.contains("evil")), "{new:#?}");
    assert!(!weir.logs().contains("panicked"));
}
