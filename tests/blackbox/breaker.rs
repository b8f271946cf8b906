//! A target that fails is left alone, told to operators, tried again.

use serde_json::Value;

use crate::support::{
    openai::{ask, says},
    raw::RawUpstream,
    script::Script,
    settings::{HEALTHY, route, target},
    transcript::CHAT,
    weir::Weir,
};

async fn status(weir: &Weir, model: &str) -> Value {
    let status = weir.client().get("/admin/status").await.json();
    status["data"].as_array().unwrap().iter().find(|row| row["model"] == model).unwrap().clone()
}

#[tokio::test]
async fn a_target_that_only_fails_is_left_alone() {
    let first = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let second = RawUpstream::start(vec![says("fine")]).await;
    let toml = [
        HEALTHY,
        "[breaker]\ndegraded_below = 0\n",
        &target("first", &first.base_url(), "", ""),
        &target("second", &second.base_url(), "", ""),
        &route("chain", &["first", "second"], ""),
        &route("alone", &["first"], "max_attempts = 1"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..30 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "second"));
    }
    // Five in a row open the breaker, seven where requests come fast.
    let asked = first.requests().len();
    assert!((5..=7).contains(&asked), "{asked}");
    let told = status(&weir, "first").await;
    assert_eq!((told["breaker"].as_str(), told["status"].as_str()), (Some("open"), Some("failed")), "{told}");
    assert_eq!(told["last_error"], "server_error", "{told}");
    assert_eq!(status(&weir, "second").await["breaker"], "closed");
    let page = weir.client().get("/metrics").await.text();
    assert!(page.contains("weir_breaker_state{model=\"first\",provider=\"first\"} 2"), "{page}");
    assert!(
        page.contains("weir_breaker_transitions_total{model=\"first\",provider=\"first\",to=\"open\"} 1")
    );
    weir.logged("a breaker changed").await;

    // Nothing else is left: now and then one request still gets through, the others are told when to come back.
    let alone = weir.client().post_json(CHAT, &ask("alone")).await;
    assert_eq!(alone.status, 503);
    let at_once = weir.client().post_json(CHAT, &ask("alone")).await;
    at_once.refused(503, "upstream_error", "upstream_unavailable", false);
    assert!(at_once.retry_after() >= 1);
    assert_eq!(first.requests().len(), asked + 1);

    // An operator lets everything through again.
    let closed = weir.client().send("POST", "/admin/targets/first/close", "").await;
    assert_eq!((closed.status.as_u16(), closed.json()["breaker"].as_str()), (200, Some("closed")));
    weir.client().post_json(CHAT, &ask("alone")).await;
    assert_eq!(first.requests().len(), asked + 2);
    for path in ["/admin/targets/nobody/open", "/admin/targets/first/explode"] {
        assert_eq!(weir.client().send("POST", path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_model_that_a_client_makes_up_harms_no_other() {
    let upstream = RawUpstream::start(vec![Script::json(404, "{}"), says("fine")]).await;
    let weir = Weir::start(&[HEALTHY, &target("m", &upstream.base_url(), "", "")].concat()).await;
    let made_up = weir.client().post_json(CHAT, &ask("m/made-up")).await;
    assert!(!made_up.status.is_success(), "{}", made_up.text());
    let other = weir.client().post_json(CHAT, &ask("m/real")).await;
    assert_eq!(other.status.as_u16(), 200, "{}", other.text());
}
