//! One HTTP/1.1 connection on which a test writes whatever bytes it likes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{client::Answer, wire};

/// How long an answer may take before it counts as a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection; what came and was not asked for yet stays in it.
pub struct Line {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Line {
    /// Connects.
    pub async fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    /// Writes bytes; a server that has closed already takes none.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next whole answer; none if the server closes first.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = take_answer(&mut self.bytes) {
                return Some(answer);
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return None,
                Err(_) => panic!("no answer: {:?}", String::from_utf8_lossy(&self.bytes)),
            }
        }
    }

    /// Posts JSON, then waits for the answer.
    pub async fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes).await;
        self.answer().await
    }

    /// Whether the server closes within `patience` without a further byte.
    pub async fn closes(&mut self, patience: Duration) -> bool {
        let read = timeout(patience, self.stream.read_buf(&mut self.bytes)).await;
        self.bytes.is_empty() && matches!(read, Ok(Ok(0) | Err(_)))
    }
}

/// Takes one whole answer to anything but HEAD off the front of `bytes`.
fn take_answer(bytes: &mut Vec<u8>) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.trim_end().lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let status: StatusCode = status.parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    let (length, body) = if headers.contains_key("transfer-encoding") {
        wire::unchunk(&bytes[end..])?
    } else {
        let length =
            headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        (length, bytes.get(end..end + length)?.to_vec())
    };
    bytes.drain(..end + length);
    Some(Answer { status, headers, body: Bytes::from(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_off_one_by_one() {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTT".to_vec();
        let first = take_answer(&mut bytes).unwrap();
        assert_eq!((first.status.as_u16(), first.text().as_str()), (200, "ok"));
        let second = take_answer(&mut bytes).unwrap();
        assert_eq!((second.status.as_u16(), second.text().as_str()), (404, "x"));
        assert!(take_answer(&mut bytes).is_none() && bytes == b"HTT");
    }
}
