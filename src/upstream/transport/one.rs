//! An HTTP/1.1 connection, driven by whoever waits for the answer that comes over it.

use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite as _;
use tokio_util::io::poll_read_buf;

use crate::openai::edit::Spliced;

use super::{
    connect::Target,
    extent::{Extent, Part},
    head::{self, Head, Unreadable},
    letter::Letter,
    wire::Wire,
};

/// How much the first read of an answer may take; where that is filled the next one may take twice as much.
const FIRST_READ: usize = 4 * 1024;
const LARGEST_READ: usize = 64 * 1024;
/// With less room than this no read is worth its call.
const LEAST_ROOM: usize = 1024;

/// A connection that carries one request at a time. It has no task of its own: nobody reads what comes over one that
/// lies idle, so whoever takes it has to ask whether it still [`is_quiet`](Self::is_quiet). Dropped, it is closed.
pub(super) struct One {
    wire: Wire,
    /// Where its peer is.
    pub(super) address: Option<IpAddr>,
    /// It has lain idle, so the peer may have closed it meanwhile.
    pub(super) reused: bool,
    /// The largest head of an answer, in bytes.
    max_head: usize,
    /// The request under way; of all parts together so many bytes are written.
    head: Vec<u8>,
    body: Spliced,
    written: usize,
    sent: bool,
    /// What came and nobody has taken yet.
    came: BytesMut,
    /// How much the next read may take.
    read_size: usize,
    /// Whether anything came since the request began.
    heard: bool,
    /// Whether it may be used again after this answer.
    keep_alive: bool,
}

/// How a connection broke before the head of an answer was whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// The peer closed it.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// What came is no head.
    Head(Unreadable),
}

impl One {
    /// A connection over which nothing has passed yet.
    pub(super) fn new(wire: Wire, address: Option<IpAddr>, max_head: usize) -> Self {
        Self {
            wire,
            address,
            reused: false,
            max_head,
            head: Vec::new(),
            body: Spliced::default(),
            written: 0,
            sent: true,
            came: BytesMut::new(),
            read_size: FIRST_READ,
            heard: false,
            keep_alive: true,
        }
    }

    /// Whether it waits for a request: its peer has neither closed it nor said anything that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        // Nobody is to be woken, and whoever asked last is not kept.
        self.came.is_empty() && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether a byte came since the request began.
    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether the answer left it fit for another request.
    pub(super) fn may_go_on(&self) -> bool {
        self.keep_alive && self.sent && self.came.is_empty()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// How the connection broke; it is of no use then.
    pub(super) async fn ask(&mut self, letter: &Letter, target: &Target) -> Result<Head, Broken> {
        self.head.clear();
        letter.write_head(target, &mut self.head);
        self.body = letter.body.clone();
        (self.written, self.sent, self.heard) = (0, false, false);
        self.read_size = FIRST_READ;
        let head = poll_fn(|cx| self.poll_head(cx)).await?;
        self.keep_alive = head.keep_alive;
        Ok(head)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        // Who refuses a request may answer before it is whole, and then close: the answer says more than the error.
        let unsent = match self.sent {
            true => None,
            false => match self.poll_send(cx) {
                Poll::Ready(Err(error)) => Some(error),
                _ => None,
            },
        };
        loop {
            let known = self.came.len();
            match (self.poll_read(cx), unsent.is_some()) {
                (Poll::Ready(Ok(1..)), _) => {}
                (Poll::Pending, false) => return Poll::Pending,
                (Poll::Ready(Ok(0)), false) => return Poll::Ready(Err(Broken::Closed)),
                (Poll::Ready(Err(error)), false) => return Poll::Ready(Err(Broken::Io(error))),
                (_, true) => return Poll::Ready(Err(unsent.map_or(Broken::Closed, Broken::Io))),
            }
            // A head that came in pieces is looked at again when a line has ended, else each byte would cost all.
            if known == 0
                || self.came.len() > self.max_head
                || memchr::memchr(b'\n', &self.came[known..]).is_some()
            {
                match head::read(&mut self.came, self.max_head) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(unreadable) => return Poll::Ready(Err(Broken::Head(unreadable))),
                }
            }
        }
    }

    /// The next piece of the answer's body; `None`: it is over.
    pub(super) fn poll_body(
        &mut self,
        extent: &mut Extent,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if !self.sent && matches!(self.poll_send(cx), Poll::Ready(Err(_))) {
            // The answer is there already: whether the peer wanted all of the request is not known.
            (self.sent, self.keep_alive) = (true, false);
        }
        loop {
            match extent.take(&mut self.came) {
                Ok(Part::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Part::Over) => return Poll::Ready(None),
                Ok(Part::Missing) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(extent.ended().err().map(Err)),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Writes what is left of the request.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = Pin::new(&mut self.wire);
        while self.written < self.head.len() + self.body.len() {
            let mut written = self.written;
            let parts = [&self.head[..], &self.body.begin, &self.body.rest].map(|part| {
                let of_part = written.min(part.len());
                written -= of_part;
                io::IoSlice::new(&part[of_part..])
            });
            let first = parts.iter().take_while(|part| part.is_empty()).count();
            let end = if self.body.rest.is_empty() { 2 } else { 3 };
            match ready!(wire.as_mut().poll_write_vectored(cx, &parts[first..end]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        ready!(wire.poll_flush(cx))?;
        self.sent = true;
        // Nothing of it is kept while the connection lies idle.
        self.body = Spliced::default();
        Poll::Ready(Ok(()))
    }

    /// Reads what has come; 0: the peer has closed its end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.came.capacity() - self.came.len() < LEAST_ROOM {
            self.came.reserve(self.read_size);
        }
        let room = self.came.capacity() - self.came.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.wire), cx, &mut self.came))?;
        self.heard |= read > 0;
        if read == room {
            self.read_size = (2 * self.read_size).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read))
    }
}
