//! Requests that two servers could read differently: refused, with the connection closed.

use std::time::Duration;

use super::support::{client::exchange, line::Line, weir::Weir};

const CONFIG: &str = "[providers.sim]\nprotocol = \"sim\"\n[models.m]\nprovider = \"sim\"\n";

/// The request that a smuggler hides behind the first.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn what_two_servers_could_read_differently_is_refused() {
    let weir = Weir::start(CONFIG).await;
    let post = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";
    for (what, head) in [
        ("two lengths", "content-length: 4\r\ncontent-length: 5\r\n"),
        ("two lengths in one", "content-length: 4, 5\r\n"),
        ("a length with a sign", "content-length: +4\r\n"),
        ("a negative length", "content-length: -4\r\n"),
        ("a length in hex", "content-length: 0x4\r\n"),
        ("a length past 64 bits", "content-length: 18446744073709551617\r\n"),
        ("an empty length", "content-length:\r\n"),
        ("length, then coding", "content-length: 4\r\ntransfer-encoding: chunked\r\n"),
        ("coding, then length", "transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
        ("an unknown coding", "transfer-encoding: gzip\r\n"),
        ("chunked not last", "transfer-encoding: chunked, identity\r\n"),
        ("a misspelt coding", "transfer-encoding: xchunked\r\n"),
        ("a space before the colon", "transfer-encoding : chunked\r\n"),
        ("a folded line", "x-a: b\r\n c\r\ncontent-length: 4\r\n"),
        ("a folded length", "content-length:\r\n 4\r\n"),
        ("a zero byte", "x-a: b\0c\r\ncontent-length: 4\r\n"),
        ("a bare CR", "x-a: b\rcontent-length: 4\r\n"),
        ("no colon", "content-length 4\r\n"),
        ("an empty name", ": x\r\n"),
        ("a name with a space", "content length: 4\r\n"),
    ] {
        let request = format!("{post}{head}\r\n0\r\n\r\n{HIDDEN}");
        let answer = exchange(weir.address(), request.as_bytes(), Duration::from_secs(5)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer:?}");
        // Whatever a handler says has an id; this must not get that far.
        assert!(!answer.contains("x-request-id"), "{what}: {answer:?}");
        let mut line = Line::to(weir.address()).await;
        line.write(request.as_bytes()).await;
        assert_eq!(line.answer().await.map(|answer| answer.status.as_u16()), Some(400), "{what}");
        assert!(line.closes(Duration::from_secs(5)).await, "{what}: the connection stays open");
    }
}

#[tokio::test]
async fn a_bad_second_request_is_refused_too() {
    let weir = Weir::start(CONFIG).await;
    let first = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let second = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut line = Line::to(weir.address()).await;
    line.write(format!("{first}{second}{HIDDEN}").as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    assert_eq!(line.answer().await.unwrap().status, 400);
    assert!(line.closes(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn bad_chunks_never_reach_a_model() {
    let weir = Weir::start(CONFIG).await;
    for chunks in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
    ] {
        let mut line = Line::to(weir.address()).await;
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        line.write(format!("{head}{chunks}{HIDDEN}").as_bytes()).await;
        assert_eq!(line.answer().await.unwrap().status, 400, "{chunks:?}");
        assert!(line.closes(Duration::from_secs(5)).await, "{chunks:?}");
    }
}
