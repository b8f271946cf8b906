//! A gateway that has as much to do as it may.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{limits::quiet, line::Line, weir::Weir};

const CHAT: &str = "/v1/chat/completions";

fn config(server: &str) -> String {
    format!(
        "[server]\n{server}\n[providers.sim]\nprotocol = \"sim\"\n[models.m]\nprovider = \"sim\"\nupstream_model = \"sim-small?tokens=3\"\n[models.slow]\nprovider = \"sim\"\nupstream_model = \"sim-small?hang-after=1\"\n"
    )
}

fn asking(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hi" }] })
}

#[tokio::test]
async fn past_max_in_flight_it_says_so_but_stays_alive() {
    let _quiet = quiet().await;
    let weir = Weir::start(&config("max_in_flight = 2")).await;
    let client = weir.client();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = client.stream(CHAT, &asking("slow", true)).await;
        assert!(stream.next().await.is_some());
        streams.push(stream);
    }
    for path in [CHAT, "/v1/completions", "/v1/embeddings"] {
        let answer = client.post_json(path, &asking("m", false)).await;
        answer.refused(503, "overloaded_error", "overloaded", true);
        assert!(answer.retry_after() >= 1);
    }
    let mut delays = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        assert_eq!(client.post_json(CHAT, &asking("m", false)).await.status, 503);
        delays.push(begun.elapsed());
    }
    delays.sort();
    // Some milliseconds, with slack for a busy machine.
    assert!(delays[10] < Duration::from_millis(50), "{delays:?}");
    for path in ["/healthz", "/readyz", "/metrics", "/admin/status", "/admin/budgets"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    assert_eq!(client.send("POST", "/admin/reload", "").await.status, 200);
    drop(streams);
    let mut status = 0;
    for _ in 0..500 {
        status = client.post_json(CHAT, &asking("m", false)).await.status.as_u16();
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status, 200, "streams that ended made no room");
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let weir = Weir::start(&config("max_body = \"256KiB\"\nmax_body_memory = \"256KiB\"")).await;
    let mut held = Line::to(weir.address()).await;
    let body = asking("m", false).to_string();
    let length = 200 * 1024;
    held.write(
        format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
    )
    .await;
    held.write(&vec![b' '; length - body.len()]).await;
    let mut large = asking("m", false);
    large["x"] = "y".repeat(150 * 1024).into();
    let client = weir.client();
    let mut last = client.post_json(CHAT, &large).await;
    for _ in 0..200 {
        if last.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        last = client.post_json(CHAT, &large).await;
    }
    last.refused(503, "overloaded_error", "overloaded", true);
    held.write(body.as_bytes()).await;
    assert_eq!(held.answer().await.unwrap().status, 200);
    assert_eq!(client.post_json(CHAT, &large).await.status, 200);
}

#[tokio::test]
async fn past_max_connections_one_more_is_told_and_closed() {
    let weir = Weir::start(&config("max_connections = 2")).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut line = Line::to(weir.address()).await;
        line.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(line.answer().await.unwrap().status, 200);
        kept.push(line);
    }
    let mut more = Line::to(weir.address()).await;
    more.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = more.answer().await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "overloaded"));
    assert!(answer.retry_after() >= 1);
    assert!(more.closes(Duration::from_secs(5)).await);
}
