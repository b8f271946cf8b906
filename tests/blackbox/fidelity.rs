//! Bytes pass through: what a client writes reaches the upstream, what the upstream writes reaches the client.

use std::time::Duration;

use crate::support::{
    client::{Answer, EventStream},
    openai::{role, says, streams, usage},
    raw::RawUpstream,
    script::{Script, Step},
    settings::chain,
    transcript::CHAT,
    weir::Weir,
    wire,
};

/// The middle of a request: unknown and deep fields, odd spacing, big integers, escapes, repeated spaces.
const ODD: &str = "\"messages\" :[ {\"role\":\"user\",\t\"content\":\"\\u00e9\\ud83d\\ude00 \\/ caf\u{e9}\",\"x\":{\"model\":\"deep\"}}\n],\
    \"seed\":9007199254740993, \"x_big\" :123456789012345678901234567890123, \"temperature\":1.0E-2,\"top_p\": 1.00,\r\n\
    \"x_unknown\":{\"deep\":[[[{\"a\":[1e400,-0,0.10,null,true,{}]}]]],\"\\u0061\":\"\"},\"metadata\":{\"k\" : \"v\"}";

async fn gateway(script: Script) -> (Weir, RawUpstream) {
    let upstream = RawUpstream::start(vec![script]).await;
    let weir = Weir::start(&chain(&[("first", &upstream.base_url())])).await;
    (weir, upstream)
}

/// Posts `body`; gives what reached the upstream.
async fn sent(weir: &Weir, upstream: &RawUpstream, path: &str, body: String) -> String {
    let number = upstream.requests().len();
    let answer = weir.client().post(path, body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let request = upstream.request(number).await;
    assert_eq!(request.line(), format!("POST {path} HTTP/1.1"));
    String::from_utf8(request.body).unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_upstream_as_it_was_but_for_its_model() {
    let (weir, upstream) = gateway(says("fine")).await;
    for (before, after) in [("", ""), (" \r\n\t", "\n \n")] {
        let body = |model: &str| format!("{before}{{ {ODD} ,\"model\" : \"{model}\",\"z\":0}}{after}");
        assert_eq!(sent(&weir, &upstream, CHAT, body("chain")).await, body("theirs"));
        // However the name is written, and wherever it stands.
        assert_eq!(sent(&weir, &upstream, CHAT, body("ch\\u0061in")).await, body("theirs"));
        let first = |model: &str| format!("{before}{{\"model\":\"{model}\",{ODD}}}{after}");
        assert_eq!(sent(&weir, &upstream, CHAT, first("chain")).await, first("theirs"));
        // `theirs` is what the model is called upstream: nothing at all is to be changed.
        assert_eq!(sent(&weir, &upstream, CHAT, first("first/theirs")).await, first("theirs"));
        let silent = format!("{before}{{\"model\":\"chain\",\"stream\":false,{ODD}}}{after}");
        assert_eq!(sent(&weir, &upstream, CHAT, silent.clone()).await, silent.replace("chain", "theirs"));
    }
}

#[tokio::test]
async fn a_stream_is_asked_for_its_usage_besides() {
    let (weir, upstream) = gateway(streams(&["fine"])).await;
    let body =
        |model: &str, more: &str| format!("{{{ODD}, \"stream\" : true{more} , \"model\":\"{model}\"}}");
    let injected = ",\"stream_options\":{\"include_usage\":true}";
    assert_eq!(sent(&weir, &upstream, CHAT, body("chain", "")).await, body("theirs", injected));
    let wanted = ",\"stream_options\": {\"include_usage\" : true, \"include_obfuscation\":false}";
    assert_eq!(sent(&weir, &upstream, CHAT, body("chain", wanted)).await, body("theirs", wanted));
    let refused =
        sent(&weir, &upstream, CHAT, body("chain", ",\"stream_options\":{\"include_usage\":false,\"x\":9}"))
            .await;
    assert!(refused.contains("\"include_usage\":true") && refused.contains("\"x\":9"), "{refused}");
}

#[tokio::test]
async fn the_other_endpoints_pass_bytes_too() {
    let answer = " {\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.10,1E-7]}],\
        \"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}\n";
    let (weir, upstream) = gateway(Script::json(200, answer)).await;
    let body =
        |model: &str| format!("{{\"input\" : [\"a\" ,\"\\u0062\"],\"model\":\"{model}\",\"x\":[0.10]}}");
    assert_eq!(sent(&weir, &upstream, "/v1/embeddings", body("chain")).await, body("theirs"));
    let answered = weir.client().post("/v1/embeddings", body("chain")).await;
    assert_eq!(answered.text(), answer);
    let answer = "{\"object\":\"text_completion\", \"choices\":[{\"text\":\"\\u0041\",\"index\":0}] }";
    let (weir, upstream) = gateway(Script::json(200, answer)).await;
    let body = |model: &str| format!("{{\"prompt\" : \"a\\u0062\",\"model\":\"{model}\",\"best_of\":1}}");
    assert_eq!(sent(&weir, &upstream, "/v1/completions", body("chain")).await, body("theirs"));
    assert_eq!(weir.client().post("/v1/completions", body("chain")).await.text(), answer);
}

#[tokio::test]
async fn only_our_own_headers_reach_the_upstream() {
    let upstream = RawUpstream::start(vec![says("fine")]).await;
    // Only who lets anybody in takes what came through a proxy without a key.
    let config = chain(&[("first", &upstream.base_url())]);
    let weir = Weir::start(&config.replacen("[auth]\n", "[auth]\nallow_open_network = true\n", 1)).await;
    let client = weir.client().key("sk-canary-client");
    let mut client =
        client.header("cookie", "canary=1").header("x-api-key", "canary").header("x-custom", "canary");
    for (name, value) in [
        ("x-weir-timeout-ms", "5000"),
        ("x-forwarded-for", "canary"),
        ("openai-organization", "canary"),
        ("accept-encoding", "gzip"),
        ("te", "trailers"),
        ("x-request-id", "canary-request"),
    ] {
        client = client.header(name, value);
    }
    client.post(CHAT, format!("{{\"model\":\"chain\",{ODD}}}")).await;
    let head = upstream.request(0).await.head.to_lowercase();
    assert!(!head.contains("canary") && !head.contains("x-weir") && !head.contains("cookie"), "{head}");
    assert!(head.contains("accept-encoding: identity") && head.contains("content-length: "), "{head}");
}

#[tokio::test]
async fn a_whole_answer_returns_as_it_was() {
    let body = "\n { \"id\":\"c\",\"object\" : \"chat.completion\",\"created\":1,\"model\":\"their-own-name\",\r\n\
        \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9\\/ \u{e9}\",\"x\":[1.0E2,9007199254740993]},\
        \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2},\"deep\":{\"a\":[[[{}]]]}} \n\n";
    let chunked = [
        wire::head(
            200,
            &[("content-type", "application/json"), ("transfer-encoding", "chunked"), ("server", "s")],
        ),
        body.as_bytes().chunks(7).flat_map(wire::chunk).collect(),
        wire::last_chunk(),
    ];
    for script in [Script::json(200, body), Script::send(chunked.concat())] {
        let (weir, _upstream) = gateway(script).await;
        let answer: Answer = weir.client().post(CHAT, format!("{{\"model\":\"chain\",{ODD}}}")).await;
        assert_eq!(answer.text(), body);
        assert_eq!((answer.header("content-type"), answer.header("server")), ("application/json", ""));
    }
}

/// A stream with everything that may stand in one; its usage chunk is apart.
fn odd_stream() -> (String, String, String) {
    let before = format!(
        ": comment\n\n{}data:{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"\\u00e9 \u{e9}\"}}}}] }}\r\n\r\n\
         id: 7\nevent: message\ndata: {{\"object\":\"chat.completion.chunk\",\ndata: \"choices\":[{{\"delta\":{{\"content\":\"b\"}},\"x\":12345678901234567890123}}]}}\n\n\
         data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n",
        role()
    );
    (before, usage(), ": last\n\ndata: [DONE]\n\n".to_owned())
}

async fn read(weir: &Weir, more: &str) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_str(&format!(
        "{{\"model\":\"chain\",\"stream\":true{more},\"messages\":[{{\"role\":\"user\",\"content\":\"\"}}]}}"
    ))
    .unwrap();
    let mut stream: EventStream = weir.client().stream(CHAT, &body).await;
    assert_eq!(stream.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!((stream.header("cache-control"), stream.header("x-accel-buffering")), ("no-cache", "no"));
    stream.rest().await;
    assert!(!stream.broken());
    stream.raw().to_vec()
}

const WANTED: &str = ",\"stream_options\":{\"include_usage\":true}";

#[tokio::test]
async fn a_stream_fed_byte_by_byte_comes_out_as_it_was() {
    let (before, usage, after) = odd_stream();
    let all = format!("{before}{usage}{after}");
    let mut steps = vec![Step::Send(wire::sse_head())];
    for byte in all.as_bytes().chunks(1) {
        steps.extend([Step::Send(wire::chunk(byte)), Step::Sleep(Duration::from_micros(300))]);
    }
    steps.push(Step::Send(wire::last_chunk()));
    let (weir, _upstream) = gateway(Script::OnRequest(steps)).await;
    assert_eq!(String::from_utf8(read(&weir, "").await).unwrap(), format!("{before}{after}"));
    assert_eq!(String::from_utf8(read(&weir, WANTED).await).unwrap(), all);
}

#[tokio::test]
async fn a_stream_split_anywhere_comes_out_as_it_was() {
    let (before, usage, after) = odd_stream();
    let all = format!("{before}{usage}{after}");
    let scripts = (1..all.len()).map(|at| {
        let (left, right) = all.as_bytes().split_at(at);
        let mut steps = vec![Step::Send([wire::sse_head(), wire::chunk(left)].concat())];
        steps.extend([Step::Sleep(Duration::from_micros(100)), Step::Send(wire::chunk(right))]);
        steps.push(Step::Send(wire::last_chunk()));
        Script::OnRequest(steps)
    });
    let upstream = RawUpstream::start(scripts.collect()).await;
    let weir = Weir::start(&chain(&[("first", &upstream.base_url())])).await;
    let expected = format!("{before}{after}");
    for at in 1..all.len() {
        let raw = read(&weir, "").await;
        assert_eq!(String::from_utf8(raw).unwrap(), expected, "split at {at}");
    }
    assert!(upstream.connections().len() < 20, "connections of whole streams are used again");
}
