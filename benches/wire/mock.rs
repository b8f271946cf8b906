//! A mock upstream: answers every POST at once, or with a stream at the pace that its path names.

use std::{fmt::Write as _, io, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
    time::{MissedTickBehavior, interval},
};

use super::{
    Failure,
    answers::Format,
    http::{Framing, Input},
};

/// A stream's words and how many of them come in a second.
#[derive(Clone, Copy, Debug)]
struct Pace {
    words: usize,
    each: Duration,
}

impl Pace {
    /// What `/pace/WORDS/MILLISECONDS/...` says.
    fn of(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/pace/")?.split('/');
        let words = parts.next()?.parse().ok()?;
        let each = Duration::from_millis(parts.next()?.parse::<u64>().ok()?.max(1));
        Some(Self { words, each })
    }
}

/// Listens where it is to, with room for many at once.
pub fn listen(address: &str) -> Result<TcpListener, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.parse()?)?;
    Ok(socket.listen(4096)?)
}

/// Serves until it is killed.
pub async fn serve(address: &str) -> Result<(), Failure> {
    let listener = listen(address)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(connection(socket));
    }
}

async fn connection(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut input = Input::new(64 * 1024);
    let whole = [Format::OpenAi, Format::Anthropic, Format::Gemini].map(Format::whole);
    while let Some(head) = input.head(&mut socket).await? {
        let line = input.bytes().split(|&byte| byte == b'\r').next().unwrap_or_default();
        let path = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let (format, pace) = (Format::of(path), Pace::of(path));
        input.used(head.length);
        match head.framing {
            Framing::Sized(length) => input.skip(&mut socket, length).await?,
            Framing::Chunked => skip_chunks(&mut input, &mut socket).await?,
        }
        match pace {
            None => socket.write_all(&whole[format as usize]).await?,
            Some(pace) => speak(&mut socket, format, pace).await?,
        }
    }
    Ok(())
}

async fn skip_chunks(input: &mut Input, socket: &mut TcpStream) -> io::Result<()> {
    let mut chunks = super::http::Chunks::default();
    loop {
        let (taken, over) = chunks.feed(input.bytes(), |_| {});
        input.used(taken);
        if over {
            return Ok(());
        }
        if !input.fill(socket).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// One stream. The first word comes at once, each of the others as a write of its own.
async fn speak(socket: &mut TcpStream, format: Format, pace: Pace) -> io::Result<()> {
    let mut text = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    chunk(&mut text, format.opening());
    let mut ticks = interval(pace.each);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..pace.words {
        ticks.tick().await;
        chunk(&mut text, &format.word());
        socket.write_all(text.as_bytes()).await?;
        text.clear();
    }
    chunk(&mut text, format.closing());
    text.push_str("0\r\n\r\n");
    socket.write_all(text.as_bytes()).await
}

fn chunk(text: &mut String, content: &str) {
    if !content.is_empty() {
        // Writing to a text does not fail.
        let _ = write!(text, "{:x}\r\n{content}\r\n", content.len());
    }
}
