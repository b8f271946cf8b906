//! An upstream that closes idle connections at random costs no client an error.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{openai::whole, settings::chain, transcript::CHAT, weir::Weir, wire};

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 16;

/// How often each request was answered.
type Answered = Arc<Mutex<BTreeMap<u64, usize>>>;

/// Numbers that look like chance, the same in each run.
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Answers requests; after one in three answers it closes the connection a moment later, whatever has come by then.
async fn moody(mut stream: TcpStream, mut chance: u64, answered: Answered) {
    stream.set_nodelay(true).unwrap();
    let answer = wire::json_answer(200, &whole("fine"));
    let mut bytes = Vec::new();
    loop {
        let request = loop {
            if let Some(request) = wire::take_request(&mut bytes, 0) {
                break request;
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        let number = request.json()["seed"].as_u64().unwrap();
        *answered.lock().unwrap().entry(number).or_default() += 1;
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        if draw(&mut chance).is_multiple_of(3) {
            tokio::time::sleep(Duration::from_micros(draw(&mut chance) % 4000)).await;
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_close_at_random_cost_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let answered = Answered::default();
    let book = Arc::clone(&answered);
    tokio::spawn(async move {
        let mut chance = 0x9e37_79b9_7f4a_7c15;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(moody(stream, draw(&mut chance), Arc::clone(&book)));
        }
    });
    let weir = Weir::start(&chain(&[("first", &base_url)])).await;
    let clients = (0..CLIENTS).map(|client| {
        let http = weir.client();
        tokio::spawn(async move {
            for number in (client..REQUESTS).step_by(CLIENTS) {
                let body = json!({ "model": "chain", "seed": number, "messages": [{ "role": "user", "content": "x" }] });
                let answer = http.post_json(CHAT, &body).await;
                assert_eq!(answer.status.as_u16(), 200, "request {number}: {}", answer.text());
                assert_eq!(answer.header("x-weir-attempts"), "1", "request {number}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let answered = answered.lock().unwrap();
    assert_eq!(answered.len(), REQUESTS);
    let twice: usize = answered.values().map(|times| times - 1).sum();
    assert!(twice <= REQUESTS / 1000, "{twice} requests were worked on twice");
}
