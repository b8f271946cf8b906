//! HTTP/1.1: reuse, idle connections, heads.

use super::*;

fn plain() -> Speech {
    Speech::default()
}

#[tokio::test]
async fn a_connection_is_kept_alive_and_reused() {
    let origin = Origin::start(plain(), |_, request| async move {
        assert_eq!(request.uri(), "/v1/ask?a=b", "the bare path");
        assert_eq!(request.headers()["content-length"], "3");
        assert!(request.headers().contains_key("host"));
        answer("yes")
    })
    .await;
    let network = network(origin.address, HttpVersion::Auto);
    for _ in 0..50 {
        let response = network.send(&request("http://elsewhere.example/v1/ask?a=b")).await.unwrap();
        assert_eq!(read(response).await.unwrap(), "yes");
    }
    assert_eq!(origin.connections(), 1);
    let stats = network.stats();
    assert_eq!((stats.in_flight, stats.connections, stats.connections_opened, stats.replays), (0, 1, 1, 0));
}

#[tokio::test]
async fn requests_at_once_use_connections_of_their_own_and_share_them_later() {
    let barrier = Arc::new(tokio::sync::Barrier::new(40));
    let origin = Origin::start(plain(), move |_, _| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            answer("yes")
        }
    })
    .await;
    let network = network(origin.address, HttpVersion::One);
    for _ in 0..2 {
        let all = (0..40).map(|_| ask(&network));
        for text in soon(futures_util::future::join_all(all)).await {
            assert_eq!(text.unwrap(), "yes");
        }
    }
    assert_eq!(origin.connections(), 40);
    assert_eq!(network.stats().in_flight, 0);
}

#[tokio::test]
async fn the_request_is_in_flight_until_the_body_ends() {
    let origin = Origin::start(plain(), |_, _| async { answer("yes") }).await;
    let network = network(origin.address, HttpVersion::Auto);
    let response = network.send(&request("/")).await.unwrap();
    assert_eq!(network.stats().in_flight, 1);
    drop(read(response).await.unwrap());
    assert_eq!(network.stats().in_flight, 0);
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time() {
    let origin = Origin::start(plain(), |_, _| async { answer("yes") }).await;
    let mut options = options(&format!("http://{}", origin.address), HttpVersion::Auto);
    options.idle_connection_timeout = Duration::from_millis(100);
    let network = Network::new(&options).unwrap();
    ask(&network).await.unwrap();
    assert_eq!(network.stats().connections, 1);
    until(|| network.stats().connections == 0).await;
    ask(&network).await.unwrap();
    assert_eq!(network.stats().connections_opened, 2);
}

#[tokio::test]
async fn a_head_over_the_limit_is_too_large() {
    for two in [false, true] {
        let origin = Origin::start(Speech { two, ..plain() }, |_, _| async {
            let mut answer = answer("yes");
            answer.headers_mut().insert("x-long", "a".repeat(20_000).parse().unwrap());
            answer
        })
        .await;
        let http = if two { HttpVersion::Two } else { HttpVersion::One };
        let mut options = options(&format!("http://{}", origin.address), http);
        ask(&Network::new(&options).unwrap()).await.unwrap();
        options.max_head_bytes = 16 * 1024;
        let error = ask(&Network::new(&options).unwrap()).await.unwrap_err();
        // HTTP/2 does not tell it from other breaches of protocol.
        let expected = if two { TransportErrorKind::Protocol } else { TransportErrorKind::TooLarge };
        assert_eq!(error.kind, expected, "{error}");
    }
}
