//! Follows how an HTTP/1 connection is cut into requests.
//!
//! The HTTP library reads the same bytes and decides everything else; this reader exists for two facts that it
//! does not tell. A request with both `content-length` and `transfer-encoding` is a smuggler's tool (RFC 9112,
//! section 6.1), which the library would quietly mend. And only who knows that a head has begun can give it a
//! deadline of its own, apart from the time a kept connection may be idle.

/// What an HTTP/2 connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";

/// Room for the longer of the two names and one byte more, so that longer names differ.
const NAME_ROOM: usize = ENCODING.len() + 1;

/// Where in a connection the reader stands.
#[derive(Debug)]
enum Place {
    /// At the very beginning, with so many bytes of the HTTP/2 preface.
    Opening(usize),
    /// Before or in a request line.
    RequestLine { begun: bool },
    /// In a header's name, or at the empty line.
    Name { text: [u8; NAME_ROOM], length: usize },
    /// In a header's value.
    Value { is_length: bool },
    /// In a body with so many bytes left.
    Body(u64),
    /// In the line with a chunk's size; `digits`: before an extension.
    ChunkSize { size: u64, digits: bool },
    /// In a chunk with so many bytes left, its line end included.
    Chunk(u64),
    /// In the lines behind the last chunk.
    Trailer { empty: bool },
    /// Where nothing is followed any more: it is HTTP/2.
    Off,
}

const NAME: Place = Place::Name { text: [0; NAME_ROOM], length: 0 };

/// Reads along with an HTTP/1 connection.
#[derive(Debug)]
pub struct Framing {
    place: Place,
    /// What the head so far says of its body.
    length: Option<u64>,
    chunked: bool,
    refused: bool,
}

impl Framing {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self { place: Place::Opening(0), length: None, chunked: false, refused: false }
    }

    /// Reads on. `Some(offset)`: with the bytes before `offset` the head holds both `content-length` and
    /// `transfer-encoding`, and what follows is not to be trusted. Nothing is followed from then on.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.refused {
            at += self.step(&bytes[at..]);
        }
        self.refused.then_some(at)
    }

    /// Whether a head is due or under way: the first one from the start, a later one from its first byte.
    pub fn in_head(&self) -> bool {
        matches!(
            self.place,
            Place::Opening(_) | Place::RequestLine { begun: true } | Place::Name { .. } | Place::Value { .. }
        )
    }

    /// Whether the client is in the middle of a request, so that more of it is to come or was left unread.
    pub fn in_request(&self) -> bool {
        self.refused
            || !matches!(self.place, Place::Opening(0) | Place::RequestLine { begun: false } | Place::Off)
    }

    /// Whether the head was refused.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Reads at least one byte, returns how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.place {
            Place::Off => bytes.len(),
            Place::Body(left) => {
                let n = skip(left, bytes);
                if *left == 0 {
                    self.place = Place::RequestLine { begun: false };
                }
                n
            }
            Place::Chunk(left) => {
                let n = skip(left, bytes);
                if *left == 0 {
                    self.place = Place::ChunkSize { size: 0, digits: true };
                }
                n
            }
            Place::Value { is_length: false } | Place::RequestLine { begun: true } => {
                let end = memchr::memchr(b'\n', bytes);
                if end.is_some() {
                    self.place = NAME;
                }
                end.map_or(bytes.len(), |end| end + 1)
            }
            Place::Name { length: 0, .. } => self.name(bytes),
            _ => {
                self.byte(bytes[0]);
                1
            }
        }
    }

    /// Reads at the beginning of a name: all of it where it is whole and plain, as it nearly always is, else one byte.
    fn name(&mut self, bytes: &[u8]) -> usize {
        match memchr::memchr3(b':', b'\n', b'\r', bytes) {
            Some(end) if bytes[end] == b':' => {
                self.named(&bytes[..end]);
                end + 1
            }
            _ => {
                self.byte(bytes[0]);
                1
            }
        }
    }

    fn byte(&mut self, b: u8) {
        match &mut self.place {
            Place::Opening(matched) => {
                if b == PREFACE[*matched] {
                    *matched += 1;
                    if *matched == PREFACE.len() {
                        self.place = Place::Off;
                    }
                } else {
                    let begun = *matched > 0;
                    self.place = Place::RequestLine { begun };
                    self.byte(b);
                }
            }
            Place::RequestLine { begun } => match b {
                b'\n' if *begun => self.place = NAME,
                // Empty lines before a request are allowed.
                b'\r' | b'\n' => {}
                _ => *begun = true,
            },
            Place::Name { text, length } => match b {
                b':' => {
                    let (text, length) = (*text, *length);
                    self.named(&text[..length]);
                }
                b'\n' if *length == 0 => self.end_of_head(),
                b'\n' => self.place = NAME,
                b'\r' => {}
                _ => {
                    let at = (*length).min(NAME_ROOM - 1);
                    text[at] = b;
                    *length = at + 1;
                }
            },
            Place::Value { .. } => match b {
                b'\n' => self.place = NAME,
                b'0'..=b'9' => {
                    let length = self.length.get_or_insert(0);
                    *length = length.saturating_mul(10).saturating_add(u64::from(b - b'0'));
                }
                // What else stands here is white space, or a fault that the library refuses.
                _ => {}
            },
            Place::ChunkSize { size, digits } => match (b, char::from(b).to_digit(16)) {
                (b'\n', _) if *size == 0 => self.place = Place::Trailer { empty: true },
                (b'\n', _) => self.place = Place::Chunk(size.saturating_add(2)),
                (_, Some(digit)) if *digits => {
                    *size = size.saturating_mul(16).saturating_add(digit.into());
                }
                _ => *digits = false,
            },
            Place::Trailer { empty } => match b {
                b'\n' if *empty => self.place = Place::RequestLine { begun: false },
                b'\n' => *empty = true,
                b'\r' => {}
                _ => *empty = false,
            },
            Place::Body(_) | Place::Chunk(_) | Place::Off => {}
        }
    }

    /// A header's name is complete.
    fn named(&mut self, name: &[u8]) {
        let is_length = name.eq_ignore_ascii_case(LENGTH);
        let is_encoding = name.eq_ignore_ascii_case(ENCODING);
        let has_length = self.length.is_some();
        if (is_length && self.chunked) || (is_encoding && has_length) {
            self.refused = true;
        }
        self.chunked |= is_encoding;
        if is_length {
            // A repeated length is either the same or refused by the library.
            self.length = Some(0);
        }
        self.place = Place::Value { is_length };
    }

    fn end_of_head(&mut self) {
        let length = self.length.take().unwrap_or(0);
        self.place = if std::mem::take(&mut self.chunked) {
            Place::ChunkSize { size: 0, digits: true }
        } else if length > 0 {
            Place::Body(length)
        } else {
            Place::RequestLine { begun: false }
        };
    }
}

/// Passes over bytes, as many as there are and as are `left`.
fn skip(left: &mut u64, bytes: &[u8]) -> usize {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    // `n` is at most `left`, so it fits.
    *left -= n as u64;
    n
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &[u8]) -> bool {
        Framing::new().feed(text).is_some()
    }

    #[test]
    fn refuses_both_lengths_in_either_order_and_any_case() {
        assert!(refused(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(refused(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-LENGTH: 5\r\n\r\n"));
        assert!(refused(b"POST / HTTP/1.1\nContent-Length:0\nTransfer-Encoding:chunked\n\n"));
        assert!(!refused(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Transfer-Encoding: chunked\r\n\r\n"));
        assert!(!refused(b"POST / HTTP/1.1\r\nX: content-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
    }

    #[test]
    fn the_offset_is_right_behind_the_name() {
        let text = b"P / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let offset = Framing::new().feed(text).unwrap();
        assert!(text[..offset].ends_with(b"Transfer-Encoding:"));
    }

    #[test]
    fn finds_a_second_request_behind_every_kind_of_body() {
        let bad = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let firsts: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\nA: B\r\n\r\nC: D\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\n\r\n\r\n\n\r\n0\r\nT: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n0\r\n\r\n",
        ];
        for first in firsts {
            let mut framing = Framing::new();
            assert_eq!(framing.feed(first), None);
            assert!(!framing.in_request() && !framing.in_head(), "{framing:?}");
            assert!(framing.feed(bad).is_some());
        }
    }

    #[test]
    fn what_a_body_says_is_not_a_head() {
        let text = b"POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\nX / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        assert!(!refused(text));
    }

    #[test]
    fn knows_when_a_head_is_due() {
        let mut framing = Framing::new();
        assert!(framing.in_head() && !framing.in_request());
        framing.feed(b"GET / HT");
        assert!(framing.in_head() && framing.in_request());
        framing.feed(b"TP/1.1\r\nHost: a\r\n\r\n");
        assert!(!framing.in_head());
        framing.feed(b"G");
        assert!(framing.in_head());
    }

    #[test]
    fn http2_is_not_followed_once_its_preface_is_whole() {
        let mut framing = Framing::new();
        framing.feed(&PREFACE[..20]);
        assert!(framing.in_head());
        framing.feed(&PREFACE[20..]);
        assert!(!framing.in_head() && !framing.in_request());
        assert_eq!(framing.feed(b"x\r\nContent-Length: 5\r\nTransfer-Encoding: x"), None);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_makes_no_difference(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "POST / HTTP/1.1\r\n", "\r\n", "\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
                "abc", "3\r\nabc\r\n", "0\r\n\r\n", "X: y\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ":", " ",
            ]), 0..20),
            cut in 1_usize..7,
        ) {
            let text = pieces.concat();
            let mut whole = Framing::new();
            whole.feed(text.as_bytes());
            let mut parts = Framing::new();
            for part in text.as_bytes().chunks(cut) {
                if parts.feed(part).is_some() {
                    break;
                }
            }
            prop_assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Framing::new().feed(&bytes);
        }
    }
}
