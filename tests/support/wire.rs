//! HTTP/1.1 as plain bytes: requests taken apart, answers put together.

use std::time::Instant;

use serde_json::Value;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// Which of the upstream's connections, counted from 0.
    pub connection: usize,
    /// When its last byte was here.
    pub at: Instant,
    /// Request line with header lines, as sent.
    pub head: String,
    /// The body as sent, chunk lines included.
    pub raw_body: Vec<u8>,
    /// The body without chunk lines.
    pub body: Vec<u8>,
}

impl RawRequest {
    /// The first line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// A header's value, where it is present.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

/// Takes one whole request off the front of `bytes`, if it is all there.
pub fn take_request(bytes: &mut Vec<u8>, connection: usize) -> Option<RawRequest> {
    let head_end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let chunked = header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let (length, body) = if chunked {
        unchunk(&bytes[head_end..])?
    } else {
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        let body = bytes.get(head_end..head_end + length)?;
        (length, body.to_vec())
    };
    let raw_body = bytes[head_end..head_end + length].to_vec();
    bytes.drain(..head_end + length);
    Some(RawRequest { connection, at: Instant::now(), head, raw_body, body })
}

/// The length on the wire and the content of a complete chunked body; trailers are not read.
pub fn unchunk(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let line_end = at + find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..line_end]).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let start = line_end + 2;
        body.extend_from_slice(bytes.get(start..start + size)?);
        bytes.get(start + size..start + size + 2)?;
        at = start + size + 2;
        if size == 0 {
            return Some((at, body));
        }
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// A whole answer with a JSON body.
pub fn json_answer(status: u16, body: &str) -> Vec<u8> {
    answer(status, &[("content-type", "application/json")], body.as_bytes())
}

/// A whole answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut bytes = head(status, &[headers, &[("content-length", &length)]].concat());
    bytes.extend_from_slice(body);
    bytes
}

/// The head of an answer whose body is a chunked event stream.
pub fn sse_head() -> Vec<u8> {
    head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
}

/// The head of an answer.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// One chunk of a chunked body.
pub fn chunk(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = format!("{:x}\r\n", content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The end of a chunked body.
pub fn last_chunk() -> Vec<u8> {
    b"0\r\n\r\n".to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_off_one_by_one() {
        let mut bytes = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\n".to_vec();
        let first = take_request(&mut bytes, 7).unwrap();
        assert_eq!((first.line(), first.body.as_slice()), ("POST /a HTTP/1.1", b"abc".as_slice()));
        assert!(take_request(&mut bytes, 7).is_none());
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n");
        let second = take_request(&mut bytes, 7).unwrap();
        assert_eq!((second.body.as_slice(), bytes.len()), (b"def".as_slice(), 0));
    }
}
