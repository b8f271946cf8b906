//! What a client is told of money.

use serde_json::{Value, json};

use crate::support::{
    client::Answer,
    served::Served,
    settings::{budget, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const KEYS: &str = "[[keys]]\nname = \"bot\"\nsecret = \"sk-bot\"\nrequests_per_month = 3\n\
                    [[keys]]\nname = \"free\"\nsecret = \"sk-free\"\n";

async fn start(sim: &Served, budgets: &str) -> Weir {
    let target = target("p", &sim.base_url(), "", &price("0.0", "100.0"));
    Weir::start(&[KEYS, &target, budgets].concat()).await
}

fn ask(stream: bool) -> Value {
    json!({ "model": "p", "max_tokens": 100, "stream": stream, "messages": [{ "role": "user", "content": "x" }] })
}

async fn asked(weir: &Weir, key: &str) -> Answer {
    weir.client().key(key).post_json(CHAT, &ask(false)).await
}

#[tokio::test]
async fn a_keys_requests_of_a_month_come_to_an_end() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, "").await;
    for _ in 0..3 {
        assert_eq!(asked(&weir, "sk-bot").await.status, 200);
    }
    let refused = asked(&weir, "sk-bot").await;
    refused.refused(429, "insufficient_quota", "quota_exceeded", false);
    assert_eq!(asked(&weir, "sk-free").await.status, 200, "the other key has no such limit");
    assert_eq!(sim.hits(), 4);
    let quota = weir.budget("requests_per_month", "bot").await;
    assert_eq!((&quota["limit_requests"], &quota["spent_requests"]), (&json!(3), &json!(3)), "{quota}");
    // A restart gives none back.
    let weir = weir.again().await;
    asked(&weir, "sk-bot").await.refused(429, "insufficient_quota", "quota_exceeded", false);
}

#[tokio::test]
async fn the_cost_and_the_tightest_rest_stand_in_the_headers() {
    let sim = Served::start("tokens=100").await;
    let budgets = [
        budget("day", "global", "daily = 1.00"),
        budget("both", "key:free", "daily = 0.50\nmonthly = 20.00"),
        budget("wide", "provider:p", "monthly = 300.00"),
    ]
    .concat();
    let weir = start(&sim, &budgets).await;
    let said = |answer: &Answer| {
        ["x-weir-cost-usd", "x-weir-budget-daily-remaining-usd", "x-weir-budget-monthly-remaining-usd"]
            .map(|name| answer.header(name).to_owned())
    };
    assert_eq!(said(&asked(&weir, "sk-free").await), ["0.01", "0.49", "19.99"]);
    assert_eq!(said(&asked(&weir, "sk-free").await), ["0.01", "0.48", "19.98"]);
    assert_eq!(said(&asked(&weir, "sk-bot").await)[..2], ["0.01", "0.97"]);
    let bare = start(&sim, "").await;
    assert_eq!(said(&asked(&bare, "sk-free").await), ["0.01", "", ""]);
}

#[tokio::test]
async fn a_stream_is_summed_up_for_whom_wishes_it() {
    let sim = Served::start("tokens=100").await;
    let weir = start(&sim, &budget("b", "global", "daily = 1.00")).await;
    let client = weir.client().key("sk-free");
    let plain = Transcript::of(&mut client.stream(CHAT, &ask(true)).await).await;
    assert!(plain.is_clean() && plain.events.iter().all(|event| event.comment.is_empty()));
    let client = client.header("x-weir-stream-summary", "true");
    let mut stream = client.stream(CHAT, &ask(true)).await;
    assert_eq!(stream.header("x-weir-cost-usd"), "", "nobody knows at the head");
    let summed = Transcript::of(&mut stream).await;
    assert!(summed.is_clean(), "{summed:?}");
    let [.., summary, done] = &summed.events[..] else { panic!("{summed:?}") };
    assert!(done.is_done());
    let facts: Value = serde_json::from_str(summary.comment.strip_prefix("weir ").unwrap()).unwrap();
    assert_eq!(facts, json!({ "model": "p", "cost_usd": "0.01" }));
}
