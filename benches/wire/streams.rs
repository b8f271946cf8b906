//! Many streams at once: how soon the first word comes, how late each, whether all do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::sleep};

use super::{
    Failure, Question,
    answers::stamp,
    http::{Chunks, Framing, Input, is_success},
    latency::Latencies,
};

/// The digits of a stamp.
const DIGITS: usize = 16;

/// How many questions one connection may ask before another's numbers come; all numbers have eight digits.
const QUESTIONS: u64 = 10_000;

/// What was seen on the connections.
#[derive(Debug, Default)]
struct Seen {
    streams: u64,
    events: u64,
    /// Words that never came, of streams that ended.
    lost: u64,
    /// Streams that ended without their `[DONE]`, or not at all.
    broken: u64,
    first: Latencies,
    late: Latencies,
}

/// Keeps so many streams open for so many seconds, each of so many words, then prints what was seen. The connections begin over a second, so that
/// their words do not come all at once.
pub async fn run(question: Question, streams: u64, seconds: f64, events: u64) -> Result<(), Failure> {
    let question = Arc::new(question);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for at in 0..streams {
        let question = Arc::clone(&question);
        let wait = Duration::from_secs_f64(at as f64 / streams as f64);
        tasks.spawn(async move {
            sleep(wait).await;
            let mut seen = Seen::default();
            if connection(&question, until, at * QUESTIONS, events, &mut seen).await.is_err() {
                seen.broken += 1;
            }
            seen
        });
    }
    let mut all = Seen::default();
    while let Some(done) = tasks.join_next().await {
        let seen = done?;
        all.streams += seen.streams;
        all.events += seen.events;
        all.lost += seen.lost;
        all.broken += seen.broken;
        all.first.join(seen.first);
        all.late.join(seen.late);
    }
    let told = json!({
        "streams": all.streams, "events": all.events, "lost": all.lost, "broken": all.broken,
        "first": all.first.told(), "late": all.late.told(),
    });
    println!("{told}");
    Ok(())
}

async fn connection(
    question: &Question,
    until: Instant,
    mut number: u64,
    events: u64,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let mut socket = TcpStream::connect(question.address).await?;
    socket.set_nodelay(true)?;
    let mut input = Input::new(8 * 1024);
    while Instant::now() < until {
        number += 1;
        let begun = Instant::now();
        socket.write_all(&question.bytes(number)).await?;
        let head = input.head(&mut socket).await?.ok_or("the connection was closed")?;
        if !is_success(input.bytes()) || head.framing != Framing::Chunked {
            return Err("no stream".into());
        }
        input.used(head.length);
        let mut words = Words::default();
        let mut chunks = Chunks::default();
        loop {
            let first = words.count == 0;
            let (taken, over) = chunks.feed(input.bytes(), |content| words.read(content, &mut seen.late));
            input.used(taken);
            if first && words.count > 0 {
                seen.first.add(begun.elapsed().as_micros() as u64);
            }
            if over {
                break;
            }
            if !input.fill(&mut socket).await? {
                return Err("the stream broke off".into());
            }
        }
        seen.streams += 1;
        seen.events += words.count;
        seen.lost += events.saturating_sub(words.count);
        seen.broken += u64::from(!words.done);
    }
    Ok(())
}

/// Finds stamps and the end in what comes, however it is cut.
#[derive(Debug, Default)]
struct Words {
    count: u64,
    done: bool,
    /// The digits seen behind an `@`.
    digits: Option<(usize, u64)>,
    /// How much of `[DONE]` was seen.
    matched: usize,
}

const DONE: &[u8] = b"[DONE]";

impl Words {
    fn read(&mut self, content: &[u8], late: &mut Latencies) {
        for &byte in content {
            self.matched = match byte {
                _ if byte == DONE[self.matched] => self.matched + 1,
                b'[' => 1,
                _ => 0,
            };
            if self.matched == DONE.len() {
                (self.done, self.matched) = (true, 0);
            }
            self.digits = match (self.digits, byte) {
                (_, b'@') => Some((0, 0)),
                (Some((count, value)), b'0'..=b'9') if count < DIGITS => {
                    Some((count + 1, value * 10 + u64::from(byte - b'0')))
                }
                _ => None,
            };
            if let Some((DIGITS, said)) = self.digits {
                self.count += 1;
                late.add(stamp().saturating_sub(said));
                self.digits = None;
            }
        }
    }
}
