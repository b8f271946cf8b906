//! A collector sees each request with all of its tries, whatever becomes of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    collector::{Collector, Span, attributes},
    openai::{ask, ask_stream, role, says, stream_then, streams, text},
    raw::{RawUpstream, wait_for},
    script::{Script, Step},
    settings::{OPEN, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A client's `traceparent` with these flags.
fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// A gateway whose route `chain` leads over these upstreams; `telemetry` are lines of its table.
fn config(collector: &Collector, upstreams: &[&RawUpstream], telemetry: &str, more: &str) -> String {
    let names = ["first", "second", "third"];
    let mut toml = [OPEN, "[telemetry]\n", &collector.lines(), telemetry, "\n"].concat();
    for (name, upstream) in names.iter().zip(upstreams) {
        toml += &target(name, &upstream.base_url(), "", &price("2", "8"));
    }
    toml + &route("chain", &names[..upstreams.len()], more)
}

async fn upstream(scripts: Vec<Script>) -> RawUpstream {
    RawUpstream::start(scripts).await
}

async fn read(weir: &Weir, model: &str) -> Transcript {
    Transcript::of(&mut weir.client().stream(CHAT, &ask_stream(model)).await).await
}

/// Model, reason, what it follows, outcome of each try.
fn whys(tries: &[Span]) -> Vec<[&str; 4]> {
    let keys = ["weir.model", "weir.attempt.reason", "weir.attempt.after", "weir.outcome"];
    tries.iter().map(|span| keys.map(|key| span.text(key))).collect()
}

#[tokio::test]
async fn a_trace_goes_from_the_client_to_each_upstream() {
    let collector = Collector::start().await;
    let (first, second) =
        (upstream(vec![Script::json(500, "{}")]).await, upstream(vec![says("Hello")]).await);
    let weir = Weir::start(&config(&collector, &[&first, &second], "propagate = true", "")).await;
    let client = weir.client().header("traceparent", &parent("01")).header("tracestate", "a=canary");
    let mut body = ask("chain");
    body["temperature"] = json!(0.5);
    body["max_tokens"] = json!(77);
    body["max_completion_tokens"] = json!(78);
    assert_eq!(client.header("x-request-id", "mine").post_json(CHAT, &body).await.status, 200);

    let (requests, tries) = collector.traced(1).await;
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, PARENT));
    assert_eq!(request.name, "POST /v1/chat/completions");
    let told = [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/chat/completions")),
        ("http.response.status_code", json!(200)),
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.request.model", json!("chain")),
        ("weir.request_id", json!("mine")),
        ("weir.route", json!("chain")),
        ("weir.model", json!("second")),
        ("weir.attempts", json!(2)),
        ("weir.fallbacks", json!(1)),
        ("weir.cache", json!("bypass")),
        ("weir.cost_usd", json!(0.000022)),
    ];
    for (key, value) in told {
        assert_eq!(request.get(key), value, "{key}");
    }
    assert!(!request.failed);

    assert_eq!(
        whys(&tries),
        [["first", "first", "", "server_error"], ["second", "fallback", "server_error", "ok"]]
    );
    for (attempt, upstream) in tries.iter().zip([&first, &second]) {
        assert_eq!((&attempt.trace, &attempt.parent, attempt.kind), (&request.trace, &request.id, 3));
        assert!(request.begun <= attempt.begun && attempt.ended <= request.ended);
        let head = &upstream.requests()[0];
        let sent = format!("00-{TRACE}-{}-01", attempt.id);
        assert_eq!(head.header("traceparent"), Some(sent.as_str()));
        assert_eq!(head.header("tracestate"), None);
        assert_eq!(attempt.name, "chat theirs");
        let port: u64 = upstream.address().rsplit(':').next().unwrap().parse().unwrap();
        assert_eq!(attempt.get("server.port"), json!(port));
        for (key, value) in [
            ("gen_ai.request.model", json!("theirs")),
            ("gen_ai.request.temperature", json!(0.5)),
            ("gen_ai.request.max_tokens", json!(77)),
            ("gen_ai.request.stream", json!(false)),
            ("server.address", json!("127.0.0.1")),
        ] {
            assert_eq!(attempt.get(key), value, "{key}");
        }
    }
    let [failed, answered] = &tries[..] else { panic!("{tries:?}") };
    assert!(failed.failed && !answered.failed);
    assert_eq!(
        (failed.get("error.type"), failed.get("http.response.status_code")),
        (json!("server_error"), json!(500))
    );
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("second")),
        ("gen_ai.response.model", json!("theirs")),
        ("gen_ai.response.id", json!("chatcmpl-1")),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.usage.input_tokens", json!(3)),
        ("gen_ai.usage.output_tokens", json!(2)),
        ("http.response.status_code", json!(200)),
        ("error.type", Value::Null),
        ("weir.attempt", json!(2)),
        ("weir.cost_usd", json!(0.000022)),
    ] {
        assert_eq!(answered.get(key), value, "{key}");
    }
    assert!(!collector.bodies().contains("canary"), "{}", collector.bodies());
    assert!(!collector.bodies().contains("Say something") && !collector.bodies().contains("Hello"));
    assert_eq!(weir.metric("weir_spans_total{result=\"sent\"}").await, 3.0);
}

#[tokio::test]
async fn streams_are_traced_to_their_end() {
    let collector = Collector::start().await;
    let broken = stream_then(&[role(), text("Half")], &[Step::Reset]);
    let first = upstream(vec![Script::json(500, "{}"), streams(&["a", "b"]), broken]).await;
    let second = upstream(vec![streams(&["Hello", " you"])]).await;
    let weir = Weir::start(&config(&collector, &[&first, &second], "", "")).await;
    // Behind a failed try, alone, and cut after its first content.
    for model in ["chain", "first", "first"] {
        let seen = read(&weir, model).await;
        assert_eq!(seen.dones, usize::from(seen.errors.is_empty()));
    }
    let (requests, tries) = collector.traced(3).await;
    assert_eq!(
        whys(&tries),
        [
            ["first", "first", "", "server_error"],
            ["second", "fallback", "server_error", "ok"],
            ["first", "first", "", "ok"],
            ["first", "first", "", tries[3].text("weir.outcome")],
        ]
    );
    for attempt in &tries[1..3] {
        assert_eq!(attempt.get("gen_ai.response.finish_reasons"), json!(["stop"]));
        assert_eq!(attempt.get("gen_ai.response.model"), json!("theirs"));
        assert_eq!(attempt.get("gen_ai.usage.output_tokens"), json!(2));
        assert_eq!(attempt.get("gen_ai.request.stream"), json!(true));
        let first = attempt.get("gen_ai.response.time_to_first_chunk").as_f64().unwrap();
        assert!(first > 0.0 && first <= (attempt.ended - attempt.begun) as f64 / 1e9, "{attempt:?}");
    }
    let cut = &tries[3];
    assert!(cut.failed && ["connection_reset", "truncated"].contains(&cut.text("error.type")), "{cut:?}");
    assert_eq!(cut.get("weir.usage.estimated"), json!(true));
    assert!(cut.get("gen_ai.usage.output_tokens").as_u64().unwrap() > 0);
    let ends: Vec<_> = requests.iter().map(|request| request.get("error.type")).collect();
    assert_eq!(ends, [Value::Null, Value::Null, json!("upstream_stream_broken")]);
    // Without a client's trace each request has its own.
    for request in &requests {
        assert_eq!((request.parent.as_str(), request.get("gen_ai.request.stream")), ("", json!(true)));
        let own: Vec<_> = tries.iter().filter(|attempt| attempt.trace == request.trace).collect();
        assert!(!own.is_empty() && own.iter().all(|attempt| attempt.parent == request.id));
    }
    assert_eq!(first.requests()[0].header("traceparent"), None);
}

#[tokio::test]
async fn repeats_hedges_and_losers_have_their_spans() {
    let collector = Collector::start().await;
    let silent = || Script::OnRequest(vec![Step::Hang]);
    let first = upstream(vec![Script::json(503, "{}"), says("again"), silent()]).await;
    let second = upstream(vec![says("beside")]).await;
    let toml = config(&collector, &[&first, &second], "", "parallel = 2");
    let toml =
        toml.replacen("upstream_model = \"theirs\"\n", "upstream_model = \"theirs\"\nretries = 1\n", 1);
    let weir = Weir::start(&toml).await;
    assert_eq!(weir.client().post_json(CHAT, &ask("first")).await.status, 200);
    let (_, tries) = collector.traced(1).await;
    assert_eq!(
        whys(&tries),
        [["first", "first", "", "server_error"], ["first", "retry", "server_error", "ok"]]
    );

    assert_eq!(weir.client().post_json(CHAT, &ask("chain")).await.status, 200);
    let (_, tries) = collector.traced(2).await;
    let mut race = whys(&tries[2..]);
    race.sort_unstable();
    assert_eq!(race, [["first", "first", "", "overtaken"], ["second", "parallel", "", "ok"]]);
    assert!(!tries[2..].iter().any(|attempt| attempt.failed));
}

#[tokio::test]
async fn an_escalated_answer_is_two_tries() {
    let collector = Collector::start().await;
    let (first, second) = (upstream(vec![says("")]).await, upstream(vec![says("better")]).await);
    let toml = [
        OPEN,
        "[telemetry]\n",
        &collector.lines(),
        &target("weak", &first.base_url(), "", ""),
        &target("strong", &second.base_url(), "", ""),
        &route("chain", &["weak"], "escalate_to = \"premium\"\nescalate_on = [\"empty\"]"),
        &route("premium", &["strong"], ""),
    ];
    let weir = Weir::start(&toml.concat()).await;
    assert!(weir.client().post_json(CHAT, &ask("chain")).await.text().contains("better"));
    let (requests, tries) = collector.traced(1).await;
    assert_eq!(whys(&tries), [["weak", "first", "", "ok"], ["strong", "escalation", "", "ok"]]);
    assert_eq!(requests[0].get("weir.escalated"), json!("empty"));
}

#[tokio::test]
async fn refusals_and_clients_that_leave_are_told() {
    let collector = Collector::start().await;
    let hanging = stream_then(&[role(), text("Half")], &[Step::Hang]);
    let first = upstream(vec![Script::json(400, "{}"), hanging]).await;
    let weir = Weir::start(&config(&collector, &[&first], "", "")).await;
    assert_eq!(weir.client().post_json(CHAT, &ask("chain")).await.status, 400);
    assert_eq!(weir.client().post_json(CHAT, &ask("nobody")).await.status, 404);
    let (requests, tries) = collector.traced(2).await;
    let told = |key| requests.iter().map(|request| request.get(key)).collect::<Vec<_>>();
    assert_eq!(told("http.response.status_code"), [json!(400), json!(404)]);
    assert_eq!(told("error.type"), [json!("invalid_request"), json!("model_not_found")]);
    assert!(requests.iter().all(|request| request.failed));
    assert_eq!(whys(&tries), [["first", "first", "", "rejected"]]);

    let mut stream = weir.client().stream(CHAT, &ask_stream("chain")).await;
    stream.next().await.unwrap();
    drop(stream);
    let (requests, tries) = collector.traced(3).await;
    assert_eq!(tries[1].get("error.type"), json!("client_left"));
    assert_eq!(requests[2].get("error.type"), json!("client_left"));
}

#[tokio::test]
async fn a_trace_that_its_client_does_not_record_is_not_recorded() {
    let collector = Collector::start().await;
    let first = upstream(vec![says("Hello")]).await;
    let weir = Weir::start(&config(&collector, &[&first], "propagate = true", "")).await;
    let silent = weir.client().header("traceparent", &parent("00"));
    assert_eq!(silent.post_json(CHAT, &ask("chain")).await.status, 200);
    // What is no trace begins one: tracing breaks no request.
    for odd in ["", "nonsense", &format!("00-{}-{PARENT}-01", "0".repeat(32))] {
        let client = weir.client().header("traceparent", odd);
        assert_eq!(client.post_json(CHAT, &ask("chain")).await.status, 200);
    }
    let (requests, tries) = collector.traced(3).await;
    assert_eq!((requests.len(), tries.len()), (3, 3));
    assert!(requests.iter().all(|request| request.trace != TRACE && request.parent.is_empty()));
    let heads = first.requests();
    let sent = heads[0].header("traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-00"), "{sent}");
    for (head, attempt) in heads[1..].iter().zip(&tries) {
        assert_eq!(
            head.header("traceparent"),
            Some(format!("00-{}-{}-01", attempt.trace, attempt.id).as_str())
        );
    }
}

#[tokio::test]
async fn a_share_of_nothing_records_nothing() {
    let collector = Collector::start().await;
    let first = upstream(vec![says("Hello")]).await;
    let weir = Weir::start(&config(&collector, &[&first], "sample = 0.0", "")).await;
    for flags in ["01", "00"] {
        let client = weir.client().header("traceparent", &parent(flags));
        assert_eq!(client.post_json(CHAT, &ask("chain")).await.status, 200);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(collector.requests().is_empty());
    assert!(first.requests().iter().all(|request| request.header("traceparent").is_none()));
}

#[tokio::test]
async fn what_is_said_is_told_of_named_routes_only() {
    let collector = Collector::start().await;
    let first = upstream(vec![says("Fine answer"), streams(&["Fine ", "answer"]), says("Fine answer")]).await;
    let more = route("quiet", &["first"], "");
    let toml = config(&collector, &[&first], "content = [\"chain\"]", "") + &more;
    let weir = Weir::start(&toml).await;
    weir.client().post_json(CHAT, &ask("chain")).await;
    read(&weir, "chain").await;
    for model in ["quiet", "first"] {
        weir.client().post_json(CHAT, &ask(model)).await;
    }
    let (requests, tries) = collector.traced(4).await;
    let asked = json!([{ "role": "user", "parts": [{ "type": "text", "content": "Say something." }] }]);
    let answered = json!([{ "role": "assistant", "finish_reason": "stop",
        "parts": [{ "type": "text", "content": "Fine answer" }] }]);
    let read = |span: &Span, key| serde_json::from_str::<Value>(span.text(key)).unwrap();
    for attempt in &tries[..2] {
        assert_eq!(read(attempt, "gen_ai.input.messages"), asked);
        assert_eq!(read(attempt, "gen_ai.output.messages"), answered);
    }
    for span in tries[2..].iter().chain(&requests) {
        assert!(!span.attributes.keys().any(|key| key.ends_with("messages")), "{span:?}");
    }
    assert!(!weir.logs().contains("Say something"));
}

#[tokio::test]
async fn a_way_to_a_named_route_tells_nothing_of_others() {
    let collector = Collector::start().await;
    let weak = upstream(vec![says("")]).await;
    let strong = upstream(vec![says("better"), says("5"), says("asked for")]).await;
    let escalates = "escalate_to = \"premium\"\nescalate_on = [\"empty\"]";
    let toml = [
        OPEN,
        "[telemetry]\n",
        &collector.lines(),
        "content = [\"premium\"]\n[classifier]\nkind = \"llm\"\n[classifier.llm]\nmodel = \"premium\"\n\
         [[classifier.tiers]]\nmin = 1\nroute = \"private\"\n",
        &target("weak", &weak.base_url(), "", ""),
        &target("strong", &strong.base_url(), "", ""),
        &route("private", &["weak"], escalates),
        &route("premium", &["strong"], ""),
    ];
    let weir = Weir::start(&toml.concat()).await;
    for model in ["private", "auto", "premium"] {
        assert_eq!(weir.client().post_json(CHAT, &ask(model)).await.status, 200, "{model}");
    }
    let (_, tries) = collector.traced(3).await;
    let shown = |span: &Span| span.attributes.keys().any(|key| key.ends_with("messages"));
    assert_eq!(strong.requests().len(), 4, "two escalated, one rated, one asked for");
    let told: Vec<_> = tries.iter().filter(|span| shown(span)).map(|span| span.text("weir.model")).collect();
    assert_eq!(told, ["strong"]);
    assert!(shown(tries.last().unwrap()), "{tries:?}");
}

#[tokio::test]
async fn the_collector_knows_who_sends() {
    let collector = Collector::start().await;
    let first = upstream(vec![says("Hello")]).await;
    let lines = "service_name = \"front\"\notlp_headers = { authorization = \"env:SECRET\", x-unset = \"env:UNSET\" }";
    let toml = config(&collector, &[&first], lines, "");
    let weir = Weir::with(&toml).env("SECRET", "Bearer canary").start().await;
    weir.client().post_json(CHAT, &ask("chain")).await;
    collector.traced(1).await;
    let request = &collector.requests()[0];
    assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer canary"));
    assert_eq!(request.header("x-unset"), None);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let resource = attributes(&request.json()["resourceSpans"][0]["resource"]["attributes"]);
    assert_eq!(resource["service.name"], "front");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(!weir.logs().contains("canary"));
}

#[tokio::test]
async fn every_line_of_a_request_has_its_ids() {
    let collector = Collector::start().await;
    let broken = stream_then(&[role(), text("Half")], &[Step::Reset]);
    let first = upstream(vec![Script::json(500, "{}")]).await;
    let second = upstream(vec![says("Hello"), broken]).await;
    let lines = "log = \"weir=debug\"\nformat = \"json\"";
    let weir = Weir::start(&config(&collector, &[&first, &second], lines, "")).await;
    let client = weir.client().header("traceparent", &parent("01")).header("x-request-id", "mine");
    client.post_json(CHAT, &ask("chain")).await;
    Transcript::of(&mut client.stream(CHAT, &ask_stream("second")).await).await;
    let lines = |message: &str, least: usize| -> Option<Vec<Value>> {
        let logs = weir.logs();
        let lines = logs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.filter(|line| line["fields"]["message"].as_str().unwrap().contains(message));
        let found: Vec<Value> = found.collect();
        (found.len() >= least).then_some(found)
    };
    let all = wait_for(|| {
        let found = [("moves on", 1), ("a stream broke", 1), ("request over", 2)];
        found.into_iter().map(|(message, least)| lines(message, least)).collect::<Option<Vec<_>>>()
    })
    .await;
    for line in all.iter().flatten() {
        assert_eq!(
            (line["span"]["id"].as_str(), line["span"]["trace_id"].as_str()),
            (Some("mine"), Some(TRACE)),
            "{line}"
        );
    }
}
