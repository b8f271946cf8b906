//! What virtual keys may do, how much of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{client::Client, sim::SimProcess, weir::Weir};

const CHAT: &str = "/v1/chat/completions";

const CONFIG: &str = r#"
[[keys]]
name = "all"
secret = "sk-all-of-them"
[[keys]]
name = "routes"
secret = "sk-routes-only"
routes = ["one"]
models = []
[[keys]]
name = "models"
secret = "sk-models-only"
routes = []
models = ["b", "sim/pinned"]
[[keys]]
name = "slow"
secret = "sk-slow"
rpm = 2
[providers.sim]
protocol = "sim"
[models.a]
provider = "sim"
upstream_model = "sim-small?tokens=3"
[models.b]
provider = "sim"
upstream_model = "sim-small?tokens=3"
[routes.one]
targets = ["a"]
fallback = "two"
[routes.two]
targets = ["b"]
"#;

fn asking(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

async fn status(client: &Client, model: &str) -> u16 {
    client.post_json(CHAT, &asking(model)).await.status.as_u16()
}

async fn listed(client: &Client) -> Vec<String> {
    let list = client.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let mut names = Vec::new();
    for model in list["data"].as_array().unwrap() {
        assert_eq!(model["object"], "model");
        names.push(model["id"].as_str().unwrap().to_owned());
    }
    names.sort();
    names
}

#[tokio::test]
async fn the_list_shows_what_the_key_may_ask_for() {
    let weir = Weir::start(CONFIG).await;
    for (key, names) in [
        ("sk-all-of-them", &["a", "b", "one", "two"][..]),
        ("sk-routes-only", &["one"]),
        ("sk-models-only", &["b"]),
    ] {
        let client = weir.client().key(key);
        assert_eq!(listed(&client).await, names, "{key}");
        for name in ["a", "b", "one", "two"] {
            let shown = client.get(&format!("/v1/models/{name}")).await.status == 200;
            assert_eq!(shown, names.contains(&name), "{key} {name}");
            assert_eq!(status(&client, name).await, if shown { 200 } else { 403 }, "{key} {name}");
        }
    }
    let models = weir.client().key("sk-models-only");
    assert_eq!((status(&models, "sim/pinned").await, status(&models, "sim/other").await), (200, 403));
}

#[tokio::test]
async fn a_key_has_its_requests_a_minute() {
    let weir = Weir::start(CONFIG).await;
    let slow = weir.client().key("sk-slow");
    for left in ["1", "0"] {
        let answer = slow.post_json(CHAT, &asking("one")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), left);
        assert!(answer.header("x-ratelimit-reset-requests").ends_with('s'));
    }
    for _ in 0..3 {
        let answer = slow.post_json(CHAT, &asking("one")).await;
        answer.refused(429, "rate_limit_error", "rate_limit_exceeded", true);
        assert!((1..=30).contains(&answer.retry_after()));
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), "0");
    }
    assert_eq!(status(&weir.client().key("sk-all-of-them"), "one").await, 200, "other keys are not held up");
}

#[tokio::test]
async fn a_key_has_its_requests_at_once() {
    let sim = SimProcess::start(&["--first-token", "1ms"]).await;
    let config = format!(
        "[[keys]]\nname = \"k\"\nsecret = \"sk-k\"\nmax_concurrent = 2\n[providers.p]\nbase_url = \"{}\"\n[models.m]\nprovider = \"p\"\nupstream_model = \"x\"\n[models.slow]\nprovider = \"p\"\nupstream_model = \"x?hang-after=1\"\n",
        sim.base_url()
    );
    let weir = Weir::start(&config).await;
    let client = weir.client().key("sk-k");
    let mut body = asking("slow");
    body["stream"] = true.into();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = client.stream(CHAT, &body).await;
        assert!(stream.next().await.is_some());
        streams.push(stream);
    }
    let answer = client.post_json(CHAT, &asking("m")).await;
    answer.refused(429, "rate_limit_error", "rate_limit_exceeded", true);
    assert!(answer.retry_after() >= 1);
    // Looking at the list is no request to a model.
    assert_eq!(client.get("/v1/models").await.status, 200);
    drop(streams.pop());
    let mut last = 0;
    for _ in 0..500 {
        last = status(&client, "m").await;
        if last == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last, 200, "a stream that ended made no room");
}

#[tokio::test]
async fn a_key_made_by_the_command_works_and_only_its_hash_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let made = Weir::run(folder.path(), &["keys", "new", "team-1", "--routes", "one", "--print"]);
    let text = String::from_utf8(made.stdout).unwrap();
    let secret = text.lines().find_map(|line| line.strip_prefix("# sk-weir-")).unwrap();
    let secret = format!("sk-weir-{secret}");
    let stanza = &text[text.find("[[keys]]").unwrap()..];
    assert!(!stanza.contains(&secret) && stanza.contains("sha256:"), "{stanza}");
    let weir = Weir::start(&format!("{stanza}\n{CONFIG}")).await;
    let client = weir.client().key(&secret);
    assert_eq!((status(&client, "one").await, status(&client, "two").await), (200, 403));
    let hash = stanza.split('"').find(|part| part.starts_with("sha256:")).unwrap();
    let half = &secret[..secret.len() - 1];
    for wrong in [hash, &hash[7..], half, &format!("{secret}x"), &secret.to_uppercase()] {
        assert_eq!(status(&weir.client().key(wrong), "one").await, 401, "{wrong}");
    }
}

#[tokio::test]
async fn an_address_that_guesses_keys_is_held_up() {
    let weir =
        Weir::start(&format!("{CONFIG}\n[server]\nauth_failures_per_minute = 5\nadmin_token = \"token-1\""))
            .await;
    let guess = |number: usize| weir.client().key(&format!("sk-guess-{number}"));
    for number in 0..4 {
        assert_eq!(guess(number).get("/v1/models").await.status, 401);
    }
    // Guesses at the admin token count like others.
    assert_eq!(guess(4).send("POST", "/admin/reload", "").await.status, 401);
    for client in [guess(5), weir.client().key("sk-all-of-them")] {
        let answer = client.get("/v1/models").await;
        answer.refused(429, "rate_limit_error", "rate_limit_exceeded", true);
        assert!((1..=60).contains(&answer.retry_after()));
    }
    let admin = weir.client().key("token-1").send("POST", "/admin/reload", "").await;
    assert_eq!(admin.status, 429);
    assert_eq!(weir.client().get("/healthz").await.status, 200);
}
