//! A connection that is given up when its client leaves it unread.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Fails a write that made no progress for the timeout.
#[derive(Debug)]
pub struct IdleWrite<IO> {
    io: IO,
    timeout: Duration,
    /// Made at the first wait, then used again.
    timer: Option<Pin<Box<Sleep>>>,
    waits: Waits,
}

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Not,
    /// For room to write.
    Write,
    /// For a flush or the end.
    Flush,
}

impl<IO> IdleWrite<IO> {
    /// Watches a connection.
    pub fn new(io: IO, timeout: Duration) -> Self {
        Self { io, timeout, timer: None, waits: Waits::Not }
    }

    fn watch<T>(
        &mut self,
        kind: Waits,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            // A socket's flush does nothing, so it ends no wait for room to write.
            if self.waits == kind || kind == Waits::Write {
                self.waits = Waits::Not;
            }
            return outcome;
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if self.waits == Waits::Not {
            timer.as_mut().reset(Instant::now() + timeout);
            self.waits = kind;
        }
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client left the answer unread")))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for IdleWrite<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for IdleWrite<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        this.watch(Waits::Write, outcome, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        this.watch(Waits::Flush, outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
        this.watch(Waits::Flush, outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.watch(Waits::Write, outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_a_client_that_does_not_read() {
        let (_client, server) = duplex(16);
        let mut server = IdleWrite::new(server, TIMEOUT);
        let begin = Instant::now();
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_served() {
        let (mut client, server) = duplex(16);
        let mut server = IdleWrite::new(server, TIMEOUT);
        let reader = tokio::spawn(async move {
            let mut got = 0;
            while got < 64 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                got += client.read(&mut [0; 16]).await.unwrap();
            }
        });
        server.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_ours_is_not_the_clients() {
        let (mut client, server) = duplex(16);
        let mut server = IdleWrite::new(server, TIMEOUT);
        for _ in 0..3 {
            let reader = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(40)).await;
                client.read_exact(&mut [0; 32]).await.unwrap();
                client
            });
            server.write_all(&[0; 32]).await.unwrap();
            client = reader.await.unwrap();
            tokio::time::sleep(2 * TIMEOUT).await;
        }
    }
}
