//! An answer that is there is given again, whole or as a stream.

use serde_json::{Value, json};

use crate::support::{
    openai::{self, DONE},
    raw::RawUpstream,
    script::Script,
    served::Served,
    settings::{OPEN, route, target},
    sse::Event,
    transcript::{CHAT, Transcript},
    weir::Weir,
};

use super::{ask, config, did, said};

#[tokio::test]
async fn the_same_question_costs_nothing_the_second_time() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let client = weir.client();
    let first = client.post_json(CHAT, &ask("Hi.", false)).await;
    assert_eq!((did(&first), first.header("age")), ("miss", ""));
    assert_ne!(first.header("x-weir-cost-usd"), "0");
    let again = client.post_json(CHAT, &ask("Hi.", false)).await;
    assert_eq!((did(&again), &again.body, sim.hits()), ("hit", &first.body, 1));
    assert_eq!((again.header("age"), again.header("x-weir-cost-usd")), ("0", "0"));
    assert_eq!((again.header("x-weir-model"), again.header("x-weir-attempts")), ("p", "0"));
    assert_eq!(did(&client.post_json(CHAT, &ask("Hi!", false)).await), "miss");
    // As a stream it says the same.
    let mut stream = client.stream(CHAT, &ask("Hi.", true)).await;
    assert_eq!((stream.header("x-weir-cache"), stream.header("x-weir-cost-usd")), ("hit", "0"));
    let told = Transcript::of(&mut stream).await;
    assert!(told.is_clean() && told.roles == 1, "{told:?}");
    assert_eq!((told.text, sim.hits()), (said(&first), 2));
    assert_eq!(weir.metric("weir_cache_lookups_total{result=\"hit\"}").await, 2.0);
    assert_eq!(weir.metric("weir_cache_lookups_total{result=\"miss\"}").await, 2.0);
    assert_eq!(weir.metric("weir_cache_entries").await, 2.0);
    assert!(weir.metric("weir_cache_bytes").await > 1000.0);
    assert!(weir.metric("weir_saved_usd_total{reason=\"cache\",sign=\"less\"}").await > 0.0);
    // Each has its row: two tries and two that cost nothing.
    weir.attempts(2).await;
    let free = || weir.rows().into_iter().filter(|row| row.attempt == 0).collect::<Vec<_>>();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while free().len() < 2 && std::time::Instant::now() < end {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let free = free();
    assert_eq!(free.len(), 2);
    assert!(free.iter().all(|row| row.outcome == "ok" && row.cost == 0), "{free:?}");
    let report = weir.client().get("/admin/report?since=1h").await.json();
    assert_eq!((&report["totals"]["asked"], &report["totals"]["answered"]), (&json!(4), &json!(4)));
}

/// A tool call, text before it, usage; as an upstream sends it.
fn events() -> Vec<String> {
    let chunk = |delta: Value, end: Value| {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": end });
        format!(
            "data: {}\n\n",
            json!({ "id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 9, "model": "theirs",
                "system_fingerprint": "fp", "choices": [choice], "usage": null })
        )
    };
    let call = |call: Value| chunk(json!({ "tool_calls": [call] }), Value::Null);
    vec![
        chunk(json!({ "role": "assistant", "content": "", "refusal": null }), Value::Null),
        chunk(json!({ "content": "Let me " }), Value::Null),
        chunk(json!({ "content": "see.\n" }), Value::Null),
        call(
            json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "get", "arguments": "" } }),
        ),
        call(json!({ "index": 0, "function": { "arguments": "{\"city\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "\"Ulm\"}" } })),
        chunk(json!({}), json!("tool_calls")),
        openai::usage(),
        DONE.to_owned(),
    ]
}

fn payloads(events: &[Event]) -> Vec<String> {
    events.iter().filter(|event| !event.data.is_empty()).map(|event| event.data.clone()).collect()
}

#[tokio::test]
async fn a_stream_is_given_again_as_it_was_or_as_an_object() {
    let upstream = RawUpstream::start(vec![Script::stream(&events())]).await;
    let weir = Weir::start(&config(&upstream.base_url(), "")).await;
    let client = weir.client();
    let with_usage = |mut body: Value| {
        body["stream_options"] = json!({ "include_usage": true });
        body
    };
    let sent: Vec<String> =
        events().iter().map(|event| event.trim_start_matches("data: ").trim_end().to_owned()).collect();
    let without: Vec<String> = sent.iter().filter(|data| !data.contains("prompt_tokens")).cloned().collect();
    let first = Transcript::of(&mut client.stream(CHAT, &ask("x", true)).await).await;
    assert_eq!(payloads(&first.events), without);
    for (body, expected) in
        [(ask("x", true), &without), (with_usage(ask("x", true)), &sent), (ask("x", true), &without)]
    {
        let mut stream = client.stream(CHAT, &body).await;
        assert_eq!(stream.header("x-weir-cache"), "hit");
        let told = Transcript::of(&mut stream).await;
        assert!(told.is_clean());
        assert_eq!(&payloads(&told.events), expected);
    }
    let object = client.post_json(CHAT, &ask("x", false)).await;
    assert_eq!(did(&object), "hit");
    let object = object.json();
    assert_eq!(
        object["choices"][0]["message"],
        json!({ "role": "assistant", "content": "Let me see.\n", "refusal": null, "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "get", "arguments": "{\"city\":\"Ulm\"}" } },
        ] })
    );
    assert_eq!((&object["object"], &object["id"]), (&json!("chat.completion"), &json!("chatcmpl-9")));
    assert_eq!((&object["usage"]["total_tokens"], &object["system_fingerprint"]), (&json!(5), &json!("fp")));
    assert_eq!(object["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_is_not_a_complete_answer_is_not_kept() {
    let end = |reason: &str| openai::whole("x").replace("\"stop\"", &format!("\"{reason}\""));
    let scripts = vec![
        Script::json(400, &openai::error("invalid_request_error", "no", "No.")),
        Script::json(500, &openai::error("server_error", "no", "No.")),
        Script::json(200, &end("content_filter")),
        Script::json(200, &end("length")),
        Script::json(
            200,
            &openai::whole("x").replace("\"content\":\"x\"", "\"content\":null,\"refusal\":\"No.\""),
        ),
        openai::stream_then(&[openai::role(), openai::text("a")], &[crate::support::script::Step::Reset]),
        openai::says("Yes."),
    ];
    let count = scripts.len();
    let upstream = RawUpstream::start(scripts).await;
    let weir = Weir::start(
        &[OPEN, &config(&upstream.base_url(), "").replace("[auth]\nmode = \"open\"\n", "")].concat(),
    )
    .await;
    let client = weir.client();
    for number in 1..count {
        let answer = client.post_json(CHAT, &ask("x", number == 6)).await;
        assert_ne!(answer.header("x-weir-cache"), "hit", "{}", answer.text());
        assert_eq!(upstream.requests().len(), number);
    }
    assert_eq!(did(&client.post_json(CHAT, &ask("x", false)).await), "miss");
    let again = client.post_json(CHAT, &ask("x", false)).await;
    assert_eq!((did(&again), said(&again), upstream.requests().len()), ("hit", "Yes.".into(), count));
}

#[tokio::test]
async fn what_a_stronger_route_answered_is_not_the_weaker_ones() {
    let weak = RawUpstream::start(vec![openai::says("")]).await;
    let strong = RawUpstream::start(vec![openai::says("Yes.")]).await;
    let escalates = "escalate_on = [\"empty\"]\nescalate_to = \"high\"";
    let toml = [
        OPEN,
        &target("weak", &weak.base_url(), "", ""),
        &target("strong", &strong.base_url(), "", ""),
        &route("low", &["weak"], escalates),
        &route("high", &["strong"], ""),
        "[cache]\nenabled = true\n",
    ];
    let weir = Weir::start(&toml.concat()).await;
    let mut body = ask("x", false);
    body["model"] = json!("low");
    for asked in 1..=2 {
        let answer = weir.client().post_json(CHAT, &body).await;
        assert_eq!((did(&answer), answer.header("x-weir-escalated")), ("miss", "empty"));
        assert_eq!((said(&answer), weak.requests().len()), ("Yes.".into(), asked));
    }
}

#[tokio::test]
async fn other_endpoints_keep_theirs() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let vectors = json!({ "model": "p", "input": ["a", "b"] });
    let text = |stream: bool| json!({ "model": "p", "prompt": "a", "stream": stream, "max_tokens": 500 });
    for word in ["miss", "hit"] {
        assert_eq!(did(&weir.client().post_json("/v1/embeddings", &vectors).await), word);
    }
    let first = weir.client().post_json("/v1/completions", &text(false)).await;
    assert_eq!(did(&first), "miss");
    let mut stream = weir.client().stream("/v1/completions", &text(true)).await;
    assert_eq!(stream.header("x-weir-cache"), "hit");
    let told = Transcript::of(&mut stream).await;
    let joined: String = told
        .events
        .iter()
        .filter_map(|e| e.json()["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!((&json!(joined), sim.hits()), (&first.json()["choices"][0]["text"], 2));
}

#[tokio::test]
async fn a_changed_route_forgets_its_answers_and_no_others() {
    let sim = Served::start("tokens=20").await;
    let routes = |seed: u32| {
        let defaults = format!("defaults = {{ seed = {seed} }}");
        let one = route("one", &["p"], &defaults);
        let two = route("two", &["p"], "cache_ttl = \"0s\"");
        [config(&sim.base_url(), ""), one, two, route("three", &["p"], "")].concat()
    };
    let weir = Weir::start(&routes(1)).await;
    let word = async |route: &str| {
        let mut body = ask("x", false);
        body["model"] = json!(route);
        did(&weir.client().post_json(CHAT, &body).await).to_owned()
    };
    for (route, words) in
        [("one", ["miss", "hit"]), ("two", ["bypass", "bypass"]), ("three", ["miss", "hit"])]
    {
        assert_eq!([word(route).await, word(route).await], words, "{route}");
    }
    weir.write_config(&routes(2));
    weir.client().send("POST", "/admin/reload", "").await;
    assert_eq!([word("one").await, word("three").await, word("one").await], ["miss", "hit", "hit"]);
}

#[tokio::test]
async fn a_configured_model_has_its_settings_also_where_it_is_pinned() {
    let sim = Served::start("tokens=20").await;
    let toml = |text: &str| {
        let model = format!("system_prefix = \"{text}\"");
        [OPEN, &target("p", &sim.base_url(), "", &model), "[cache]\nenabled = true\n"].concat()
    };
    let weir = Weir::start(&toml("Be brief.")).await;
    let word = async || {
        let mut body = ask("x", false);
        body["model"] = json!("p/theirs");
        did(&weir.client().post_json(CHAT, &body).await).to_owned()
    };
    assert_eq!([word().await, word().await], ["miss", "hit"]);
    weir.write_config(&toml("Be kind."));
    weir.client().send("POST", "/admin/reload", "").await;
    assert_eq!([word().await, word().await], ["miss", "hit"]);
}

#[tokio::test]
async fn what_was_given_out_of_the_cache_is_kept_for_its_idempotency_key() {
    let sim = Served::start("tokens=20").await;
    let toml = [&config(&sim.base_url(), "")[..], "[ledger]\nidempotency = true\n"].concat();
    let weir = Weir::start(&toml).await;
    for stream in [false, true] {
        let text = format!("x {stream}");
        assert_eq!(did(&weir.client().post_json(CHAT, &ask(&text, stream)).await), "miss");
        let client = weir.client().header("idempotency-key", if stream { "one" } else { "two" });
        let client = client.header("x-weir-stream-summary", "true");
        let first = client.post_json(CHAT, &ask(&text, stream)).await;
        assert_eq!((did(&first), first.header("x-weir-replayed")), ("hit", ""));
        let comment = ": weir {\"cost_usd\":\"0\",\"model\":\"p\"}\n\ndata: [DONE]\n\n";
        assert!(!stream || first.text().ends_with(comment), "{}", first.text());
        weir.client().send("DELETE", "/admin/cache", "").await;
        let again = client.post_json(CHAT, &ask(&text, stream)).await;
        assert_eq!((again.header("x-weir-replayed"), &again.body), ("true", &first.body));
    }
    assert_eq!(sim.hits(), 2);
}

#[tokio::test]
async fn a_hundred_mebibytes_go_through_a_store_of_64() {
    const KIB: u64 = 1024;
    let text = |number: usize| format!("{number} {}", "x".repeat(512 * 1024));
    let scripts = (0..=220).map(|number| openai::says(&text(number)));
    let upstream = RawUpstream::start(scripts.collect()).await;
    let weir = Weir::start(&config(&upstream.base_url(), "max_bytes = \"64MiB\"")).await;
    let asked = async |number: usize, wish: &str| {
        let client = weir.client().header("x-weir-cache", wish);
        let answer = client.post_json(CHAT, &ask(&number.to_string(), false)).await;
        assert_eq!(said(&answer), text(number));
        did(&answer).to_owned()
    };
    // What it takes without keeping anything.
    for number in 0..20 {
        assert_eq!(asked(number, "no-store").await, "miss");
    }
    let before = weir.rss_kib();
    for number in 20..220 {
        assert_eq!(asked(number, "ttl=3600").await, "miss");
        assert_eq!(asked(number, "ttl=3600").await, "hit");
    }
    assert_eq!(upstream.requests().len(), 220);
    let kept = weir.metric("weir_cache_bytes").await;
    assert!((32.0..=64.0).contains(&(kept / 1024.0 / 1024.0)), "{kept} bytes are kept");
    let grown = weir.peak_rss_kib().saturating_sub(before);
    assert!(grown <= 64 * KIB / 5 * 6, "{before} KiB before, {grown} KiB more at most");
}
