//! An open loop: so many requests a second, whether the earlier ones were answered or not.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Failure, Question,
    http::{Framing, Input, is_success},
    latency::Latencies,
};

/// How many requests may be under way at once; past it the run has failed.
const MOST: usize = 512;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Idle = Arc<Mutex<Vec<(TcpStream, Input)>>>;

/// Sends for so many seconds, then prints what the answers took. A time begins when its request is sent: the timer that sends
/// it is a millisecond coarse, and that is not the gateway's.
pub async fn run(question: Question, rate: f64, seconds: f64) -> Result<(), Failure> {
    let question = Arc::new(question);
    let idle = Idle::default();
    let mut tasks = JoinSet::new();
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    // What was missed is caught up on, so that the rate holds.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut latencies, mut failed) = (Latencies::default(), 0_u64);
    let mut count = |result: Result<u64, Failure>| match result {
        Ok(took) => latencies.add(took),
        Err(_) => failed += 1,
    };
    for number in 0..(rate * seconds) as u64 {
        ticks.tick().await;
        while let Some(done) = tasks.try_join_next() {
            count(done?);
        }
        if tasks.len() >= MOST {
            return Err("too many requests are under way: it does not keep up".into());
        }
        tasks.spawn(one(Arc::clone(&question), Arc::clone(&idle), number));
    }
    while let Some(done) = tasks.join_next().await {
        count(done?);
    }
    println!("{}", json!({ "failed": failed, "latency": latencies.told() }));
    Ok(())
}

/// Asks once. Gives the microseconds until the last byte.
async fn one(question: Arc<Question>, idle: Idle, number: u64) -> Result<u64, Failure> {
    let bytes = question.bytes(number);
    let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let (mut socket, mut input) = match kept {
        Some(kept) => kept,
        None => {
            let socket = TcpStream::connect(question.address).await?;
            socket.set_nodelay(true)?;
            (socket, Input::new(16 * 1024))
        }
    };
    let begun = Instant::now();
    tokio::time::timeout(PATIENCE, async {
        socket.write_all(&bytes).await?;
        let head = input.head(&mut socket).await?.ok_or("the connection was closed")?;
        if !is_success(input.bytes()) {
            return Err(Failure::from("no success"));
        }
        input.used(head.length);
        match head.framing {
            Framing::Sized(length) => Ok(input.skip(&mut socket, length).await?),
            Framing::Chunked => Err("an answer without a length".into()),
        }
    })
    .await??;
    let took = begun.elapsed().as_micros() as u64;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push((socket, input));
    Ok(took)
}
