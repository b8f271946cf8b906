//! Each try is written down by itself, once it was admitted.

use serde_json::{Value, json};

use crate::support::{
    ledger::{Row, nanos},
    served::Served,
    settings::{OPEN, budget, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

async fn start(first: &Served, second: &Served, more: &str) -> Weir {
    let toml = [
        OPEN,
        &target(
            "first",
            &first.base_url(),
            "answer_timeout = \"400ms\"\nfirst_byte_timeout = \"400ms\"",
            &price("0.0", "100.0"),
        ),
        &target("second", &second.base_url(), "", &price("0.0", "50.0")),
        &route("chain", &["first", "second"], ""),
        more,
    ]
    .concat();
    Weir::start(&toml).await
}

fn ask(stream: bool) -> Value {
    json!({ "model": "chain", "max_tokens": 100, "stream": stream,
        "messages": [{ "role": "user", "content": "Say something." }] })
}

fn told(row: &Row) -> (u32, &str, u32, &str, &str, i64) {
    (row.attempt, &row.model, row.position, &row.kind, &row.outcome, row.cost)
}

#[tokio::test]
async fn a_target_whose_budget_is_spent_is_passed_over() {
    for scope in ["model:first", "provider:first"] {
        let (first, second) = (Served::start("tokens=100").await, Served::start("tokens=100").await);
        let weir = start(&first, &second, &budget("b", scope, "daily = 0.01")).await;
        for (model, skipped) in [("first", ""), ("second", "first=budget"), ("second", "first=budget")] {
            let answer = weir.client().post_json(CHAT, &ask(false)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("x-weir-model")),
                (200, model),
                "{}",
                answer.text()
            );
            assert_eq!((answer.header("x-weir-skipped"), answer.header("x-weir-attempts")), (skipped, "1"));
        }
        assert_eq!((first.hits(), second.hits()), (1, 2));
        let skips = weir.metric("weir_budget_refusals_total{action=\"skip\",budget=\"b\"}").await as u64;
        assert_eq!(skips, 2);
        let rows = weir.attempts(3).await;
        assert_eq!(told(&rows[1]), (1, "second", 2, "actual", "ok", nanos("0.005")));
    }
}

#[tokio::test]
async fn a_failed_try_that_was_never_worked_on_is_a_row_that_costs_nothing() {
    let (first, second) = (Served::start("status=500").await, Served::start("tokens=100").await);
    // Too little for both, but the first one gives its part back.
    let weir = start(&first, &second, &budget("b", "global", "daily = 0.012")).await;
    let answer = weir.client().post_json(CHAT, &ask(false)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-weir-cost-usd")),
        (200, "0.005"),
        "{}",
        answer.text()
    );
    let rows = weir.attempts(first.hits() as usize + 1).await;
    let (last, failed) = rows.split_last().unwrap();
    for (number, row) in (1..).zip(failed) {
        assert_eq!(told(row), (number, "first", 1, "actual", "server_error", 0));
    }
    assert_eq!(told(last), (rows.len() as u32, "second", 2, "actual", "ok", nanos("0.005")));
    assert!(rows.iter().all(|row| row.request == last.request && row.route == "chain"));
    assert_eq!(weir.spent("b").await, nanos("0.005"));
}

#[tokio::test]
async fn a_try_that_may_be_billed_is_posted_before_the_next_one_is_admitted() {
    let (first, second) = (Served::start("first_token=60s").await, Served::start("tokens=100").await);
    let weir = start(&first, &second, &budget("b", "global", "daily = 0.015")).await;
    let answer = weir.client().post_json(CHAT, &ask(false)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-weir-cost-usd")),
        (200, "0.015"),
        "{}",
        answer.text()
    );
    let rows = weir.attempts(2).await;
    // A whole answer may have been made out of sight: all that it was allowed counts.
    assert_eq!(told(&rows[0]), (1, "first", 1, "estimated", "timeout", nanos("0.01")));
    assert_eq!(told(&rows[1]), (2, "second", 2, "actual", "ok", nanos("0.005")));
    assert_eq!(weir.spent("b").await, nanos("0.015"));
}

#[tokio::test]
async fn a_next_try_that_no_longer_fits_is_not_made() {
    let (first, second) = (Served::start("first_token=60s").await, Served::start("tokens=100").await);
    let weir = start(&first, &second, &budget("b", "global", "daily = 0.014")).await;
    let refused = weir.client().post_json(CHAT, &ask(false)).await;
    // What went wrong is told, with what kept the next one from being asked.
    refused.refused(504, "upstream_error", "upstream_timeout", false);
    assert_eq!(refused.json()["error"]["attempts"][0]["lacks"], "budget");
    assert_eq!((first.hits(), second.hits()), (1, 0));
    assert_eq!(weir.spent("b").await, nanos("0.01"));
    assert_eq!(told(&weir.attempts(1).await[0]), (1, "first", 1, "estimated", "timeout", nanos("0.01")));
}

#[tokio::test]
async fn a_stream_that_was_cut_costs_what_had_come() {
    let (first, second) = (Served::start("tokens=100&reset-after=30").await, Served::start("").await);
    let weir = start(&first, &second, &budget("b", "global", "daily = 1.0")).await;
    let cut = Transcript::of(&mut weir.client().stream(CHAT, &ask(true)).await).await;
    assert!(cut.is_cut(), "{cut:?}");
    let row = weir.attempts(1).await.remove(0);
    assert_eq!((row.kind.as_str(), row.outcome.as_str()), ("estimated", "truncated"), "{row:?}");
    // What the reset overtook never came.
    assert!(row.output as usize == cut.contents && row.output <= 30, "{row:?} {}", cut.contents);
    assert_eq!(weir.spent("b").await, row.output as i64 * 100_000);
}
