//! How long the body of an HTTP/1.1 answer is, with what of it has come.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};

/// How long the line with a chunk's size may be: more extensions than that have no good reason.
const MAX_SIZE_LINE: usize = 16 * 1024;
/// How long the lines behind the last chunk may be together.
const MAX_TRAILERS: usize = 16 * 1024;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes.
    Length(u64),
    /// Chunks, each of which says how long it is.
    Chunked(Chunks),
    /// Whatever comes until the connection ends.
    ToTheEnd,
}

/// What comes next of a body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// The line with the size of a chunk.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of its line.
    DataEnd,
    /// Lines behind the last chunk, of which so many bytes came.
    Trailers(usize),
    /// Nothing.
    Over,
}

/// A step in reading a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A piece of it.
    Data(Bytes),
    /// It is whole.
    Over,
    /// What came does not suffice for a step.
    Missing,
}

impl Extent {
    /// That of a body in chunks.
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::Size)
    }

    /// Whether nothing is to come any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Over))
    }

    /// How many bytes are still to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        if let Self::Length(left) = self { Some(*left) } else { None }
    }

    /// Takes the next step with what came.
    ///
    /// # Errors
    /// What came is no body of this kind.
    pub(super) fn take(&mut self, came: &mut BytesMut) -> io::Result<Part> {
        match self {
            Self::Length(left) => Ok(piece(left, came)),
            Self::Chunked(chunks) => chunks.take(came),
            Self::ToTheEnd if came.is_empty() => Ok(Part::Missing),
            Self::ToTheEnd => Ok(Part::Data(came.split().freeze())),
        }
    }

    /// The connection ended here.
    ///
    /// # Errors
    /// The body is not whole.
    pub(super) fn ended(&self) -> io::Result<()> {
        let missing = match self {
            Self::ToTheEnd | Self::Length(0) | Self::Chunked(Chunks::Over) => return Ok(()),
            Self::Length(_) | Self::Chunked(Chunks::Data(_)) => "end of file before message length reached",
            Self::Chunked(_) => "unexpected EOF during chunk size line",
        };
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing))
    }
}

/// As much of the bytes that are `left` as came.
fn piece(left: &mut u64, came: &mut BytesMut) -> Part {
    if *left == 0 {
        return Part::Over;
    }
    let take = usize::try_from(*left).map_or(came.len(), |left| left.min(came.len()));
    if take == 0 {
        return Part::Missing;
    }
    *left -= take as u64;
    Part::Data(came.split_to(take).freeze())
}

impl Chunks {
    fn take(&mut self, came: &mut BytesMut) -> io::Result<Part> {
        loop {
            *self = match self {
                Self::Size => match line(came, MAX_SIZE_LINE)? {
                    None => return Ok(Part::Missing),
                    Some(line) => match size(&line)? {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    },
                },
                Self::Data(left) => match piece(left, came) {
                    Part::Over => Self::DataEnd,
                    part => return Ok(part),
                },
                Self::DataEnd => match came.get(..2) {
                    Some(b"\r\n") => {
                        came.advance(2);
                        Self::Size
                    }
                    None if came.is_empty() || came[..] == b"\r"[..] => return Ok(Part::Missing),
                    _ => return Err(invalid("Invalid chunk body CR")),
                },
                Self::Trailers(so_far) => match line(came, MAX_TRAILERS - *so_far)? {
                    None => return Ok(Part::Missing),
                    Some(line) if line.is_empty() => Self::Over,
                    // Nobody asks for them.
                    Some(line) => Self::Trailers((*so_far + line.len() + 2).min(MAX_TRAILERS)),
                },
                Self::Over => return Ok(Part::Over),
            };
        }
    }
}

/// The next line without its end; `None`: it is not whole yet.
fn line(came: &mut BytesMut, most: usize) -> io::Result<Option<BytesMut>> {
    let Some(end) = memchr::memchr(b'\n', came) else {
        return if came.len() > most { Err(invalid("chunk lines over limit")) } else { Ok(None) };
    };
    // A line that ends otherwise may be read as two by others.
    if end == 0 || came[end - 1] != b'\r' || came[..end - 1].contains(&b'\r') {
        return Err(invalid("Invalid chunk size LF"));
    }
    if end > most {
        return Err(invalid("chunk lines over limit"));
    }
    let line = came.split_to(end - 1);
    came.advance(2);
    Ok(Some(line))
}

/// The size that a chunk's line says; what stands behind it is passed over.
fn size(line: &[u8]) -> io::Result<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let behind = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if digits.is_empty() || behind.is_some_and(|byte| *byte != b';') {
        return Err(invalid("Invalid chunk size line: Invalid Size"));
    }
    digits
        .iter()
        .try_fold(0_u64, |size, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            size.checked_mul(16)?.checked_add(u64::from(digit))
        })
        .ok_or_else(|| invalid("invalid chunk size: overflow"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of pieces that come one after the other, and what is left behind it.
    fn read(mut extent: Extent, pieces: &[&[u8]]) -> io::Result<(Vec<u8>, bool, Vec<u8>)> {
        let (mut came, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            came.extend_from_slice(piece);
            loop {
                match extent.take(&mut came)? {
                    Part::Data(data) => {
                        assert!(!data.is_empty());
                        body.extend_from_slice(&data);
                    }
                    Part::Missing => break,
                    Part::Over => break,
                }
            }
        }
        Ok((body, extent.is_over(), came.to_vec()))
    }

    fn chunked(text: &str) -> io::Result<(Vec<u8>, bool, Vec<u8>)> {
        read(Extent::chunked(), &[text.as_bytes()])
    }

    #[test]
    fn chunks_are_read_at_every_split() {
        let text = b"4;a=b\r\nWiki\r\n0A \t; x\r\n\r\npedia in\r\n0\r\nx-a: b\r\nx-c: d\r\n\r\nnext";
        for split in 0..text.len() {
            let (left, right) = text.split_at(split);
            let (body, over, rest) = read(Extent::chunked(), &[left, right]).unwrap();
            assert_eq!(
                (&body[..], over, &rest[..]),
                (&b"Wiki\r\npedia in"[..], true, &b"next"[..]),
                "{split}"
            );
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "+4\r\nWiki\r\n",
            "4 4\r\n",
            "4\nWiki\n",
            "4\r\nWikiX\r\n",
            "4\r\nWiki\n",
            "4\r\nWiki\r\r\n",
            "4;a\rb\r\n",
            "0x4\r\n",
            "10000000000000000\r\n",
            "0\r\nx: y\n\r\n",
        ] {
            assert!(chunked(text).is_err(), "{text:?}");
        }
        let long = "a".repeat(MAX_SIZE_LINE + 1);
        assert!(chunked(&format!("4;{long}")).is_err() && chunked(&format!("0\r\n{long}")).is_err());
        let trailers = "x: y\r\n".repeat(MAX_TRAILERS / 6 + 1);
        assert!(chunked(&format!("0\r\n{trailers}\r\n")).is_err());
    }

    #[test]
    fn an_end_too_soon_is_told() {
        for (extent, whole) in [
            (Extent::ToTheEnd, true),
            (Extent::Length(0), true),
            (Extent::Chunked(Chunks::Over), true),
            (Extent::Length(1), false),
            (Extent::chunked(), false),
            (Extent::Chunked(Chunks::Trailers(0)), false),
        ] {
            assert_eq!(extent.ended().is_ok(), whole, "{extent:?}");
        }
        assert_eq!(
            read(Extent::Length(3), &[b"ye", b"snext"]).unwrap(),
            (b"yes".to_vec(), true, b"next".to_vec())
        );
        assert_eq!(read(Extent::ToTheEnd, &[b"ye", b"s"]).unwrap(), (b"yes".to_vec(), false, Vec::new()));
    }

    proptest! {
        #[test]
        fn any_body_comes_through_and_nothing_panics(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cut in 1_usize..30,
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = text.chunks(cut).collect();
            let (body, over, rest) = read(Extent::chunked(), &pieces).unwrap();
            prop_assert_eq!((body, over, rest), (chunks.concat(), true, Vec::new()));
            let _ = read(Extent::chunked(), &noise.chunks(cut).collect::<Vec<_>>());
        }
    }
}
