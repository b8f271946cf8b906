//! The byte stream under a connection, watched.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::client::TlsStream;

/// A TCP stream, bare or under TLS.
pub(super) enum Socket {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// What passed over one connection.
///
/// Bytes are counted above TLS, so that an alert or a session ticket does not look like an answer.
#[derive(Debug)]
pub(super) struct Traffic {
    read: AtomicU64,
    open: Arc<AtomicUsize>,
}

impl Traffic {
    /// The number of bytes that the peer has sent.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }
}

/// A socket that counts what it reads; dropping it counts the connection as closed.
pub(super) struct Wire {
    socket: Socket,
    traffic: Arc<Traffic>,
    greeting: Option<Greeting>,
}

impl Wire {
    /// Watches `socket`; `open` is the gauge of open connections.
    pub(super) fn new(socket: Socket, open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        let traffic = Arc::new(Traffic { read: AtomicU64::new(0), open: open.clone() });
        Self { socket, traffic, greeting: None }
    }

    /// The counters, which outlive the wire.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// Reports the peer's HTTP/2 greeting once it has come: how many streams it allows, or that it speaks something else.
    pub(super) fn expect_greeting(&mut self) -> oneshot::Receiver<Greeted> {
        let (report, heard) = oneshot::channel();
        self.greeting = Some(Greeting { seen: Vec::with_capacity(64), report });
        heard
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.traffic.read.fetch_add(bytes.len() as u64, Ordering::Release);
        if let Some(mut greeting) = self.greeting.take() {
            match greeting.feed(bytes) {
                // The one who asked may have given up waiting.
                Some(greeted) => drop(greeting.report.send(greeted)),
                None => self.greeting = Some(greeting),
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.traffic.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a peer opened an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeted {
    /// With its settings: so many streams may be open at once.
    Streams(usize),
    /// With something that is not HTTP/2.
    Stranger,
}

/// The beginning of what an HTTP/2 peer sends, read along for `SETTINGS_MAX_CONCURRENT_STREAMS`.
///
/// hyper applies that setting by queueing streams inside the connection; we have to know it to open another one instead.
struct Greeting {
    seen: Vec<u8>,
    report: oneshot::Sender<Greeted>,
}

impl Greeting {
    /// A frame begins with 3 bytes of length, 1 of type, 1 of flags, 4 of stream id (RFC 9113, section 4.1).
    const HEAD: usize = 9;
    /// `SETTINGS`, which has to be the first frame.
    const SETTINGS: u8 = 0x4;
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    /// Longer settings are not searched: there are fewer than 20 known ones of 6 bytes each.
    const LONGEST: usize = Self::HEAD + 6 * 100;

    fn feed(&mut self, bytes: &[u8]) -> Option<Greeted> {
        let room = Self::LONGEST - self.seen.len();
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.seen.get(3).is_some_and(|kind| *kind != Self::SETTINGS) {
            return Some(Greeted::Stranger);
        }
        let head = self.seen.get(..Self::HEAD)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if length % 6 != 0 {
            return Some(Greeted::Stranger);
        }
        if Self::HEAD + length > Self::LONGEST {
            return Some(Greeted::Streams(usize::MAX));
        }
        let settings = self.seen.get(Self::HEAD..Self::HEAD + length)?;
        let streams = settings
            .chunks_exact(6)
            .filter(|setting| setting[..2] == Self::MAX_CONCURRENT_STREAMS)
            .map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]) as usize)
            .next_back();
        Some(Greeted::Streams(streams.unwrap_or(usize::MAX)))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.heard(bytes);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Secure(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Secure(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(chunks: &[&[u8]]) -> Option<Greeted> {
        let (report, _heard) = oneshot::channel();
        let mut greeting = Greeting { seen: Vec::new(), report };
        chunks.iter().find_map(|chunk| greeting.feed(chunk))
    }

    #[test]
    fn the_limit_is_found_at_every_split() {
        let mut frame = vec![0, 0, 12, 4, 0, 0, 0, 0, 0];
        frame.extend([0, 4, 0, 1, 0, 0]);
        frame.extend([0, 3, 0, 0, 0, 10]);
        for split in 0..=frame.len() {
            let (left, right) = frame.split_at(split);
            assert_eq!(feed(&[left, right]), Some(Greeted::Streams(10)), "split at {split}");
        }
        assert_eq!(feed(&[&frame[..frame.len() - 1]]), None);
    }

    #[test]
    fn no_limit_and_no_http2() {
        assert_eq!(feed(&[&[0, 0, 0, 4, 0, 0, 0, 0, 0]]), Some(Greeted::Streams(usize::MAX)));
        assert_eq!(feed(&[b"HTTP/1.1 400 Bad Request"]), Some(Greeted::Stranger));
        assert_eq!(
            feed(&[&[0, 255, 255, 4, 0, 0, 0, 0, 0], &[0; 4000]]),
            Some(Greeted::Stranger),
            "65535 is no multiple of 6"
        );
        assert_eq!(feed(&[&[0, 60, 0, 4, 0, 0, 0, 0, 0]]), Some(Greeted::Streams(usize::MAX)));
    }
}
