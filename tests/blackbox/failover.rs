//! A target that fails before content is replaced without a trace; one that fails after it ends the stream honestly.

use std::time::{Duration, Instant};

use crate::support::{
    client::Client,
    limits::quiet,
    openai::{ask, ask_stream, role, says, stream_then, streams, text},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, chain, chain_with, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

/// A gateway over two scripted upstreams.
async fn two(first: Vec<Script>, second: Vec<Script>, more: &str) -> (Weir, RawUpstream, RawUpstream) {
    let (first, second) = (RawUpstream::start(first).await, RawUpstream::start(second).await);
    let toml = chain_with(&[("first", &first.base_url()), ("second", &second.base_url())], more);
    (Weir::start(&toml).await, first, second)
}

async fn read(client: &Client, model: &str) -> Transcript {
    Transcript::of(&mut client.stream(CHAT, &ask_stream(model)).await).await
}

/// What an upstream may do before its first content.
fn deaths() -> Vec<(&'static str, Script)> {
    let error_event = "data: {\"error\":{\"message\":\"boom\"}}\n\n".to_owned();
    vec![
        ("reset at once", Script::OnRequest(vec![Step::Reset])),
        ("closed at once", Script::OnRequest(vec![Step::Close])),
        ("half a head", Script::OnRequest(vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Close])),
        ("reset after the head", stream_then(&[], &[Step::Reset])),
        ("reset after the role", stream_then(&[role()], &[Step::Reset])),
        ("ended after the role", stream_then(&[role()], &[Step::Send(wire::last_chunk())])),
        ("closed after the role", stream_then(&[role()], &[Step::Close])),
        ("half an event", stream_then(&[role(), "data: {\"choi".into()], &[Step::Close])),
        ("an error event after the role", stream_then(&[role(), error_event], &[Step::Hang])),
        ("500", Script::json(500, "{}")),
        ("503 without a delay", Script::json(503, "<html>")),
        ("408", Script::json(408, "")),
        ("404 for the model", Script::json(404, "{\"error\":{\"message\":\"no such model\"}}")),
        // The last one: after it the target is left alone.
        ("429", Script::json(429, "{\"error\":{\"message\":\"slow down\"}}")),
    ]
}

#[tokio::test]
async fn a_death_before_content_leaves_no_trace() {
    let deaths = deaths();
    let scripts = deaths.iter().map(|(_, script)| script.clone()).collect();
    let (weir, first, second) = two(scripts, vec![streams(&["Hello", " you"])], "").await;
    let client = weir.client();
    for (number, (death, _)) in deaths.iter().enumerate() {
        let mut stream = client.stream(CHAT, &ask_stream("chain")).await;
        assert_eq!((stream.status().as_u16(), stream.header("x-weir-model")), (200, "second"), "{death}");
        assert_eq!((stream.header("x-weir-attempts"), stream.header("x-weir-fallbacks")), ("2", "1"));
        let transcript = Transcript::of(&mut stream).await;
        assert!(transcript.is_clean(), "{death}: {transcript:?}");
        assert_eq!((transcript.text.as_str(), transcript.roles), ("Hello you", 1), "{death}");
        assert_eq!((first.requests().len(), second.requests().len()), (number + 1, number + 1), "{death}");
    }
}

#[tokio::test]
async fn a_visible_failure_moves_on_at_once() {
    let _quiet = quiet().await;
    let failures = [
        Script::json(500, "{}"),
        Script::json(429, "{}"),
        Script::OnRequest(vec![Step::Reset]),
        stream_then(&[role()], &[Step::Reset]),
    ];
    for failure in failures {
        let mut gaps = Vec::new();
        let (weir, first, second) = two(vec![failure], vec![streams(&["Hello"])], "").await;
        for number in 0..11 {
            assert!(read(&weir.client(), "chain").await.is_clean());
            // A rate limit is heeded: the second time the first one is not asked.
            if let (Some(one), Some(two)) = (first.requests().get(number), second.requests().get(number)) {
                gaps.push(two.at - one.at);
            }
        }
        gaps.sort();
        // 5 ms with fourfold slack; the first one has to connect.
        assert!(gaps[gaps.len() / 2] < Duration::from_millis(20), "{gaps:?}");
    }
}

#[tokio::test]
async fn a_death_before_a_whole_answer_leaves_no_trace() {
    let cut = wire::json_answer(200, "{\"choices\":[{}]}");
    let deaths = vec![
        ("reset", Script::OnRequest(vec![Step::Reset])),
        ("half a body", Script::OnRequest(vec![Step::Send(cut[..cut.len() - 3].to_vec()), Step::Close])),
        (
            "half a body, reset",
            Script::OnRequest(vec![Step::Send(cut[..cut.len() - 3].to_vec()), Step::Reset]),
        ),
        ("502", Script::json(502, "bad gateway")),
        ("an error under 200", Script::json(200, "{\"error\":{\"message\":\"boom\"}}")),
    ];
    let scripts = deaths.iter().map(|(_, script)| script.clone()).collect();
    let (weir, _first, _second) = two(scripts, vec![says("fine")], "").await;
    for (death, _) in &deaths {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"), "{death}");
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "fine", "{death}");
    }
}

#[tokio::test]
async fn a_refused_connection_moves_on() {
    let second = RawUpstream::start(vec![says("fine")]).await;
    let toml = chain(&[("first", "http://127.0.0.1:1/v1"), ("second", &second.base_url())]);
    let weir = Weir::start(&toml).await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"));
    let metrics = weir.client().get("/metrics").await.text();
    let line =
        "weir_fallbacks_total{from=\"first\",reason=\"connect_error\",route=\"chain\",to=\"second\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

/// A chain of two whose tokens cost something.
fn priced(first: &RawUpstream, second: &RawUpstream) -> String {
    let price = price("1.0", "100.0");
    [
        OPEN,
        &target("first", &first.base_url(), "", &price),
        &target("second", &second.base_url(), "", &price),
        &route("chain", &["first", "second"], ""),
    ]
    .concat()
}

#[tokio::test]
async fn a_death_after_content_ends_the_stream_with_an_error() {
    for count in [1, 5] {
        let words: Vec<String> = (0..count).map(|number| text(&format!("w{number} "))).collect();
        let parts = [vec![role()], words].concat();
        let stall = [Step::Sleep(Duration::from_millis(20))];
        let error = "data: {\"error\":{\"message\":\"boom\"}}\n\n".to_owned();
        let ends = [
            ("reset", stream_then(&parts, &[&stall[..], &[Step::Reset]].concat())),
            ("close", stream_then(&parts, &[Step::Close])),
            ("end without a finish", stream_then(&parts, &[Step::Send(wire::last_chunk())])),
            ("error event", stream_then(&[parts.clone(), vec![error]].concat(), &[Step::Hang])),
        ];
        for (end, script) in ends {
            let first = RawUpstream::start(vec![script]).await;
            let second = RawUpstream::start(vec![streams(&["not me"])]).await;
            let weir = Weir::start(&priced(&first, &second)).await;
            let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
            assert_eq!(stream.header("x-weir-model"), "first");
            let transcript = Transcript::of(&mut stream).await;
            assert!(transcript.is_cut(), "{end} after {count}: {transcript:?}");
            let expected: String = (0..count).map(|number| format!("w{number} ")).collect();
            assert_eq!((&transcript.text, transcript.roles), (&expected, 1), "{end} after {count}");
            assert_eq!(transcript.errors[0]["code"], "upstream_stream_broken");
            assert_eq!((first.requests().len(), second.requests().len()), (1, 0), "{end} after {count}");
            // What had come is paid for: two tokens or more a word, at 100 USD a million.
            let row = weir.attempts(1).await.remove(0);
            assert_eq!((row.kind.as_str(), row.model.as_str()), ("estimated", "first"), "{row:?}");
            assert_ne!(row.outcome, "ok", "{row:?}");
            assert!((count..=4 * count).contains(&(row.output as usize)), "{end} after {count}: {row:?}");
            assert_eq!(row.cost, 1_000 * row.input as i64 + 100_000 * row.output as i64);
        }
    }
}

#[tokio::test]
async fn a_silent_upstream_is_replaced_at_the_first_token_deadline() {
    let _quiet = quiet().await;
    let ping = Step::Send(wire::chunk(": ping\n\n"));
    let pings: Vec<Step> =
        (0..40).flat_map(|_| [ping.clone(), Step::Sleep(Duration::from_millis(50))]).collect();
    let silences = [
        ("no head", Script::OnRequest(vec![Step::Hang])),
        ("a head", stream_then(&[], &[Step::Hang])),
        ("a role", stream_then(&[role()], &[Step::Hang])),
        ("comments", stream_then(&[role()], &pings)),
    ];
    let scripts: Vec<Script> = silences.iter().map(|(_, script)| script.clone()).collect();
    let more = "first_byte_timeout = \"300ms\"";
    let (weir, first, _second) = two(scripts, vec![streams(&["Hello"])], more).await;
    // The first connection of a gateway is not what is measured.
    read(&weir.client(), "second").await;
    for (number, (silence, _)) in silences.iter().enumerate() {
        let begun = Instant::now();
        let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
        let took = begun.elapsed();
        assert_eq!(stream.header("x-weir-model"), "second", "{silence}");
        assert!(Transcript::of(&mut stream).await.is_clean(), "{silence}");
        // 200 ms after the deadline, with fourfold slack.
        assert!((300..300 + 800).contains(&took.as_millis()), "{silence}: {took:?}");
        let left = first.peer_left(number).await;
        assert!(left < begun + took + Duration::from_secs(1), "{silence}: the connection stays open");
    }
}

#[tokio::test]
async fn a_silent_upstream_is_replaced_at_the_answer_deadline() {
    let more = "answer_timeout = \"300ms\"";
    let silent = vec![Script::OnRequest(vec![Step::Hang])];
    let (weir, first, _second) = two(silent, vec![says("fine")], more).await;
    let begun = Instant::now();
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"));
    assert!((300..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    first.peer_left(0).await;
}

#[tokio::test]
async fn a_stall_in_the_middle_ends_at_the_idle_timeout() {
    let _quiet = quiet().await;
    let stalls = vec![stream_then(&[role(), text("Hel"), text("lo")], &[Step::Hang])];
    let more = "first_byte_timeout = \"200ms\"\nidle_timeout = \"500ms\"";
    let (weir, first, second) = two(stalls, vec![streams(&["not me"])], more).await;
    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    let begun = Instant::now();
    let transcript = Transcript::of(&mut stream).await;
    assert!(transcript.is_cut() && transcript.text == "Hello", "{transcript:?}");
    let took = transcript.ended - begun;
    assert!((400..500 + 4 * 500).contains(&took.as_millis()), "{took:?}");
    first.peer_left(0).await;
    assert_eq!(second.requests().len(), 0);
}

#[tokio::test]
async fn a_slow_stream_outlives_the_first_token_deadline() {
    let steps: Vec<Step> = (0..10)
        .flat_map(|_| [Step::Sleep(Duration::from_millis(50)), Step::Send(wire::chunk(text("w ")))])
        .chain([Step::Send(wire::chunk("data: [DONE]\n\n")), Step::Send(wire::last_chunk())])
        .collect();
    let more = "first_byte_timeout = \"300ms\"\nidle_timeout = \"5s\"";
    let (weir, _first, second) = two(vec![stream_then(&[], &steps)], vec![says("not me")], more).await;
    let transcript = read(&weir.client(), "chain").await;
    assert!(transcript.is_clean() && transcript.contents == 10, "{transcript:?}");
    assert_eq!(second.requests().len(), 0);
}
