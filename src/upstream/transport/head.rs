//! The head of an HTTP/1.1 answer, read from the bytes that came.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::extent::Extent;

/// The most lines that a head may have.
const MAX_LINES: usize = 100;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    /// Status and headers, with the length of the body.
    pub(super) response: Response<Extent>,
    /// Whether the connection may be used again.
    pub(super) keep_alive: bool,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is longer than it may be.
    TooLarge,
    /// It is not HTTP: what is wrong with it.
    Malformed(&'static str),
}

/// Where a line stands in a head: its name, its value.
type Place = [(usize, usize); 2];

/// A head, as far as it is known before it is taken out of what came.
struct Parsed {
    length: usize,
    status: StatusCode,
    /// Whether it is of HTTP/1.1.
    newer: bool,
    places: Vec<Place>,
}

/// Takes the head of an answer from the front of what came; `None`: it is not whole yet. Heads that only announce the
/// answer (1xx) are passed over.
pub(super) fn read(came: &mut BytesMut, most: usize) -> Result<Option<Head>, Unreadable> {
    while !came.is_empty() {
        let Some(Parsed { length, status, newer, places }) = parse(came)? else {
            return if came.len() > most { Err(Unreadable::TooLarge) } else { Ok(None) };
        };
        if length > most {
            return Err(Unreadable::TooLarge);
        }
        let bytes = came.split_to(length).freeze();
        // 101 is no announcement: the connection would speak something else from there on.
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return head(&bytes, status, newer, &places).map(Some);
        }
    }
    Ok(None)
}

fn parse(came: &[u8]) -> Result<Option<Parsed>, Unreadable> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, came, &mut room);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Unreadable::of(error)),
    };
    let start = came.as_ptr() as usize;
    let place = |part: &[u8]| {
        let from = part.as_ptr() as usize - start;
        (from, from + part.len())
    };
    let lines = answer.headers.iter().map(|line| {
        // An empty value may stand anywhere.
        let value = if line.value.is_empty() { (0, 0) } else { place(line.value) };
        [place(line.name.as_bytes()), value]
    });
    let places = lines.collect();
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Unreadable::Malformed("invalid HTTP status-code parsed"))?;
    Ok(Some(Parsed { length, status, newer: answer.version == Some(1), places }))
}

fn head(bytes: &Bytes, status: StatusCode, newer: bool, places: &[Place]) -> Result<Head, Unreadable> {
    let mut headers = HeaderMap::with_capacity(places.len());
    let mut connection = false;
    for [name, value] in places {
        let name = HeaderName::from_bytes(&bytes[name.0..name.1]);
        let value = HeaderValue::from_maybe_shared(bytes.slice(value.0..value.1));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Unreadable::Malformed("invalid HTTP header parsed"));
        };
        connection |= name == CONNECTION;
        headers.append(name, value);
    }
    let mut keep_alive = newer;
    if connection {
        let has = |wanted| tokens(&headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(wanted));
        keep_alive = !has("close") && (newer || has("keep-alive"));
    }
    let extent = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Extent::Length(0),
        StatusCode::SWITCHING_PROTOCOLS => {
            keep_alive = false;
            Extent::Length(0)
        }
        _ => extent(&headers, newer)?,
    };
    // Whoever sends both leaves it open where the next answer begins.
    let both = matches!(extent, Extent::Chunked(_)) && headers.contains_key(CONTENT_LENGTH);
    keep_alive &= !both && !matches!(extent, Extent::ToTheEnd);
    let mut response = Response::new(extent);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Head { response, keep_alive })
}

/// How long the body is (RFC 9112, section 6.3).
fn extent(headers: &HeaderMap, newer: bool) -> Result<Extent, Unreadable> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return match tokens(headers, &TRANSFER_ENCODING).last() {
            _ if !newer => Err(Unreadable::Malformed("unexpected transfer-encoding parsed")),
            Some(last) if last.eq_ignore_ascii_case("chunked") => Ok(Extent::chunked()),
            _ => Ok(Extent::ToTheEnd),
        };
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for number in value.as_bytes().split(|byte| *byte == b',') {
            match digits(number.trim_ascii()) {
                Some(number) if length.is_none_or(|known| known == number) => length = Some(number),
                _ => return Err(Unreadable::Malformed("invalid content-length parsed")),
            }
        }
    }
    Ok(length.map_or(Extent::ToTheEnd, Extent::Length))
}

/// The tokens of all lines with a name. What is no text has none that anybody looks for.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|value| value.to_str().unwrap_or_default().split(',')).map(str::trim)
}

/// A number without a sign.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

impl Unreadable {
    fn of(error: httparse::Error) -> Self {
        use httparse::Error::{HeaderName, HeaderValue, NewLine, Status, Token, TooManyHeaders, Version};
        match error {
            TooManyHeaders => Self::TooLarge,
            Status => Self::Malformed("invalid HTTP status-code parsed"),
            Version => Self::Malformed("invalid HTTP version parsed"),
            HeaderName | HeaderValue | NewLine | Token => Self::Malformed("invalid HTTP header parsed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Result<Option<Head>, Unreadable> {
        read(&mut BytesMut::from(text), 1000)
    }

    fn extent_of(lines: &str) -> Extent {
        one(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).unwrap().unwrap().response.into_body()
    }

    #[test]
    fn a_head_is_found_at_every_split() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n\
                    HTTP/1.1 429 Slow Down\r\nretry-after: 7\r\nX-Empty:\r\ncontent-length: 2\r\n\r\nno";
        for split in 0..text.len() - 2 {
            let mut came = BytesMut::from(&text[..split]);
            assert!(read(&mut came, 1000).unwrap().is_none(), "{split}");
            came.extend_from_slice(&text.as_bytes()[split..]);
            let Head { response, keep_alive } = read(&mut came, 1000).unwrap().unwrap();
            assert_eq!((response.status().as_u16(), &came[..], keep_alive), (429, &b"no"[..], true));
            assert_eq!(
                (&response.headers()["retry-after"], &response.headers()["x-empty"]),
                (&"7".parse().unwrap(), &"".parse().unwrap())
            );
            assert_eq!(*response.body(), Extent::Length(2));
        }
    }

    #[test]
    fn the_length_is_never_guessed() {
        assert_eq!(extent_of("content-length: 5, 5\r\ncontent-length: 5\r\n"), Extent::Length(5));
        assert_eq!(
            extent_of("transfer-encoding: gzip\r\ntransfer-encoding: x, Chunked\r\n"),
            Extent::chunked()
        );
        assert_eq!(extent_of("transfer-encoding: chunked, gzip\r\ncontent-length: 5\r\n"), Extent::ToTheEnd);
        assert_eq!(extent_of(""), Extent::ToTheEnd);
        for lines in ["5, 6", "+5", "-5", "5 5", "", "99999999999999999999"] {
            let refused = one(&format!("HTTP/1.1 200 OK\r\ncontent-length: {lines}\r\n\r\n")).unwrap_err();
            assert_eq!(refused, Unreadable::Malformed("invalid content-length parsed"), "{lines}");
        }
        assert!(one("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        for status in [204, 304] {
            let head = one(&format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\n")).unwrap().unwrap();
            assert_eq!(*head.response.body(), Extent::Length(0));
        }
    }

    #[test]
    fn a_connection_is_kept_only_where_that_is_sure() {
        let keeps =
            |start: &str, lines: &str| one(&format!("{start}\r\n{lines}\r\n")).unwrap().unwrap().keep_alive;
        let (newer, older) = ("HTTP/1.1 200 OK", "HTTP/1.0 200 OK");
        assert!(keeps(newer, "content-length: 1\r\n") && keeps(newer, "transfer-encoding: chunked\r\n"));
        assert!(keeps(older, "connection: Keep-Alive\r\ncontent-length: 1\r\n"));
        assert!(!keeps(older, "content-length: 1\r\n"));
        assert!(!keeps(newer, "connection: keep-alive\r\nconnection: x, Close\r\ncontent-length: 1\r\n"));
        assert!(!keeps(newer, ""), "it ends with the body");
        assert!(!keeps(newer, "transfer-encoding: chunked\r\ncontent-length: 1\r\n"));
        assert!(!keeps("HTTP/1.1 101 Switching Protocols", "upgrade: x\r\n"));
    }

    #[test]
    fn what_is_too_large_or_no_http_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "a".repeat(1000));
        assert_eq!(one(&long).unwrap_err(), Unreadable::TooLarge);
        assert_eq!(one(&format!("{long}\r\n")).unwrap_err(), Unreadable::TooLarge);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
        assert_eq!(one(&many).unwrap_err(), Unreadable::TooLarge);
        for text in
            ["\0", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n"]
        {
            assert!(matches!(one(text), Err(Unreadable::Malformed(_))), "{text:?}");
        }
        assert!(one("HTTP/1.1 99 x\r\n\r\n").is_err() && one("").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_reason_to_panic(
            noise in prop::collection::vec(any::<u8>(), 0..80),
            lines in "([a-zA-Z-]{1,20}:[ -~]{0,20}\r?\n){0,6}\r?\n?",
        ) {
            let _ = read(&mut BytesMut::from(&noise[..]), 60);
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend(lines.as_bytes());
            head.extend(noise);
            let _ = read(&mut BytesMut::from(&head[..]), 1000);
        }
    }
}
