//! A provider that takes more than it was allowed.

use serde_json::json;

use crate::support::{
    ledger::{amount, nanos},
    openai::{DONE, role, stop, text},
    raw::RawUpstream,
    script::Script,
    settings::{OPEN, budget, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const OVER: &str = r#""usage":{"prompt_tokens":3,"completion_tokens":300,"total_tokens":303}"#;

/// Three times what a request of a hundred tokens may cost, whole or as a stream.
async fn overrun(script: Script, stream: bool) {
    let upstream = RawUpstream::start(vec![script]).await;
    let toml = [
        OPEN,
        &target("p", &upstream.base_url(), "", &price("0.0", "100.0")),
        &budget("b", "global", "daily = 0.02"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let body = json!({ "model": "p", "max_tokens": 100, "stream": stream,
        "messages": [{ "role": "user", "content": "x" }] });
    if stream {
        let mut stream = weir.client().stream(CHAT, &body).await;
        assert!(Transcript::of(&mut stream).await.is_clean());
    } else {
        let answer = weir.client().post_json(CHAT, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-cost-usd")), (200, "0.03"));
        assert_eq!(answer.header("x-weir-budget-daily-remaining-usd"), "0");
    }
    assert_eq!(weir.spent("b").await, nanos("0.03"));
    let after = weir.budget("b", "").await;
    assert_eq!((&after["overruns"], amount(&after, "remaining_usd")), (&json!(1), 0), "{after}");
    assert_eq!(weir.metric("weir_budget_overruns_total{budget=\"b\"}").await as u64, 1);
    let rows = weir.attempts(1).await;
    assert_eq!((rows[0].cost, rows[0].output, rows[0].kind.as_str()), (nanos("0.03"), 300, "actual"));
    let next = weir.client().post_json(CHAT, &body).await;
    next.refused(429, "insufficient_quota", "budget_exceeded", false);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_whole_answer_that_takes_too_much_is_posted_in_full() {
    let body = format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"Hi"}}}}],{OVER}}}"#
    );
    overrun(Script::json(200, &body), false).await;
}

#[tokio::test]
async fn a_stream_that_takes_too_much_is_posted_in_full() {
    let usage = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],{OVER}}}\n\n"
    );
    overrun(Script::stream(&[role(), text("Hi"), stop(), usage, DONE.to_owned()]), true).await;
}
