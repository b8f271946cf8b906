//! What a client is told when no target could answer.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    client::Answer,
    limits::quiet,
    openai::{ask, ask_stream, error, says},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, chain, chain_with, route, target},
    transcript::CHAT,
    weir::Weir,
    wire,
};

/// An answer of status 429 with these headers.
fn limited(headers: &[(&str, &str)]) -> Script {
    Script::send(wire::answer(
        429,
        headers,
        error("requests", "rate_limit_exceeded", "Slow down.").as_bytes(),
    ))
}

/// Asks a gateway over these upstreams.
async fn asked(scripts: Vec<Script>, more: &str) -> Answer {
    let mut upstreams = Vec::new();
    for script in scripts {
        upstreams.push(RawUpstream::start(vec![script]).await);
    }
    let urls: Vec<(String, String)> =
        upstreams.iter().enumerate().map(|(number, up)| (format!("m{number}"), up.base_url())).collect();
    let named: Vec<(&str, &str)> = urls.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
    let weir = Weir::start(&chain_with(&named, more)).await;
    let whole = weir.client().post_json(CHAT, &ask("chain")).await;
    // A stream that does not begin is refused like a whole answer.
    let stream = weir.client().post_json(CHAT, &ask_stream("chain")).await;
    assert_eq!((stream.status, stream.code()), (whole.status, whole.code()), "{}", stream.text());
    assert_eq!(stream.header("content-type"), "application/json");
    whole
}

#[track_caller]
fn told(answer: &Answer, status: u16, kind: &str, code: &str) {
    let error = &answer.json()["error"];
    let said = (answer.status.as_u16(), error["type"].as_str(), error["code"].as_str());
    assert_eq!(said, (status, Some(kind), Some(code)), "{}", answer.text());
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert_eq!(answer.header("x-should-retry"), "false");
}

#[tokio::test]
async fn all_limited_is_429_with_the_shortest_delay() {
    let answer =
        asked(vec![limited(&[("retry-after", "7")]), limited(&[("retry-after-ms", "2500")])], "").await;
    told(&answer, 429, "rate_limit_error", "upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), "3");
    let answer =
        asked(vec![limited(&[("retry-after-ms", "1500")]), limited(&[("retry-after", "30")])], "").await;
    assert_eq!(answer.header("retry-after"), "2");
    let answer = asked(vec![limited(&[])], "").await;
    told(&answer, 429, "rate_limit_error", "upstream_rate_limited");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
}

#[tokio::test]
async fn all_down_is_503() {
    let reset = Script::OnRequest(vec![Step::Reset]);
    let answer = asked(vec![Script::json(500, "{}"), reset, Script::json(503, "<html>")], "").await;
    told(&answer, 503, "upstream_error", "upstream_unavailable");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1));
    let outcomes: Vec<_> = outcomes(&answer);
    assert_eq!(outcomes, ["server_error", "connection_reset", "server_error"]);
    let answer = asked(vec![limited(&[("retry-after", "7")]), Script::json(500, "{}")], "").await;
    told(&answer, 503, "upstream_error", "upstream_unavailable");
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let error = &answer.json()["error"];
    let attempts = error["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn all_credentials_refused_is_502() {
    let refused = Script::json(401, &error("invalid_request_error", "invalid_api_key", "Incorrect API key."));
    let forbidden = Script::json(403, &error("permission_error", "x", "No."));
    let answer = asked(vec![refused.clone(), forbidden], "").await;
    told(&answer, 502, "upstream_error", "upstream_credentials_rejected");
    let answer = asked(vec![refused, Script::json(500, "{}")], "").await;
    told(&answer, 503, "upstream_error", "upstream_unavailable");
}

#[tokio::test]
async fn all_silent_is_504() {
    let silent = Script::OnRequest(vec![Step::Hang]);
    let more = "first_byte_timeout = \"150ms\"\nanswer_timeout = \"150ms\"";
    let answer = asked(vec![silent.clone(), silent], more).await;
    told(&answer, 504, "upstream_error", "upstream_timeout");
    assert_eq!(outcomes(&answer), ["timeout", "timeout"]);
}

#[tokio::test]
async fn the_clients_deadline_ends_in_504_in_time() {
    let _quiet = quiet().await;
    let silent = RawUpstream::start(vec![Script::OnRequest(vec![Step::Hang])]).await;
    let toml = chain(&[("first", &silent.base_url()), ("second", &silent.base_url())]);
    let weir = Weir::start(&toml).await;
    for body in [ask("chain"), ask_stream("chain")] {
        let begun = Instant::now();
        let answer = weir.client().header("x-weir-timeout-ms", "400").post_json(CHAT, &body).await;
        told(&answer, 504, "upstream_error", "upstream_timeout");
        assert_eq!(outcomes(&answer), ["timeout", "timeout"]);
        let took = begun.elapsed();
        assert!((350..1600).contains(&took.as_millis()), "{took:?}");
    }
}

#[tokio::test]
async fn every_try_is_named_but_nothing_secret() {
    let canary = error("canary_type", "canary_code", "canary: your key sk-canary-secret-0123456789 failed");
    let body = |status| Script::json(status, &canary);
    let scripts =
        vec![body(500), body(401), body(404), limited(&[]), Script::OnRequest(vec![Step::Reset]), body(503)];
    let more = "api_keys = [\"sk-canary-secret-0123456789\"]\nheaders = { x-extra = \"canary-header\" }";
    let answer = asked(scripts, more).await;
    told(&answer, 503, "upstream_error", "upstream_unavailable");
    let attempts = answer.json()["error"]["attempts"].as_array().unwrap().clone();
    let expected = [
        "server_error",
        "credential_rejected",
        "model_unknown",
        "rate_limited",
        "connection_reset",
        "server_error",
    ];
    assert_eq!(attempts.len(), expected.len(), "{}", answer.text());
    for (number, (attempt, outcome)) in attempts.iter().zip(expected).enumerate() {
        let name = format!("m{number}");
        assert!(attempt["ms"].is_u64(), "{attempt}");
        let mut rest = attempt.clone();
        rest.as_object_mut().unwrap().remove("ms");
        assert_eq!(rest, json!({ "model": name, "provider": name, "outcome": outcome }));
    }
    let everything = format!("{:?} {}", answer.headers, answer.text());
    assert!(!everything.contains("canary") && !everything.contains("127.0.0.1"), "{everything}");
    assert_eq!(answer.header("x-weir-attempts"), "6");
}

#[tokio::test]
async fn what_the_request_caused_is_passed_on() {
    let theirs = error("invalid_request_error", "unsupported_value", "Too hot.");
    let param = theirs.replace("\"param\":null", "\"param\":\"temperature\"");
    for status in [400, 413, 422] {
        let first = RawUpstream::start(vec![Script::json(status, &param)]).await;
        let second = RawUpstream::start(vec![says("not me")]).await;
        let toml = chain(&[("first", &first.base_url()), ("second", &second.base_url())]);
        let weir = Weir::start(&toml).await;
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        told(&answer, status, "invalid_request_error", "unsupported_value");
        let error = &answer.json()["error"];
        assert_eq!((&error["param"], &error["message"]), (&json!("temperature"), &json!("Too hot.")));
        assert_eq!((first.requests().len(), second.requests().len()), (1, 0));
    }
}

#[tokio::test]
async fn foreign_errors_come_in_openais_envelope() {
    for body in [
        "{\"detail\":\"temperature is too high\"}",
        "{\"message\":\"temperature is too high\"}",
        "{\"error\":\"temperature is too high\"}",
        "temperature is too high",
    ] {
        let answer = asked(vec![Script::json(400, body), says("not me")], "").await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status.as_u16(), 400);
        assert!(error["message"].as_str().unwrap().contains("temperature is too high"), "{}", answer.text());
        assert!(error["type"].is_string() && error["code"].is_string(), "{}", answer.text());
    }
}

#[tokio::test]
async fn too_long_a_question_goes_to_a_larger_window() {
    let long = Script::json(400, &error("invalid_request_error", "context_length_exceeded", "Too long."));
    let first = RawUpstream::start(vec![long.clone()]).await;
    let small = RawUpstream::start(vec![says("not me")]).await;
    let large = RawUpstream::start(vec![says("fine"), long]).await;
    let toml = [
        OPEN,
        &target("first", &first.base_url(), "", "context_window = 1000"),
        &target("small", &small.base_url(), "", "context_window = 500"),
        &target("unknown", &small.base_url(), "", ""),
        &target("large", &large.base_url(), "", "context_window = 2000"),
        &route("chain", &["first", "small", "unknown", "large"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "large"));
    assert_eq!(small.requests().len(), 0);
    // Too long even for that one: the client is told so, and not that everything is down.
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    told(&answer, 400, "invalid_request_error", "context_length_exceeded");
    assert_eq!(outcomes(&answer), ["context_too_long", "context_too_long"]);
    assert_eq!((first.requests().len(), small.requests().len(), large.requests().len()), (2, 0, 2));
}

#[tokio::test]
async fn repeats_on_one_target_wait_as_they_are_told() {
    let _quiet = quiet().await;
    let hint = limited(&[("retry-after-ms", "300")]);
    let upstream = RawUpstream::start(vec![hint, Script::json(500, "{}"), says("fine")]).await;
    let toml = [
        OPEN,
        &target("only", &upstream.base_url(), "", "retries = 2"),
        &route("chain", &["only"], "max_attempts = 3"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-attempts")), (200, "3"));
    let times: Vec<Instant> = upstream.requests().iter().map(|request| request.at).collect();
    assert!(times[1] - times[0] >= Duration::from_millis(300), "{:?}", times[1] - times[0]);
}
