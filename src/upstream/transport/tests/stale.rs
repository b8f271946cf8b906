//! Connections that the provider closes behind our back.

use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";

/// A raw server; `script` drives each connection and is told how many requests came before.
async fn raw<F, A>(script: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream, Arc<AtomicUsize>) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream, counter.clone()));
        }
    });
    (address, requests)
}

/// Reads one of our requests; returns its number, or nothing at the end of the connection.
async fn take(stream: &mut TcpStream, counter: &AtomicUsize) -> Option<usize> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nask") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        seen.extend_from_slice(&buffer[..read]);
    }
    Some(counter.fetch_add(1, Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_closed_at_random_cost_no_request() {
    let (address, answered) = raw(|mut stream, counter| async move {
        while take(&mut stream, &counter).await.is_some() {
            stream.write_all(ANSWER).await.unwrap();
            let moment = rand::rng().random_range(0..8_u64);
            if moment < 4 {
                tokio::time::sleep(Duration::from_micros(moment * 200)).await;
                return;
            }
        }
    })
    .await;
    let network = network(address, HttpVersion::Auto);
    let workers = (0..8).map(|_| {
        let network = network.clone();
        tokio::spawn(async move {
            for _ in 0..125 {
                assert_eq!(ask(&network).await.unwrap(), "yes");
                let pause = rand::rng().random_range(0..400_u64);
                tokio::time::sleep(Duration::from_micros(pause)).await;
            }
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.unwrap();
    }
    assert_eq!(answered.load(Ordering::SeqCst), 1000, "none was worked on twice");
    assert_eq!(network.stats().in_flight, 0);
}

#[tokio::test]
async fn a_stale_connection_is_replayed_on_a_fresh_one() {
    let (address, requests) = raw(|mut stream, counter| async move {
        let Some(number) = take(&mut stream, &counter).await else {
            return;
        };
        stream.write_all(ANSWER).await.unwrap();
        if number == 0 {
            // Takes the next request but says nothing to it: what a close in flight looks like to the client.
            take(&mut stream, &counter).await;
        } else {
            take(&mut stream, &AtomicUsize::new(0)).await;
        }
    })
    .await;
    let network = network(address, HttpVersion::Auto);
    ask(&network).await.unwrap();
    assert_eq!(ask(&network).await.unwrap(), "yes");
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    assert_eq!(network.stats().replays, 1);
}

#[tokio::test]
async fn a_request_that_got_a_byte_is_not_replayed() {
    let (address, requests) = raw(|mut stream, counter| async move {
        take(&mut stream, &counter).await;
        stream.write_all(ANSWER).await.unwrap();
        take(&mut stream, &counter).await;
        stream.write_all(b"HTTP/1.1 2").await.unwrap();
    })
    .await;
    let network = network(address, HttpVersion::Auto);
    ask(&network).await.unwrap();
    let error = ask(&network).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Reset, "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert_eq!(network.stats().replays, 0);
}

#[tokio::test]
async fn the_failure_of_a_fresh_connection_is_not_replayed() {
    let (address, requests) = raw(|mut stream, counter| async move {
        take(&mut stream, &counter).await;
    })
    .await;
    let network = network(address, HttpVersion::Auto);
    let error = network.send(&request("/v1/ask?key=secret")).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Reset, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(network.stats().in_flight, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_of_the_body() {
    let (address, requests) = raw(|mut stream, counter| async move {
        take(&mut stream, &counter).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let error = ask(&network(address, HttpVersion::Auto)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Body, "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nonsense_is_not_http() {
    let (address, _) = raw(|mut stream, counter| async move {
        take(&mut stream, &counter).await;
        stream.write_all(b"\x00\x01\x02 what?\r\n\r\n").await.unwrap();
    })
    .await;
    let error = ask(&network(address, HttpVersion::One)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Protocol, "{error}");
}
