//! A client that does not read: its upstream waits for it, then it is dropped, what came is paid for.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::{Response, body::Frame, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::support::{
    openai::{ask_stream, role, text},
    raw::wait_for,
    settings::{OPEN, budget, price, route, target},
    transcript::CHAT,
    weir::Weir,
};

const STREAMS: usize = 40;
/// 256 KiB of content, in blocks that are partly empty, with what an unoptimized build needs besides.
const KIB_PER_STREAM: u64 = 512;
/// The same with what the systems on the way hold.
const GONE_PER_STREAM: usize = 1536 * 1024;
/// How long a client may leave its answer unread here.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than all buffers on the way could hold, in bytes a stream.
const ENDLESS: usize = 64 * 1024 * 1024;

/// What an upstream that never ends has seen.
#[derive(Default)]
struct Flood {
    bytes: AtomicUsize,
    open: AtomicUsize,
}

/// Counts a stream as open until it is dropped.
struct Open(Arc<Flood>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers each request with words without end.
async fn flood() -> (Arc<Flood>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let seen = Arc::new(Flood::default());
    let flood = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // What it counts as gone shall not lie with its own system.
            SockRef::from(&stream).set_send_buffer_size(32 * 1024).unwrap();
            tokio::spawn(pour(stream, Arc::clone(&flood)));
        }
    });
    (seen, base_url)
}

async fn pour(stream: TcpStream, flood: Arc<Flood>) {
    let service = service_fn(move |_| {
        flood.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&flood));
        let (mut next, mut left) = (Bytes::from(role()), ENDLESS);
        // Much to carry, little to count.
        let words = text("word").replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(4000)), 1);
        let words = Bytes::from(words);
        let frames = std::iter::from_fn(move || {
            let frame = std::mem::replace(&mut next, words.clone());
            open.0.bytes.fetch_add(frame.len(), Ordering::SeqCst);
            left = left.checked_sub(frame.len())?;
            Some(Ok::<_, Infallible>(Frame::data(frame)))
        });
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let answer = Response::builder().header("content-type", "text/event-stream").body(body);
        async move { answer }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Asks, then never reads.
async fn asks(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // So that the system holds little on its behalf.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let body = ask_stream("chain").to_string();
    let length = body.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits until nothing more is sent upstream.
async fn settled(flood: &Flood) -> usize {
    let mut before = 0;
    loop {
        let bytes = flood.bytes.load(Ordering::SeqCst);
        if bytes == before && flood.open.load(Ordering::SeqCst) == STREAMS {
            return bytes;
        }
        before = bytes;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

async fn unread(http: &str) {
    let (flood, base_url) = flood().await;
    let price = price("1.0", "100.0");
    let toml = [
        OPEN,
        &format!("[server]\nwrite_timeout = \"{}s\"\n", PATIENCE.as_secs()),
        &target("p", &base_url, &format!("http = \"{http}\""), &price),
        &route("chain", &["p"], ""),
        &budget("b", "global", "daily = 1000.0"),
    ]
    .concat();
    let weir = Weir::start(&toml).await;
    // One that is read for a while, then left: what is made once is there.
    let mut warm = weir.client().stream(CHAT, &ask_stream("chain")).await;
    for _ in 0..20 {
        warm.next().await.unwrap();
    }
    drop(warm);
    wait_for(|| (flood.open.load(Ordering::SeqCst) == 0).then_some(())).await;
    flood.bytes.store(0, Ordering::SeqCst);

    let before = weir.rss_kib();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        clients.push(asks(weir.address()).await);
    }
    let bytes = settled(&flood).await;
    let each = weir.peak_rss_kib().saturating_sub(before) / STREAMS as u64;
    tell(&format!(
        "http {http}: {each} KiB a stream; its upstream got rid of {} KiB",
        bytes / 1024 / STREAMS
    ));
    assert!(bytes <= STREAMS * GONE_PER_STREAM, "the upstream is read though the client does not: {bytes}");
    assert!(each <= KIB_PER_STREAM, "{each} KiB a stream");

    wait_for(|| (flood.open.load(Ordering::SeqCst) == 0).then_some(())).await;
    let took = begun.elapsed();
    assert!((PATIENCE..4 * PATIENCE).contains(&took), "{took:?}");
    let rows = weir.attempts(STREAMS + 1).await;
    for row in &rows {
        assert_eq!((row.kind.as_str(), row.outcome.as_str()), ("estimated", "client_left"), "{row:?}");
        assert!(row.output > 0, "{row:?}");
    }
    assert_eq!(weir.spent("b").await, rows.iter().map(|row| row.cost).sum::<i64>());
    assert_eq!(weir.metric("weir_in_flight").await, 0.0);
    drop(clients);
}

#[allow(clippy::print_stderr, reason = "figures of a test run are for whoever reads its output")]
fn tell(figure: &str) {
    eprintln!("{figure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_waited_for_then_dropped_over_http_1() {
    unread("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_waited_for_then_dropped_over_http_2() {
    unread("2").await;
}
