//! The server over real sockets.

mod http2;
mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::sleep,
};

use super::*;

/// Nothing in these tests may take longer.
const LIMIT: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<usize>,
    /// How many requests came in.
    calls: Arc<AtomicUsize>,
    /// Hears of each dropped answer.
    left: tokio::sync::mpsc::UnboundedReceiver<()>,
}

fn options() -> ServerOptions {
    ServerOptions::new(&config::Server::default()).unwrap()
}

/// Says when it is dropped.
struct Leaving(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// An answer of so many pieces, 20 ms apart.
fn pieces(n: usize, size: usize, leaving: Leaving) -> Body {
    Body::from_stream(stream::unfold((0, leaving), move |(i, leaving)| async move {
        if i == n {
            return None;
        }
        sleep(Duration::from_millis(20)).await;
        let piece = Bytes::from(vec![b'x'; size]);
        Some((Ok::<_, Infallible>(piece), (i + 1, leaving)))
    }))
}

async fn answer(peer: SocketAddr, request: Request<Incoming>, leaving: Leaving) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/stream" => Response::new(pieces(10, 1, leaving)),
        "/endless" => Response::new(pieces(usize::MAX, 16 * 1024, leaving)),
        "/silent" => {
            let silence = stream::once(async move {
                let _leaving = leaving;
                std::future::pending::<Result<Bytes, Infallible>>().await
            });
            Response::new(Body::from_stream(silence))
        }
        "/never" => {
            let _leaving = leaving;
            std::future::pending().await
        }
        "/refuse" => {
            let mut response = Response::new(Body::from("too large"));
            *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            response
        }
        _ => {
            let length = request.into_body().collect().await.map(|b| b.to_bytes().len());
            Response::new(Body::from(format!("{path} {} {length:?};", peer.ip())))
        }
    }
}

async fn start(options: ServerOptions, grace: Duration) -> Running {
    let listener = bind("server.listen", "127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let (leave, left) = tokio::sync::mpsc::unbounded_channel();
    let counter = calls.clone();
    let desk = move |peer| {
        let (counter, leave) = (counter.clone(), leave.clone());
        hyper::service::service_fn(move |request: Request<Incoming>| {
            counter.fetch_add(1, Ordering::Relaxed);
            let leaving = Leaving(leave.clone());
            async move { Ok(answer(peer, request, leaving).await) }
        })
    };
    let server =
        tokio::spawn(serve(listener, desk, options, shutdown.clone(), CancellationToken::new(), grace));
    Running { address, shutdown, server, calls, left }
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// Everything until the server closes.
async fn rest(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let end = timeout(LIMIT, io.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    end.unwrap_or_else(|_| panic!("still open after: {text}")).unwrap();
    text
}

/// Everything until `end` comes.
async fn until(io: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(timeout(LIMIT, io.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn exchange(running: &Running, request: &str) -> String {
    let mut client = connect(running).await;
    client.write_all(request.as_bytes()).await.unwrap();
    rest(&mut client).await
}

async fn soon_left(running: &mut Running) {
    let left = timeout(Duration::from_millis(250), running.left.recv()).await;
    left.expect("what the client left is dropped");
}

#[tokio::test]
async fn a_kept_connection_serves_one_request_after_the_other_also_pipelined() {
    let running = start(options(), LIMIT).await;
    let mut client = connect(&running).await;
    client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(until(&mut client, ";").await.contains("/a 127.0.0.1 Ok(0)"));
    let two = "POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcGET /c HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(two.as_bytes()).await.unwrap();
    assert!(until(&mut client, ";").await.contains("/b 127.0.0.1 Ok(3)"));
    assert!(until(&mut client, ";").await.contains("/c 127.0.0.1 Ok(0)"));
}

#[tokio::test]
async fn slow_heads_are_closed() {
    let slow = ServerOptions { header_timeout: Duration::from_millis(200), ..options() };
    let running = start(slow, LIMIT).await;
    for head in ["", "GET / HTTP/1.1\r\nx: y", "PRI * HTTP/2.0\r\n\r\n"] {
        let begin = Instant::now();
        assert_eq!(exchange(&running, head).await, "", "{head}");
        assert!(begin.elapsed() >= Duration::from_millis(200), "{head}");
    }
    assert_eq!(running.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_kept_connection_may_be_idle_longer_than_a_head_may_take() {
    let short = ServerOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(300),
        ..options()
    };
    let running = start(short, LIMIT).await;
    let mut client = connect(&running).await;
    client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut client, ";").await;
    let begin = Instant::now();
    assert_eq!(rest(&mut client).await, "");
    assert!(begin.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431() {
    let small = ServerOptions { max_header_bytes: 8192, ..options() };
    let running = start(small, LIMIT).await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let text = exchange(&running, &head).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    assert_eq!(running.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn heads_that_could_smuggle_get_400_and_the_end() {
    let running = start(options(), LIMIT).await;
    for lines in [
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 1, 2",
        "content-length: +1",
        "content-length: 1\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 1",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, gzip",
        "x: y\r\n folded",
        "x : y",
        "content-length\u{0}: 1",
    ] {
        let request = format!(
            "POST /one HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let text = exchange(&running, &request).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{lines}: {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{lines}: {text}");
    }
    assert_eq!(running.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_early_answer_arrives_though_the_body_was_not_read() {
    let running = start(options(), LIMIT).await;
    let mut client = connect(&running).await;
    let length = 8 * 1024 * 1024;
    let head = format!("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; length]).await.unwrap();
    let text = rest(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_at_once() {
    let mut running = start(options(), LIMIT).await;
    for path in ["/silent", "/never", "/endless"] {
        let mut client = connect(&running).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        if path == "/never" {
            sleep(Duration::from_millis(50)).await;
        } else {
            until(&mut client, "\r\n\r\n").await;
        }
        drop(client);
        soon_left(&mut running).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let impatient = ServerOptions { write_timeout: Duration::from_millis(200), ..options() };
    let mut running = start(impatient, LIMIT).await;
    let mut client = connect(&running).await;
    client.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(2 * LIMIT, running.left.recv()).await.unwrap();
}

#[tokio::test]
async fn connections_past_the_limit_are_told_so() {
    let one = ServerOptions { max_connections: 1, ..options() };
    let running = start(one, LIMIT).await;
    let mut first = connect(&running).await;
    let request = "GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    first.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut first, ";").await;
    let refused = rest(&mut connect(&running).await).await;
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "overloaded");
    drop(first);
    for _ in 0..100 {
        let mut client = connect(&running).await;
        let _ = client.write_all(request.as_bytes()).await;
        let mut text = String::new();
        // A refusal may come as a reset, too.
        if client.read_to_string(&mut text).await.is_ok() && text.starts_with("HTTP/1.1 200") {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a closed connection is free again");
}

#[tokio::test]
async fn a_shutdown_lets_streams_finish_and_closes_the_rest() {
    let running = start(options(), LIMIT).await;
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, ";").await;
    let mut silent = connect(&running).await;
    let mut busy = connect(&running).await;
    busy.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut busy, "\r\n\r\n").await;
    running.shutdown.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    let refused = TcpStream::connect(running.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let body = rest(&mut busy).await;
    assert_eq!(body.matches('x').count(), 10, "{body}");
    assert!(body.ends_with("0\r\n\r\n"), "{body}");
    assert_eq!(running.server.await.unwrap(), 0);
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut() {
    let mut running = start(options(), Duration::from_millis(100)).await;
    let mut client = connect(&running).await;
    client.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    running.shutdown.cancel();
    assert_eq!(timeout(LIMIT, &mut running.server).await.unwrap().unwrap(), 1);
    soon_left(&mut running).await;
    assert_eq!(rest(&mut client).await, "");
}
