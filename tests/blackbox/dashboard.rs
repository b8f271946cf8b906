//! What the dashboard is made of: its files, the events behind it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    client::EventStream,
    openai::{ask, ask_stream, says, streams},
    raw::RawUpstream,
    script::Script,
    settings::{route, target},
    transcript::CHAT,
    weir::Weir,
};

const TOKEN: &str = "token-of-the-dashboard";
const KEY: &str = "sk-of-the-dashboard";

/// Two targets: the first one fails, the second one answers.
async fn gateway(more: &str) -> (Weir, [RawUpstream; 2]) {
    let first =
        RawUpstream::start(vec![Script::json(500, r#"{"error":{"message":"planted-message"}}"#)]).await;
    let second = RawUpstream::start(vec![streams(&["planted-answer"]), says("planted-answer")]).await;
    let toml = [
        &format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"{TOKEN}\"\nshutdown_grace = \"30s\"\n"),
        &format!("[[keys]]\nname = \"user\"\nsecret = \"{KEY}\"\n"),
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "api_keys = [\"sk-planted-provider-key\"]", ""),
        &route("chain", &["first", "second"], ""),
        more,
    ]
    .map(|part: &str| part.to_owned())
    .concat();
    (Weir::start(&toml).await, [first, second])
}

/// The next event of this name, with all that came.
async fn next(live: &mut EventStream, name: &str) -> Value {
    for _ in 0..10 {
        let event = live.next().await.expect("it goes on");
        if event.name == name {
            return event.json();
        }
    }
    panic!("no {name} comes");
}

#[tokio::test]
async fn what_happens_is_told_each_second_without_a_word_of_anybody() {
    let (weir, _upstreams) = gateway("").await;
    let (client, operator) = (weir.client().key(KEY), weir.client().key(TOKEN));
    client.stream(CHAT, &ask_stream("chain")).await.rest().await;
    let mut live = operator.watch("/admin/live").await;
    assert_eq!(live.header("content-type"), "text/event-stream; charset=utf-8");
    let hour = next(&mut live, "hour").await;
    let ended = &hour["recent"][0];
    assert_eq!(hour["notable"][0], *ended);
    for (name, wanted) in [
        ("fate", json!("moved")),
        ("route", json!("chain")),
        ("model", json!("second")),
        ("key", json!("user")),
        ("attempts", json!(2)),
        ("status", json!(200)),
    ] {
        assert_eq!(ended[name], wanted, "{name} of {ended}");
    }
    assert_eq!(
        (&ended["steps"][0]["model"], &ended["steps"][0]["why"]),
        (&json!("first"), &json!("server_error"))
    );
    // A name that a client made up is told as no more than that.
    client.post_json(CHAT, &ask("planted-model")).await;
    client.post_json(CHAT, &ask("second/planted-model")).await;
    client.post_json(CHAT, &ask("chain")).await;
    let mut moment = next(&mut live, "moment").await;
    while moment["hour"]["requests"] != json!([1, 2, 0, 0, 1, 0]) {
        moment = next(&mut live, "moment").await;
    }
    assert_eq!(moment["recent"][0]["seq"], 4);
    let targets = moment["targets"].as_array().unwrap();
    let first = targets.iter().find(|target| target["model"] == "first").unwrap();
    assert_eq!(
        (&first["last_error"], &first["lights"].as_str().unwrap()[1..]),
        (&json!("server_error"), "0")
    );
    let told = String::from_utf8_lossy(live.raw()).into_owned();
    for planted in ["planted", TOKEN, KEY] {
        assert!(!told.contains(planted), "{planted} is in {told}");
    }
}

#[tokio::test]
async fn an_open_dashboard_does_not_hold_up_the_end() {
    let (mut weir, _upstreams) = gateway("").await;
    let mut live = weir.client().key(TOKEN).watch("/admin/live").await;
    next(&mut live, "moment").await;
    let told = Instant::now();
    weir.sigterm();
    live.rest().await;
    assert!(!live.broken(), "it ends, it does not break");
    assert!(weir.wait_exit(Duration::from_secs(10)).await.success());
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}

#[tokio::test]
async fn a_changed_token_ends_what_the_old_one_opened() {
    let (weir, _upstreams) = gateway("").await;
    let operator = weir.client().key(TOKEN);
    let mut live = operator.watch("/admin/live").await;
    next(&mut live, "moment").await;
    weir.write_config("[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"another\"\n");
    weir.sighup();
    live.rest().await;
    assert_eq!(operator.get("/admin/live").await.status, 401);
}

#[tokio::test]
async fn only_so_many_may_look_at_once() {
    let (weir, _upstreams) = gateway("").await;
    let operator = weir.client().key(TOKEN);
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(operator.watch("/admin/live").await);
    }
    let refused = operator.get("/admin/live").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "5"));
    drop(open);
    let until = Instant::now() + Duration::from_secs(10);
    while operator.watch("/admin/live").await.status() != 200 {
        assert!(Instant::now() < until, "places come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_page_has_no_figures_and_trusts_nobody_else() {
    let (weir, _upstreams) = gateway("").await;
    let client = weir.client();
    let page = client.get("/dashboard").await;
    assert!(page.text().contains("data-token=\"needed\"") && !page.text().contains("chain"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for (name, kind) in [
        ("app.js", "text/javascript"),
        ("style.css", "text/css"),
        ("uplot.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let file = client.get(&format!("/dashboard/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
        assert!(file.header("content-type").starts_with(kind), "{name}");
        assert_eq!(
            (file.header("x-content-type-options"), file.header("cache-control")),
            ("nosniff", "no-cache")
        );
        let again = client
            .clone()
            .header("if-none-match", file.header("etag"))
            .get(&format!("/dashboard/{name}"))
            .await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    }
    for path in
        ["/dashboard/", "/dashboard/index.html", "/dashboard/..%2Fpage.rs", "/dashboard/vendor/LICENSE"]
    {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(client.get("/admin/live").await.status, 401);
}
