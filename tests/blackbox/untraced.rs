//! A collector that takes nothing costs clients nothing: no answer waits for it, no memory grows with it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{
    collector::Collector,
    openai::{ask, says},
    raw::{RawUpstream, wait_for},
    script::{Script, Step},
    settings::{OPEN, route, target},
    transcript::CHAT,
    weir::Weir,
};

/// A gateway that sends its spans to this address.
async fn gateway(upstream: &RawUpstream, telemetry: &str) -> Weir {
    let toml = [
        OPEN,
        "[telemetry]\n",
        telemetry,
        "\n",
        &target("a", &upstream.base_url(), "", ""),
        &route("chain", &["a"], ""),
    ];
    Weir::start(&toml.concat()).await
}

/// Asks so often, fifty at a time; every request is answered.
async fn ask_often(weir: &Weir, times: usize) {
    let client = weir.client();
    let body = ask("chain");
    for _ in 0..times / 50 {
        let answers = join_all((0..50).map(|_| client.post_json(CHAT, &body))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    }
}

async fn spans(weir: &Weir, result: &str) -> f64 {
    weir.metric(&format!("weir_spans_total{{result=\"{result}\"}}")).await
}

#[tokio::test]
async fn a_collector_that_hangs_keeps_nobody_waiting() {
    let upstream = RawUpstream::start(vec![says("Hello")]).await;
    let collector = Collector::with(vec![Script::OnRequest(vec![Step::Hang])]).await;
    let telemetry = [&collector.lines(), "max_queue = \"256KiB\""].concat();
    let mut weir = gateway(&upstream, &telemetry).await;
    ask_often(&weir, 100).await;
    wait_for(|| (!collector.requests().is_empty()).then_some(())).await;
    let before = weir.rss_kib();
    ask_often(&weir, 2000).await;
    // All were answered while the first batch still hangs.
    assert_eq!(collector.requests().len(), 1);
    let dropped = spans(&weir, "dropped").await;
    assert!(dropped > 3000.0, "{dropped}");
    let grown = weir.rss_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more after 2000 requests");
    // Nor does it keep the process from its end.
    weir.sigterm();
    let begun = Instant::now();
    assert!(weir.wait_exit(Duration::from_secs(20)).await.success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(weir.logs().contains("did not take the last spans in time"), "{}", weir.logs());
}

#[tokio::test]
async fn a_collector_that_fails_loses_spans_alone() {
    let upstream = RawUpstream::start(vec![says("Hello")]).await;
    let collector = Collector::with(vec![Script::json(500, "{}")]).await;
    let weir = gateway(&upstream, &collector.lines()).await;
    ask_often(&weir, 100).await;
    // The first batch is tried three times, those behind it once each.
    weir.logged("takes no spans").await;
    assert_eq!(collector.requests().len(), 3);
    ask_often(&weir, 100).await;
    wait_for(|| (collector.requests().len() >= 4).then_some(())).await;
    assert!(spans(&weir, "failed").await >= 200.0);
    assert_eq!(spans(&weir, "sent").await, 0.0);
    assert_eq!(weir.logs().matches("takes no spans").count(), 1, "{}", weir.logs());
}

#[tokio::test]
async fn without_a_collector_everything_is_answered() {
    let upstream = RawUpstream::start(vec![says("Hello")]).await;
    // Nobody listens there; what wants no span refuses it once.
    let weir = gateway(&upstream, "otlp_endpoint = \"http://127.0.0.1:1/canary\"").await;
    ask_often(&weir, 200).await;
    weir.logged("takes no spans").await;
    assert!(spans(&weir, "failed").await >= 200.0);
    // The address may hold a secret.
    assert!(!weir.logs().contains("canary"), "{}", weir.logs());

    let collector = Collector::with(vec![
        Script::json(400, "{}"),
        Script::json(200, "{\"partialSuccess\":{\"rejectedSpans\":\"1\"}}"),
    ])
    .await;
    let weir = gateway(&upstream, &collector.lines()).await;
    ask_often(&weir, 50).await;
    weir.logged("refused spans").await;
    assert_eq!(collector.requests().len(), 1);
    let refused = spans(&weir, "refused").await;
    ask_often(&weir, 50).await;
    wait_for(|| (collector.requests().len() >= 2).then_some(())).await;
    weir.client().get("/healthz").await;
    let end = Instant::now() + Duration::from_secs(10);
    while spans(&weir, "sent").await == 0.0 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(spans(&weir, "refused").await > refused);
}

#[tokio::test]
async fn the_last_spans_go_out_before_the_end() {
    let upstream = RawUpstream::start(vec![says("Hello")]).await;
    let collector = Collector::start().await;
    let mut weir = gateway(&upstream, &collector.lines()).await;
    ask_often(&weir, 50).await;
    weir.sigterm();
    assert!(weir.wait_exit(Duration::from_secs(20)).await.success());
    let (requests, tries) = collector.traced(50).await;
    assert_eq!((requests.len(), tries.len()), (50, 50));
}
