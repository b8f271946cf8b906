//! Whom nothing can answer now is told at once when something can again.

use std::time::{Duration, Instant};

use crate::support::{
    limits::quiet,
    openai::{ask, says},
    raw::RawUpstream,
    script::Script,
    settings::{HEALTHY, OPEN, route, target},
    transcript::CHAT,
    weir::Weir,
    wire,
};

/// U9: all down is 503 with the soonest reopening, within 50 ms (with fourfold slack) once open. An account without
/// money, which comes back in a quarter of an hour, does not make the client wait for so long.
#[tokio::test]
async fn all_down_is_told_at_once_with_the_soonest_time() {
    let _quiet = quiet().await;
    let unpaid = RawUpstream::start(vec![Script::json(402, "{}")]).await;
    let down = RawUpstream::start(vec![Script::json(500, "{}")]).await;
    let toml = [
        HEALTHY,
        "[breaker]\nopen_max = \"5s\"\n",
        &target("unpaid", &unpaid.base_url(), "api_keys = [\"k-one\"]", ""),
        &target("down", &down.base_url(), "", ""),
        &route("chain", &["unpaid", "down"], ""),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    let mut took = Vec::new();
    for _ in 0..500 {
        let (sent, begun) = (down.requests().len(), Instant::now());
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        let elapsed = begun.elapsed();
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "upstream_unavailable".into()));
        // It opens for 5 s, give or take a fifth.
        assert!((1..=6).contains(&answer.retry_after()), "{}", answer.header("retry-after"));
        if down.requests().len() == sent {
            took.push(elapsed);
        }
        if took.len() == 21 {
            break;
        }
    }
    took.sort_unstable();
    assert_eq!(took.len(), 21, "it is left alone");
    assert!(took[10] < Duration::from_millis(200), "{took:?}");
    assert_eq!(unpaid.requests().len(), 1);
}

/// A provider whose only key is known to be out costs no try: with a single one the next target still answers.
#[tokio::test]
async fn a_target_without_a_usable_key_costs_no_try() {
    let refused = Script::send(wire::answer(401, &[], b"{}"));
    let keyless = RawUpstream::start(vec![refused]).await;
    let fine = RawUpstream::start(vec![says("fine")]).await;
    let routes = [route("chain", &["keyless", "fine"], "max_attempts = 1"), route("alone", &["keyless"], "")];
    let toml = [
        OPEN,
        &target("keyless", &keyless.base_url(), "api_keys = [\"k-one\"]", ""),
        &target("fine", &fine.base_url(), "", ""),
        &routes.concat(),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    for _ in 0..2 {
        assert_eq!(weir.client().post_json(CHAT, &ask("alone")).await.status.as_u16(), 502);
    }
    for _ in 0..3 {
        let answer = weir.client().post_json(CHAT, &ask("chain")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-model")), (200, "fine"));
        assert_eq!(answer.header("x-weir-attempts"), "1");
    }
    assert_eq!(keyless.requests().len(), 2);
}
