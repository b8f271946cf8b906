//! Names that clients make up never become metrics.

use std::collections::BTreeSet;

use super::support::{line::Line, weir::Weir};

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
[models.m]
provider = "sim"
upstream_model = "sim-small?tokens=2"
[routes.r]
targets = ["m"]
"#;

async fn series(weir: &Weir) -> BTreeSet<String> {
    let page = weir.client().get("/metrics").await.text();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Sends one junk request; each number gives another name in another place.
async fn junk(line: &mut Line, number: usize) {
    let key = "authorization: Bearer sk-k\r\n";
    let user = r#"[{"role":"user","content":"x"}]"#;
    let (path, headers, body) = match number % 8 {
        0 => {
            ("/v1/chat/completions", key.into(), format!(r#"{{"model":"junk-{number}","messages":{user}}}"#))
        }
        1 => (
            "/v1/chat/completions",
            key.into(),
            format!(r#"{{"model":"sim/junk-{number}?tokens=1","messages":{user}}}"#),
        ),
        2 => (
            "/v1/completions",
            format!("{key}x-weir-route: junk-{number}\r\n"),
            r#"{"model":"r","prompt":"x"}"#.into(),
        ),
        3 => (
            "/v1/completions",
            format!("authorization: Bearer sk-junk-{number}\r\n"),
            r#"{"model":"r","prompt":"x"}"#.into(),
        ),
        4 => (
            "/v1/completions",
            format!("{key}x-weir-models: junk-{number},r\r\nx-weir-tags: a=junk-{number}\r\n"),
            r#"{"model":"r","prompt":"x"}"#.into(),
        ),
        5 => (
            "/v1/embeddings",
            format!("{key}x-request-id: junk-{number}\r\nuser-agent: junk-{number}\r\n"),
            format!(r#"{{"model":"sim/\"}} evil-{number}\n","input":"x"}}"#),
        ),
        6 => (
            "/v1/embeddings",
            format!("{key}x-weir-cache: junk-{number}\r\n"),
            r#"{"model":"r","input":"x"}"#.into(),
        ),
        _ => ("/v1/junk", key.into(), format!(r#"{{"model":"r","user":"junk-{number}"}}"#)),
    };
    line.post(path, &headers, body.as_bytes()).await.expect("the connection stays open");
}

#[tokio::test]
async fn ten_thousand_junk_names_make_at_most_fifty_series() {
    let weir = Weir::start(CONFIG).await;
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
    // A histogram is one series to who reads it; its buckets are told by `le` alone.
    let counted = new.iter().filter(|name| !name.contains("le=\"")).count();
    assert!(counted <= MOST, "{counted}: {new:#?}");
    assert!(!after.iter().any(|name| name.contains("junk") || name.contains("evil")), "{new:#?}");
    assert!(!weir.logs().contains("panicked"));
}
