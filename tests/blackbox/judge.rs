//! A judge grades answers after they were given, within a budget of its own.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    ledger::{Row, nanos},
    openai::{ask, ask_stream, says, streams, whole},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

/// A model `weak` behind the route `chain`, judged by `umpire` at 5 microdollars a grade.
async fn gateway(weak: &RawUpstream, umpire: &RawUpstream, lines: &str) -> Weir {
    let toml = [
        OPEN,
        &target("weak", &weak.base_url(), "", ""),
        &target("umpire", &umpire.base_url(), "", &price("1.0", "1.0")),
        &route("chain", &["weak"], ""),
        "[judge]\nenabled = true\nmodel = \"umpire\"\nshare = 1.0\n",
        lines,
    ];
    Weir::start(&toml.concat()).await
}

/// The row of the judge, as soon as it is there.
async fn graded(weir: &Weir, rows: usize) -> (Row, Vec<Row>) {
    let (judge, others): (Vec<Row>, Vec<Row>) =
        weir.attempts(rows).await.into_iter().partition(|row| row.key == "weir:judge");
    assert_eq!(judge.len(), 1, "{judge:#?}");
    (judge[0].clone(), others)
}

async fn quality(weir: &Weir) -> Value {
    let status = weir.client().get("/admin/status").await.json();
    let rows = status["data"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["model"] == "weak").unwrap()["quality"].clone()
}

async fn counted(weir: &Weir, result: &str) -> f64 {
    weir.metric(&format!("weir_judgements_total{{model=\"weak\",result=\"{result}\"}}")).await
}

/// Waits until so many answers ended like this.
async fn until(weir: &Weir, result: &str, count: f64) {
    for _ in 0..2000 {
        if counted(weir, result).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {result}: {}", weir.logs());
}

#[tokio::test]
async fn a_grade_comes_after_the_answer_and_counts_for_its_model() {
    let go = Arc::new(Notify::new());
    let slow =
        Script::OnRequest(vec![Step::Wait(Arc::clone(&go)), Step::Send(wire::json_answer(200, &whole("4")))]);
    let weak = RawUpstream::start(vec![says("A dog is an animal.")]).await;
    let umpire = RawUpstream::start(vec![slow]).await;
    let weir = gateway(&weak, &umpire, "").await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "weak"));
    let asked = umpire.request(0).await;
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let shown = body["messages"][1]["content"].as_str().unwrap();
    assert!(shown.contains("Say something.") && shown.contains("A dog is an animal."), "{shown}");
    assert_eq!(quality(&weir).await["grades"], Value::Null);
    go.notify_one();
    until(&weir, "graded", 1.0).await;
    let (judge, others) = graded(&weir, 2).await;
    assert_eq!(
        (judge.quality.as_str(), judge.model.as_str(), judge.cost),
        ("4", "umpire", nanos("0.000005"))
    );
    assert_eq!((judge.request.as_str(), others[0].quality.as_str()), (others[0].request.as_str(), "ok"));
    let third = json!({ "mean": 1.0 / 3.0, "answers": 1 });
    let seen = quality(&weir).await;
    assert_eq!((&seen["score"], &seen["grades"]), (&json!(1.0 / 3.0), &third));
    assert_eq!(weir.spent("weir:judge").await, nanos("0.000005"));
}

#[tokio::test]
async fn nothing_is_judged_past_the_daily_limit() {
    let weak = RawUpstream::start(vec![says("A dog.")]).await;
    let umpire = RawUpstream::start(vec![says("4")]).await;
    let weir = gateway(&weak, &umpire, "daily = 0.000001\n").await;
    let answer = weir.client().post_json(CHAT, &ask("chain")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    until(&weir, "failed", 1.0).await;
    assert!(umpire.requests().is_empty());
    assert_eq!(quality(&weir).await["grades"], Value::Null);
}

#[tokio::test]
async fn who_finds_no_place_is_not_judged() {
    let silent = Script::OnRequest(vec![Step::Hang]);
    let weak = RawUpstream::start(vec![says("A dog.")]).await;
    let umpire = RawUpstream::start(vec![silent]).await;
    let weir = gateway(&weak, &umpire, "max_concurrent = 1\n").await;
    for _ in 0..3 {
        assert_eq!(weir.client().post_json(CHAT, &ask("chain")).await.status.as_u16(), 200);
    }
    until(&weir, "dropped", 2.0).await;
    assert!(umpire.requests().len() <= 1);
}

#[tokio::test]
async fn a_stream_is_not_judged_nor_is_the_judge() {
    let weak = RawUpstream::start(vec![streams(&["A dog."]), says("A cat.")]).await;
    let umpire = RawUpstream::start(vec![says("Ten out of ten!")]).await;
    let weir = gateway(&weak, &umpire, "").await;
    let transcript = Transcript::of(&mut weir.client().stream(CHAT, &ask_stream("chain")).await).await;
    assert!(transcript.is_clean());
    weir.client().post_json(CHAT, &ask("chain")).await;
    // What is no number is no grade.
    until(&weir, "failed", 1.0).await;
    assert_eq!(umpire.requests().len(), 1);
    let (judge, _) = graded(&weir, 3).await;
    assert_eq!((judge.quality.as_str(), judge.outcome.as_str()), ("", "ok"));
}
