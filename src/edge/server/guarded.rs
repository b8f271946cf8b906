//! A connection whose client has to send proper heads in good time.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::framing::Framing;

/// How long a client that has not sent all of its request is listened to after our last word.
const LINGER: Duration = Duration::from_secs(1);

/// How much of it is thrown away meanwhile.
const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// Gives each head a deadline, spoils heads that tell two lengths so that the parser refuses them with 400, and
/// closes gently.
///
/// Closing gently: a socket that is closed with unread bytes resets the connection, which may destroy an answer
/// under way. So an early answer (431, 413, 400) is followed by a short while of throwing away.
#[derive(Debug)]
pub struct Guarded<IO> {
    io: IO,
    framing: Framing,
    /// Whether the head that was refused has got its zero byte.
    spoiled: bool,
    head_timeout: Duration,
    /// Set while the client is waited for in the middle of a head.
    head_due: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    No,
    Lingering { until: Pin<Box<Sleep>>, left: usize },
    Done,
}

impl<IO> Guarded<IO> {
    /// Guards a connection that began `begun`.
    pub fn new(io: IO, begun: Instant, head_timeout: Duration) -> Self {
        Self {
            io,
            framing: Framing::new(),
            spoiled: false,
            head_timeout,
            // The first head is due from then, not from when it is first looked for.
            head_due: Some(Box::pin(sleep_until(begun + head_timeout))),
            closing: Closing::No,
        }
    }

    /// Whether the head took too long. Only asked while there is nothing to read: what has come in good time and
    /// lay unread is not late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.framing.in_head() {
            return Poll::Pending;
        }
        let timeout = self.head_timeout;
        let due = self.head_due.get_or_insert_with(|| Box::pin(sleep(timeout)));
        due.as_mut().poll(cx)
    }

    /// Reads along; overwrites what must not be read.
    fn inspect(&mut self, bytes: &mut [u8]) {
        let rest = if self.framing.refused() {
            bytes
        } else {
            let offset = self.framing.feed(bytes).unwrap_or(bytes.len());
            &mut bytes[offset..]
        };
        // No head may hold a zero byte. The empty lines behind it are for a parser that looks for the end of the
        // head before it looks at the head.
        rest.fill(b'\n');
        if let Some(first) = rest.first_mut().filter(|_| !self.spoiled) {
            *first = 0;
            self.spoiled = true;
        }
        if !self.framing.in_head() {
            self.head_due = None;
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.inspect(&mut buf.filled_mut()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.poll_late(cx).is_ready() => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the head of a request did not come in time",
            ))),
            other => other,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.closing {
                Closing::Done => return Poll::Ready(Ok(())),
                Closing::No => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.closing = if this.framing.in_request() {
                        Closing::Lingering { until: Box::pin(sleep(LINGER)), left: LINGER_BYTES }
                    } else {
                        Closing::Done
                    };
                }
                Closing::Lingering { until, left } => {
                    let mut scratch = [0; 8192];
                    let mut buf = ReadBuf::new(&mut scratch);
                    let read = Pin::new(&mut this.io).poll_read(cx, &mut buf);
                    if read.is_pending() {
                        ready!(until.as_mut().poll(cx));
                    }
                    let n = buf.filled().len();
                    *left = left.saturating_sub(n);
                    if n == 0 || *left == 0 || until.is_elapsed() {
                        this.closing = Closing::Done;
                    }
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_head_that_dribbles_in_is_cut_at_its_deadline() {
        let (mut client, server) = duplex(1024);
        let mut server = Guarded::new(server, Instant::now(), TIMEOUT);
        let begin = Instant::now();
        let dribble = tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let error = loop {
            if let Err(error) = server.read_u8().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 10);
        drop(server);
        dribble.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_and_in_a_body_there_is_time() {
        let (mut client, server) = duplex(1024);
        let mut server = Guarded::new(server, Instant::now(), TIMEOUT);
        let head = b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n";
        client.write_all(head).await.unwrap();
        server.read_exact(&mut vec![0; head.len()]).await.unwrap();
        assert!(tokio::time::timeout(6 * TIMEOUT, server.read_u8()).await.is_err());
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        assert!(tokio::time::timeout(6 * TIMEOUT, server.read_u8()).await.is_err());
        client.write_all(b"G").await.unwrap();
        server.read_u8().await.unwrap();
        let late = tokio::time::timeout(2 * TIMEOUT, server.read_u8()).await.unwrap();
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_head_with_two_lengths_is_spoiled_also_across_reads() {
        let (mut client, server) = duplex(1024);
        let mut server = Guarded::new(server, Instant::now(), TIMEOUT);
        let head = b"P / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut got = Vec::new();
        for _ in 0..head.len() {
            got.push(server.read_u8().await.unwrap());
        }
        let good = head.len() - b" chunked\r\n\r\n".len();
        assert_eq!(got[..good], head[..good]);
        assert_eq!(got[good], 0);
        assert!(got[good + 1..].iter().all(|&b| b == b'\n'));
    }

    #[tokio::test(start_paused = true)]
    async fn lingers_only_in_the_middle_of_a_request() {
        let (mut client, server) = duplex(64);
        let mut server = Guarded::new(server, Instant::now(), TIMEOUT);
        let begin = Instant::now();
        client.write_all(b"POST / ").await.unwrap();
        server.read_exact(&mut [0; 7]).await.unwrap();
        let more = tokio::spawn(async move {
            client.write_all(&[b'x'; 4096]).await.unwrap();
            client
        });
        server.shutdown().await.unwrap();
        assert_eq!(begin.elapsed(), LINGER);
        drop(more.await.unwrap());

        let (_client, server) = duplex(64);
        let begin = Instant::now();
        Guarded::new(server, Instant::now(), TIMEOUT).shutdown().await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
