//! What a client may name, by body or header, with what each name makes of the request.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{
    client::Answer,
    limits::quiet,
    openai::{ask, ask_stream, error, says, streams},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

/// A gateway with the models a and b, the routes `chain` (a, b), `only-b`, and `entry` (a, then `only-b`).
struct Stand {
    weir: Weir,
    a: RawUpstream,
    b: RawUpstream,
}

async fn stand(a: Script, b: Script) -> Stand {
    let (a, b) = (RawUpstream::start(vec![a]).await, RawUpstream::start(vec![b]).await);
    let toml = [
        OPEN,
        &target("a", &a.base_url(), "", "fallback = \"only-b\""),
        &target("b", &b.base_url(), "", ""),
        &route("chain", &["a", "b"], ""),
        &route("only-b", &["b"], ""),
        &route("entry", &["a"], "fallback = \"only-b\""),
        &route("once", &["a", "b"], "max_attempts = 1"),
    ]
    .concat();
    Stand { weir: Weir::start(&toml).await, a, b }
}

impl Stand {
    async fn ask(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let client =
            headers.iter().fold(self.weir.client(), |client, (name, value)| client.header(name, value));
        client.post_json(CHAT, body).await
    }

    /// Who answers: model, attempts, route.
    async fn who(&self, body: &Value, headers: &[(&str, &str)]) -> (String, String, String) {
        let answer = self.ask(body, headers).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        let header = |name| answer.header(name).to_owned();
        (header("x-weir-model"), header("x-weir-attempts"), header("x-weir-route"))
    }

    /// The outcome where nobody answers: status, code, how many tries.
    async fn refused(&self, body: &Value, headers: &[(&str, &str)]) -> (u16, String, usize) {
        let answer = self.ask(body, headers).await;
        let tries = answer.json()["error"]["attempts"].as_array().map_or(0, Vec::len);
        (answer.status.as_u16(), answer.code(), tries)
    }
}

fn three(model: &str, attempts: &str, route: &str) -> (String, String, String) {
    (model.into(), attempts.into(), route.into())
}

fn down() -> Script {
    Script::json(500, "{}")
}

#[tokio::test]
async fn a_name_is_a_route_or_a_model_with_its_fallback() {
    let stand = stand(down(), says("b")).await;
    assert_eq!(stand.who(&ask("chain"), &[]).await, three("b", "2", "chain"));
    assert_eq!(stand.who(&ask("entry"), &[]).await, three("b", "2", "entry"));
    assert_eq!(stand.who(&ask("a"), &[]).await, three("b", "2", "a"));
    assert_eq!(stand.who(&ask("b"), &[]).await, three("b", "1", "b"));
    assert_eq!(stand.refused(&ask("once"), &[]).await, (503, "upstream_unavailable".into(), 1));
    assert_eq!(stand.refused(&ask("nobody"), &[]).await, (404, "model_not_found".into(), 0));
}

#[tokio::test]
async fn a_pinned_model_has_no_fallback() {
    let stand = stand(says("a"), Script::json(404, &error("x", "y", "No such model."))).await;
    let answer = stand.ask(&ask("a/brand/new:1"), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-provider")), (200, "a"));
    assert_eq!(stand.a.request(0).await.json()["model"], "brand/new:1");
    assert_eq!(stand.refused(&ask("b/new"), &[]).await, (404, "model_not_found".into(), 1));
    assert_eq!(stand.refused(&ask("c/new"), &[]).await, (404, "model_not_found".into(), 0));
    assert_eq!(stand.refused(&ask("b/"), &[]).await, (404, "model_not_found".into(), 0));
    let failing = self::stand(down(), says("b")).await;
    assert_eq!(failing.refused(&ask("a/new"), &[]).await, (503, "upstream_unavailable".into(), 1));
    assert_eq!(failing.b.requests().len(), 0);
}

#[tokio::test]
async fn fallback_can_be_switched_off() {
    let stand = stand(down(), says("b")).await;
    let off = [("x-weir-fallback", "off")];
    for name in ["chain", "entry", "a"] {
        assert_eq!(stand.refused(&ask(name), &off).await, (503, "upstream_unavailable".into(), 1), "{name}");
    }
    assert_eq!(stand.b.requests().len(), 0);
    assert_eq!(stand.who(&ask("b"), &off).await.0, "b");
    assert_eq!(stand.who(&ask("chain"), &[("x-weir-fallback", "on")]).await.0, "b");
}

#[tokio::test]
async fn a_client_may_bring_its_own_list() {
    let stand = stand(down(), says("b")).await;
    let list = |value| [("x-weir-models", value)];
    assert_eq!(stand.who(&ask("nobody"), &list("b, a")).await.0, "b");
    assert_eq!(stand.who(&ask("nobody"), &list("a,b")).await, three("b", "2", "a"));
    assert_eq!(stand.who(&ask("chain"), &list("a,only-b")).await.0, "b");
    assert_eq!(stand.refused(&ask("chain"), &list("a,a/x")).await.2, 2);
    assert_eq!(stand.refused(&ask("chain"), &list("a,nobody")).await, (404, "model_not_found".into(), 0));
    assert_eq!(stand.refused(&ask("chain"), &list("a,,b")).await, (400, "invalid_header".into(), 0));
    // In the body the same, without a trace upstream; the header comes first.
    let count = stand.b.requests().len();
    let mut body = ask("a");
    body["models"] = json!(["a", "b"]);
    assert_eq!(stand.who(&body, &[]).await, three("b", "2", "a"));
    let seen = stand.b.request(count).await.json();
    assert_eq!((seen.get("models"), &seen["model"]), (None, &json!("theirs")));
    body["models"] = json!(["a"]);
    assert_eq!(stand.who(&body, &list("b")).await.0, "b");
    body["models"] = json!([7]);
    assert_eq!(stand.refused(&body, &[]).await.1, "invalid_request");
}

#[tokio::test]
async fn a_route_may_be_named_apart() {
    let stand = stand(says("a"), says("b")).await;
    let route = |value| [("x-weir-route", value)];
    assert_eq!(stand.who(&ask("a"), &route("only-b")).await, three("b", "1", "only-b"));
    assert_eq!(stand.who(&ask("nobody"), &route("only-b")).await.0, "b");
    let both = [("x-weir-route", "only-b"), ("x-weir-models", "a")];
    assert_eq!(stand.who(&ask("chain"), &both).await.0, "a", "the client's own list comes first");
    for unknown in ["nobody", "a"] {
        // A model's name is no route.
        assert_eq!(stand.refused(&ask("a"), &route(unknown)).await, (404, "model_not_found".into(), 0));
    }
}

#[tokio::test]
async fn a_short_deadline_still_reaches_the_second_target() {
    let _quiet = quiet().await;
    let stand = stand(Script::OnRequest(vec![Step::Hang]), says("b")).await;
    stand.who(&ask("b"), &[]).await;
    let begun = Instant::now();
    assert_eq!(stand.who(&ask("chain"), &[("x-weir-timeout-ms", "1000")]).await, three("b", "2", "chain"));
    let took = begun.elapsed().as_millis();
    assert!((450..1000).contains(&took), "half of the time is the second target's: {took} ms");
    let begun = Instant::now();
    assert_eq!(stand.who(&ask("chain"), &[("x-weir-attempt-timeout-ms", "200")]).await.0, "b");
    let took = begun.elapsed().as_millis();
    assert!((200..1000).contains(&took), "{took} ms");
    assert_eq!(stand.refused(&ask("chain"), &[("x-weir-timeout-ms", "0")]).await.1, "invalid_header");
}

#[tokio::test]
async fn a_deadline_of_the_client_bounds_its_stream() {
    let _quiet = quiet().await;
    let words = vec![Step::Hang];
    let parts = [crate::support::openai::role(), crate::support::openai::text("Hi")];
    let stand = stand(crate::support::openai::stream_then(&parts, &words), streams(&["not me"])).await;
    let begun = Instant::now();
    let client = stand.weir.client().header("x-weir-timeout-ms", "500");
    let transcript = Transcript::of(&mut client.stream(CHAT, &ask_stream("a/x")).await).await;
    assert!(transcript.is_cut() && transcript.text == "Hi", "{transcript:?}");
    assert!((400..2000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn defaults_and_prefixes_apply_where_they_should() {
    let upstream = RawUpstream::start(vec![says("fine")]).await;
    let url = upstream.base_url();
    let toml = [
        OPEN,
        &target("a", &url, "", "system_prefix = \"Be \\\"kind\\\".\""),
        &target("b", &url, "", ""),
        &route("chain", &["a"], "defaults = { max_tokens = 7, temperature = 0.5, x_deep = { k = [1] } }"),
        &route("plain", &["b"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let mut number = 0;
    let mut sent = async |body: &Value| {
        let answer = weir.client().post_json(CHAT, body).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        number += 1;
        upstream.request(number - 1).await.json()
    };
    let seen = sent(&ask("chain")).await;
    assert_eq!(
        (&seen["max_tokens"], &seen["temperature"], &seen["x_deep"]),
        (&json!(7), &json!(0.5), &json!({ "k": [1] }))
    );
    assert_eq!(seen["messages"][0], json!({ "role": "system", "content": "Be \"kind\"." }));
    assert_eq!(seen["messages"][1], ask("x")["messages"][0]);
    // What the client said stands.
    let mut body = ask("chain");
    body["max_completion_tokens"] = json!(9);
    body["temperature"] = json!(0);
    body["messages"] =
        json!([{ "role": "system", "content": "Short." }, { "role": "user", "content": "Hi" }]);
    let seen = sent(&body).await;
    assert_eq!((seen.get("max_tokens"), &seen["temperature"]), (None, &json!(0)));
    assert_eq!(seen["messages"][0]["content"], "Be \"kind\".\n\nShort.");
    assert_eq!(seen["messages"].as_array().unwrap().len(), 2);
    // Another route, another model: nothing of it.
    let seen = sent(&ask("plain")).await;
    assert_eq!((seen.get("max_tokens"), seen["messages"].as_array().unwrap().len()), (None, 1));
}
