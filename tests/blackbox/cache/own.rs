//! Only a route's own good answers are kept for it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    client::Answer,
    openai::{self, error, role, stop, text, usage},
    raw::RawUpstream,
    script::{Script, Step},
    settings::{OPEN, budget, price, route, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
    wire,
};

use super::{ask, did, said};

const SORRY: &str = "I'm sorry, but I can't help with that.";

fn of(model: &str, stream: bool, more: &Value) -> Value {
    let mut body = ask("x", stream);
    body["model"] = json!(model);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn asked(weir: &Weir, model: &str) -> Answer {
    weir.client().post_json(CHAT, &of(model, false, &json!({}))).await
}

#[tokio::test]
async fn what_a_fallback_answered_is_not_the_better_routes() {
    let fault = Script::json(500, &error("server_error", "no", "No."));
    let best = RawUpstream::start(vec![fault.clone(), openai::says("Best.")]).await;
    let dead = RawUpstream::start(vec![fault]).await;
    let low = RawUpstream::start(vec![openai::says("Low.")]).await;
    let toml = [
        OPEN,
        &target("best", &best.base_url(), "", "fallback = \"low\""),
        &target("dead", &dead.base_url(), "", ""),
        &target("cheap", &low.base_url(), "", ""),
        &route("top", &["best"], "fallback = \"low\""),
        &route("low", &["cheap"], ""),
        &route("both", &["dead", "cheap"], "fallback = \"top\""),
        "[cache]\nenabled = true\n",
    ];
    let weir = Weir::start(&toml.concat()).await;
    for (model, word, text) in [
        ("top", "miss", "Low."),
        ("top", "miss", "Best."),
        ("top", "hit", "Best."),
        // Another one of its own is as good.
        ("both", "miss", "Low."),
        ("both", "hit", "Low."),
    ] {
        let answer = asked(&weir, model).await;
        assert_eq!((did(&answer), said(&answer)), (word, text.to_owned()), "{model}");
    }
}

/// A weak model behind `low`, which asks `high` for what fails a check, and behind `plain`, which does not.
fn escalating(weak: &RawUpstream, strong: &str, on: &str, more: &str) -> String {
    let lines = format!("escalate_on = [\"{on}\"]\nescalate_to = \"high\"");
    [
        OPEN,
        &target("weak", &weak.base_url(), "", &price("1.0", "1.0")),
        &target("strong", strong, "", &price("1000.0", "1000.0")),
        &route("low", &["weak"], &lines),
        &route("plain", &["weak"], ""),
        &route("high", &["strong"], ""),
        "[cache]\nenabled = true\n",
        more,
    ]
    .concat()
}

#[tokio::test]
async fn what_failed_a_check_is_not_kept_though_nobody_did_better() {
    let weak = RawUpstream::start(vec![openai::says(SORRY)]).await;
    let strong = RawUpstream::start(vec![Script::json(500, &error("server_error", "no", "No."))]).await;
    for (more, tries) in [("", 2), (&*budget("b", "global", "daily = 0.1"), 0)] {
        let before = (weak.requests().len(), strong.requests().len());
        let weir = Weir::start(&escalating(&weak, &strong.base_url(), "refusal", more)).await;
        for model in ["low", "low", "plain", "plain"] {
            let answer = asked(&weir, model).await;
            assert_eq!((did(&answer), said(&answer)), ("miss", SORRY.to_owned()), "{model}");
            assert_eq!(answer.header("x-weir-escalated"), "");
        }
        assert_eq!(weak.requests().len() - before.0, 4);
        assert_eq!(
            strong.requests().len() - before.1,
            tries,
            "the first test's failure is of the try, the second's of money"
        );
        assert_eq!(weir.metric("weir_cache_entries").await, 0.0);
    }
}

#[tokio::test]
async fn a_stream_that_failed_a_check_is_not_kept() {
    let events = [
        role(),
        text("I'm sorry, but I "),
        text("can't help with that."),
        stop(),
        usage(),
        openai::DONE.to_owned(),
    ];
    let weak = RawUpstream::start(vec![Script::stream(&events), openai::says("Yes.")]).await;
    let strong = RawUpstream::start(vec![openai::says("Better.")]).await;
    let weir = Weir::start(&escalating(&weak, &strong.base_url(), "refusal", "")).await;
    let body = of("low", true, &json!({}));
    let told = Transcript::of(&mut weir.client().stream(CHAT, &body).await).await;
    assert!(told.is_clean() && told.text == SORRY, "{told:?}");
    for word in ["miss", "hit"] {
        let answer = asked(&weir, "low").await;
        assert_eq!((did(&answer), said(&answer)), (word, "Yes.".to_owned()));
    }
}

#[tokio::test]
async fn a_stream_that_nobody_escalates_is_not_shared_with_who_would() {
    let gate = Arc::new(Notify::new());
    let end = [text("can't help with that."), stop(), usage(), openai::DONE.to_owned()]
        .map(|part| wire::chunk(&part));
    let end = [Step::Wait(Arc::clone(&gate)), Step::Send(end.concat()), Step::Send(wire::last_chunk())];
    let slow = openai::stream_then(&[role(), text("I'm sorry, but I ")], &end);
    let weak = RawUpstream::start(vec![slow, openai::says(SORRY)]).await;
    let strong = RawUpstream::start(vec![openai::says("Better.")]).await;
    let weir = Weir::start(&escalating(&weak, &strong.base_url(), "refusal", "")).await;
    let mut stream = weir.client().stream(CHAT, &of("low", true, &json!({}))).await;
    stream.next().await.unwrap();
    assert_eq!(said(&asked(&weir, "low").await), "Better.");
    gate.notify_one();
    assert_eq!(Transcript::of(&mut stream).await.text, SORRY);
}

#[tokio::test]
async fn what_ends_at_the_length_that_was_asked_for_is_kept_unless_more_is_wanted_of_it() {
    let cut = openai::whole("And so").replace("\"stop\"", "\"length\"");
    let weak = RawUpstream::start(vec![Script::json(200, &cut)]).await;
    let strong = RawUpstream::start(vec![Script::json(500, &error("server_error", "no", "No."))]).await;
    let weir = Weir::start(&escalating(&weak, &strong.base_url(), "truncated", "")).await;
    for (model, words) in [("plain", ["miss", "hit"]), ("low", ["miss", "miss"])] {
        let body = of(model, false, &json!({ "max_tokens": 2 }));
        for word in words {
            assert_eq!(did(&weir.client().post_json(CHAT, &body).await), word, "{model}");
        }
    }
}
