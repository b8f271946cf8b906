//! The provider on a socket.

use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;

async fn served() -> (std::net::SocketAddr, Sim, tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>)
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let sim = sim();
    let task = tokio::spawn(serve(listener, sim.clone(), stopped));
    (address, sim, stop, task)
}

async fn over_http2(
    address: std::net::SocketAddr,
    requests: Vec<Request<Full<Bytes>>>,
) -> Vec<Response<Incoming>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for request in requests {
        responses.push(send.send_request(request).await.unwrap());
    }
    responses
}

/// Sends text over a socket and reads until the end or an error.
async fn over_socket(address: std::net::SocketAddr, request: &str) -> (String, std::io::Result<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.unwrap();
    (String::from_utf8(bytes).unwrap(), end.map(drop))
}

fn raw(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn both_versions_of_http_are_served_and_controlled() {
    let (address, sim, stop, task) = served().await;
    let (text, end) =
        over_socket(address, &raw("POST", "/v1/chat/completions", &chat_body(json!({ "stream": true }))))
            .await;
    assert!(end.is_ok() && text.starts_with("HTTP/1.1 200") && text.contains("[DONE]"));
    let to = |path: &str| format!("http://{address}{path}");
    let order = post(&to("/sim/control"), &json!({ "fault": "status=503", "model": "sim-small" }));
    let asks = vec![
        order,
        post(&to("/v1/chat/completions"), &chat_body(json!({}))),
        post(&to("/sim/control"), &json!({ "fault": "x" })),
    ];
    let statuses: Vec<u16> =
        over_http2(address, asks).await.iter().map(|response| response.status().as_u16()).collect();
    assert_eq!(statuses, [200, 503, 400]);
    let (text, _) = over_socket(address, &raw("DELETE", "/sim/control", &json!({}))).await;
    assert!(text.contains(r#"{"orders":[{}]}"#));
    let (text, _) = over_socket(address, &raw("GET", "/sim/log", &json!({}))).await;
    assert!(text.contains(r#""fault":"status=503""#) && text.contains("Explain ownership"));
    let (text, _) = over_socket(address, &raw("GET", "/sim/stats", &json!({}))).await;
    assert!(text.contains(r#""requests":2"#), "{text}");
    let (_, end) = over_socket(address, &raw("DELETE", "/sim/log", &json!({}))).await;
    end.unwrap();
    assert!(sim.log().is_empty());
    stop.send(()).unwrap();
    timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_break_resets_the_connection_after_what_came_before() {
    let (address, _, _stop, _task) = served().await;
    let (text, end) =
        over_socket(address, &raw("POST", "/v1/chat/completions", &chat_body(json!({ "model": "m?reset" }))))
            .await;
    assert_eq!((text.as_str(), end.unwrap_err().kind()), ("", std::io::ErrorKind::ConnectionReset));
    let body = chat_body(json!({ "model": "m?reset-after=2", "stream": true }));
    let (text, end) = over_socket(address, &raw("POST", "/v1/chat/completions", &body)).await;
    assert_eq!(text.matches("\"delta\":{\"content\"").count(), 2);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let ask = post(&format!("http://{address}/v1/chat/completions"), &body);
    let response = over_http2(address, vec![ask]).await.pop().unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_a_socket_is_noticed() {
    let (address, sim, _stop, _task) = served().await;
    for body in [json!({ "model": "m?hang" }), json!({ "model": "m?hang-after=1", "stream": true })] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(raw("POST", "/v1/chat/completions", &chat_body(body)).as_bytes()).await.unwrap();
        wait_for(|| sim.stats().open_requests == 1).await;
        drop(stream);
        wait_for(|| sim.stats().open_requests == 0).await;
        assert_eq!(sim.log().pop().unwrap().finished, Finished::ClientLeft);
    }
    wait_for(|| sim.stats().connections == 0).await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to be");
}
