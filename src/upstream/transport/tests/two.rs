//! HTTP/2: streams over several connections.

use std::{collections::HashMap, sync::Mutex};

use super::*;

#[derive(Default)]
struct Peaks(Mutex<HashMap<usize, (usize, usize)>>);

impl Peaks {
    fn enter(&self, connection: usize) {
        let mut all = self.0.lock().unwrap();
        let (now, peak) = all.entry(connection).or_default();
        *now += 1;
        *peak = (*peak).max(*now);
    }

    fn leave(&self, connection: usize) {
        self.0.lock().unwrap().get_mut(&connection).unwrap().0 -= 1;
    }

    fn highest(&self) -> usize {
        self.0.lock().unwrap().values().map(|(_, peak)| *peak).max().unwrap()
    }
}

/// Sends `count` requests, none of which is answered before all have arrived; returns the origin, the network, the peak
/// of a connection.
async fn all_at_once(count: usize, speech: Speech, options: impl FnOnce(SocketAddr) -> TransportOptions) {
    let limit = speech.max_streams.map_or(100, |limit| limit as usize);
    let barrier = Arc::new(tokio::sync::Barrier::new(count));
    let peaks = Arc::new(Peaks::default());
    let seen = peaks.clone();
    let origin = Origin::start(speech, move |connection, request| {
        let (barrier, seen) = (barrier.clone(), seen.clone());
        async move {
            assert_eq!(request.version(), http::Version::HTTP_2);
            assert_eq!(request.uri().path(), "/v1/ask");
            assert!(!request.headers().contains_key("host"));
            seen.enter(connection);
            barrier.wait().await;
            seen.leave(connection);
            answer("yes")
        }
    })
    .await;
    let network = Network::new(&options(origin.address)).unwrap();
    for _ in 0..2 {
        let all = (0..count).map(|_| ask(&network));
        let all = tokio::time::timeout(Duration::from_secs(20), futures_util::future::join_all(all));
        for text in all.await.expect("streams waited for each other") {
            assert_eq!(text.unwrap(), "yes");
        }
    }
    assert!(peaks.highest() <= limit, "{} streams on a connection", peaks.highest());
    assert_eq!(origin.connections(), count.div_ceil(limit));
    assert_eq!(network.stats().in_flight, 0);
}

fn clear(address: SocketAddr) -> TransportOptions {
    options(&format!("http://{address}"), HttpVersion::Two)
}

#[tokio::test]
async fn three_hundred_streams_are_open_at_once() {
    all_at_once(300, Speech { two: true, ..Speech::default() }, clear).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_take_ten_connections() {
    all_at_once(1000, Speech { two: true, ..Speech::default() }, clear).await;
}

#[tokio::test]
async fn a_lower_limit_of_the_peer_is_respected() {
    all_at_once(60, Speech { two: true, max_streams: Some(10), ..Speech::default() }, clear).await;
}

#[tokio::test]
async fn a_burst_over_tls_learns_the_protocol_from_one_connection() {
    let (tls, ca) = super::connect::authority(&["h2", "http/1.1"]);
    let speech = Speech { tls: Some(tls), ..Speech::default() };
    all_at_once(150, speech, |address| TransportOptions {
        ca_file: Some(ca.path().to_owned()),
        ..options(&format!("https://localhost:{}", address.port()), HttpVersion::Auto)
    })
    .await;
}

#[tokio::test]
async fn empty_connections_are_closed_after_their_time() {
    let origin = Origin::start(Speech { two: true, ..Speech::default() }, |_, _| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer("yes")
    })
    .await;
    let mut options = clear(origin.address);
    options.streams_per_connection = 2;
    options.idle_connection_timeout = Duration::from_millis(100);
    let network = Network::new(&options).unwrap();
    futures_util::future::join_all((0..6).map(|_| ask(&network))).await;
    assert_eq!(network.stats().connections, 3);
    until(|| network.stats().connections == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_go_away_cost_no_request() {
    let leave_after = Some(Duration::from_millis(15));
    let origin = Origin::start(Speech { two: true, leave_after, ..Speech::default() }, |_, _| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        answer("yes")
    })
    .await;
    let network = network(origin.address, HttpVersion::Two);
    let workers = (0..20).map(|_| {
        let network = network.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                let text = tokio::time::timeout(Duration::from_secs(4), ask(&network)).await;
                assert_eq!(text.expect("a request got lost").unwrap(), "yes");
            }
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.unwrap();
    }
    assert!(origin.connections() > 2, "they did go away");
}

/// A server that refuses the first `refusals` streams, whatever their connection.
async fn refusing(refusals: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if counter.fetch_add(1, Ordering::SeqCst) < refusals {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        respond.send_response(Response::new(()), true).unwrap();
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_at_most_twice() {
    let (address, seen) = refusing(2).await;
    let network_two = network(address, HttpVersion::Two);
    ask(&network_two).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(network_two.stats().replays, 2);

    let (address, seen) = refusing(9).await;
    let error = ask(&network(address, HttpVersion::Two)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Reset, "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_without_http2_is_named_as_such() {
    let origin = Origin::start(Speech::default(), |_, _| async { answer("yes") }).await;
    let error = ask(&network(origin.address, HttpVersion::Two)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Connect, "{error}");
    assert!(error.message.contains("HTTP/2"), "{error}");
}
