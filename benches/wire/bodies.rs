//! A closed loop for large bodies: each connection asks again as soon as it is answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use super::{
    Failure, Question,
    http::{Framing, Input, is_success},
    latency::Latencies,
};

/// Asks for so many seconds, then prints how many were answered and what they took.
pub async fn run(question: Question, connections: u64, seconds: f64) -> Result<(), Failure> {
    let question = Arc::new(question);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for at in 0..connections {
        tasks.spawn(connection(Arc::clone(&question), until, at * 1_000_000));
    }
    let mut latencies = Latencies::default();
    while let Some(done) = tasks.join_next().await {
        latencies.join(done??);
    }
    println!("{}", json!({ "failed": 0, "latency": latencies.told() }));
    Ok(())
}

async fn connection(question: Arc<Question>, until: Instant, mut number: u64) -> Result<Latencies, Failure> {
    let mut socket = TcpStream::connect(question.address).await?;
    socket.set_nodelay(true)?;
    let (mut input, mut latencies) = (Input::new(16 * 1024), Latencies::default());
    while Instant::now() < until {
        let bytes = question.bytes(number);
        number += 1;
        let begun = Instant::now();
        socket.write_all(&bytes).await?;
        let head = input.head(&mut socket).await?.ok_or("the connection was closed")?;
        if !is_success(input.bytes()) {
            return Err(String::from_utf8_lossy(input.bytes()).into_owned().into());
        }
        input.used(head.length);
        match head.framing {
            Framing::Sized(length) => input.skip(&mut socket, length).await?,
            Framing::Chunked => return Err("an answer without a length".into()),
        }
        latencies.add(begun.elapsed().as_micros() as u64);
    }
    Ok(latencies)
}
