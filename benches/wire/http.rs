//! Just enough of HTTP/1.1 to send a load or answer one: cheap, so that the core beside the gateway's is no bottleneck.

use std::io;

use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// How a message goes on behind its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Sized(usize),
    Chunked,
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its bytes, with the empty line.
    pub length: usize,
    pub framing: Framing,
}

impl Head {
    /// Reads a head, if it is whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let mut framing = Framing::Sized(0);
        for line in bytes[..length].split(|&byte| byte == b'\n') {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                framing = Framing::Sized(size?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
        Some(Self { length, framing })
    }
}

/// Whether the head of an answer says success.
pub fn is_success(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.1 200 ")
}

/// What came in and was not used yet.
#[derive(Debug)]
pub struct Input {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Input {
    /// An empty one with room for so many bytes; a head has to fit.
    pub fn new(room: usize) -> Self {
        Self { buffer: vec![0; room], from: 0, to: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Drops the first `count` bytes.
    pub fn used(&mut self, count: usize) {
        self.from += count;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Waits for more bytes; false: there are none.
    pub async fn fill(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        if self.to == self.buffer.len() {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let count = socket.read(&mut self.buffer[self.to..]).await?;
        self.to += count;
        Ok(count > 0)
    }

    /// Waits for a whole head; none: the connection ended before one began.
    pub async fn head(&mut self, socket: &mut TcpStream) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::read(self.bytes()) {
                return Ok(Some(head));
            }
            let begun = !self.bytes().is_empty();
            if !self.fill(socket).await? {
                return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
        }
    }

    /// Reads so many bytes of a body over.
    pub async fn skip(&mut self, socket: &mut TcpStream, mut left: usize) -> io::Result<()> {
        loop {
            let count = left.min(self.bytes().len());
            self.used(count);
            left -= count;
            if left == 0 {
                return Ok(());
            }
            if !self.fill(socket).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Takes the frame of a chunked body off.
#[derive(Debug, Default)]
pub struct Chunks {
    /// What is left of the chunk, its line end included.
    left: usize,
    line: Vec<u8>,
    last: bool,
}

impl Chunks {
    /// Takes bytes, hands what is in chunks to `content`. Gives how many bytes were taken, and whether the body is over.
    pub fn feed(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let count = self.left.min(bytes.len() - at);
                let inside = count.min(self.left.saturating_sub(2));
                content(&bytes[at..at + inside]);
                (self.left, at) = (self.left - count, at + count);
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match byte {
                b'\n' if self.last && self.line.is_empty() => {
                    *self = Self::default();
                    return (at, true);
                }
                b'\n' if self.last => self.line.clear(),
                b'\n' => {
                    let size = std::str::from_utf8(&self.line).ok();
                    let size = size.and_then(|text| usize::from_str_radix(text, 16).ok()).unwrap_or(0);
                    self.line.clear();
                    self.last = size == 0;
                    self.left = if self.last { 0 } else { size + 2 };
                }
                b'\r' => {}
                _ => self.line.push(byte),
            }
        }
        (at, false)
    }
}
