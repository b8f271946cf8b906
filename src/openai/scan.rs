//! Passing over JSON text: what is valid is found so without anything being built.

use memchr::memchr2;
use serde_json::Value;

/// It is no JSON, or nothing that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

/// How closely a value is looked at that is passed over.
#[derive(Clone, Copy)]
pub(super) enum Care {
    /// Its grammar has to be right.
    Grammar,
    /// It could be read as well: no half of a surrogate pair, no number out of bounds.
    Readable,
}

/// What escapes a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Escapes {
    None,
    Plain,
    /// Some stand for a half of a surrogate pair, whose other half may be missing.
    Halves,
}

/// A number of so many bytes without an exponent has bounds that every reader can keep.
const SHORT: usize = 300;

/// A place in a JSON text.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    /// What is before it was read.
    pub(super) at: usize,
    /// The text was passed before: it is valid JSON.
    pub(super) passed: bool,
}

impl<'a> Scan<'a> {
    /// The next byte that is no space, which stays unread.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, Fault> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Fault),
            }
        }
    }

    /// Whether nothing but space is left.
    pub(super) fn is_over(&mut self) -> bool {
        self.peek().is_err()
    }

    /// Reads a field's name, with its quotes, and the colon behind it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<(&'a str, Escapes), Fault> {
        if self.peek()? != b'"' {
            return Err(Fault);
        }
        let start = self.at;
        let escapes = self.string()?;
        let name = &self.text[start..self.at];
        if self.peek()? != b':' {
            return Err(Fault);
        }
        self.at += 1;
        Ok((name, escapes))
    }

    /// Passes a text, at whose quote it stands.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Escapes, Fault> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        // Most texts are names: looked at first, they take half the time.
        for _ in 0..3 {
            let Some(word) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) else { break };
            let stops = stops(u64::from_le_bytes(*word));
            if stops != 0 {
                let end = (stops.trailing_zeros() / 8) as usize;
                self.at += end;
                if word[end % 8] == b'"' {
                    self.at += 1;
                    return Ok(Escapes::None);
                }
                break;
            }
            self.at += 8;
        }
        self.rest_of_string()
    }

    /// Passes what is left of a text.
    fn rest_of_string(&mut self) -> Result<Escapes, Fault> {
        let bytes = self.text.as_bytes();
        let mut escapes = Escapes::None;
        loop {
            let stop = match self.passed {
                true => memchr2(b'"', b'\\', &bytes[self.at..]).map(|more| self.at + more),
                false => stop(bytes, self.at),
            };
            let stop = stop.ok_or(Fault)?;
            self.at = stop;
            match bytes[stop] {
                b'"' => {
                    self.at += 1;
                    return Ok(escapes);
                }
                b'\\' => escapes = escapes.max(self.escape()?),
                _ => return Err(Fault),
            }
        }
    }

    fn escape(&mut self) -> Result<Escapes, Fault> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                Ok(Escapes::Plain)
            }
            [b'u', a, b, c, d, ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => {
                self.at += 6;
                let is_half = matches!(a, b'd' | b'D') && !matches!(b, b'0'..=b'7');
                Ok(if is_half { Escapes::Halves } else { Escapes::Plain })
            }
            _ => Err(Fault),
        }
    }

    /// Passes a value that is neither list nor object; `first` is its first byte, at which it stands.
    #[inline]
    pub(super) fn scalar(&mut self, first: u8, care: Care) -> Result<(), Fault> {
        let start = self.at;
        let is_odd = match first {
            b'"' => self.string()? == Escapes::Halves,
            b'-' | b'0'..=b'9' => self.number()? || self.at - start > SHORT,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => return Err(Fault),
        };
        match care {
            Care::Readable if is_odd => self.readable(start),
            _ => Ok(()),
        }
    }

    /// Whether what was passed since `start` can be read.
    #[cold]
    fn readable(&self, start: usize) -> Result<(), Fault> {
        serde_json::from_str::<Value>(&self.text[start..self.at]).map(drop).map_err(|_| Fault)
    }

    fn word(&mut self, word: &[u8]) -> Result<bool, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word) {
            return Err(Fault);
        }
        self.at += word.len();
        Ok(false)
    }

    /// Passes a number; whether it has an exponent.
    fn number(&mut self) -> Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes[self.at] == b'-');
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if !matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            // A digit behind a zero is nothing that could stand behind a value.
            return Ok(false);
        }
        self.at += 1;
        self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
        self.digits()?;
        Ok(true)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault) }
    }

    /// Passes any value, in which no more than `levels` lists and objects may stand in each other.
    pub(super) fn pass(&mut self, care: Care, levels: usize) -> Result<(), Fault> {
        let first = self.peek()?;
        if !matches!(first, b'{' | b'[') {
            return self.scalar(first, care);
        }
        let mut open = Nest::default();
        loop {
            match self.peek()? {
                first @ (b'{' | b'[') => {
                    let is_object = first == b'{';
                    open.push(is_object);
                    if open.depth > levels {
                        return Err(Fault);
                    }
                    self.at += 1;
                    if self.peek()? != closing(is_object) {
                        self.passed_name(is_object, care)?;
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                first => self.scalar(first, care)?,
            }
            loop {
                let Some(is_object) = open.innermost() else { return Ok(()) };
                let byte = self.peek()?;
                self.at += 1;
                if byte == b',' {
                    self.passed_name(is_object, care)?;
                    break;
                }
                if byte != closing(is_object) {
                    return Err(Fault);
                }
                open.pop();
            }
        }
    }

    /// Passes the name before an object's next value; a list's have none.
    #[inline]
    fn passed_name(&mut self, is_object: bool, care: Care) -> Result<(), Fault> {
        if !is_object {
            return Ok(());
        }
        let (name, escapes) = self.name()?;
        match (care, escapes) {
            (Care::Readable, Escapes::Halves) => {
                serde_json::from_str::<String>(name).map(drop).map_err(|_| Fault)
            }
            _ => Ok(()),
        }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Which of the lists and objects that are open are objects.
#[derive(Default)]
struct Nest {
    depth: usize,
    /// The innermost, each a bit.
    last: u64,
    /// Those around them.
    before: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl Nest {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(BITS) {
            self.before.push(self.last);
        }
        self.last = self.last << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.last >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(BITS) {
            self.last = self.before.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.last & 1 == 1)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the first byte from `at` on stands that cannot just be part of a text: a quote, a backslash, a control.
#[inline]
fn stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut words = 0_usize;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return Some(at + (stops.trailing_zeros() / 8) as usize);
        }
        at += 8;
        words += 1;
        // It is a long one.
        if words % 16 == 4 {
            at += calm(&bytes[at..]);
        }
    }
    bytes.get(at..)?.iter().position(|byte| is_stop(*byte)).map(|more| at + more)
}

/// The high bit of the first such byte in a word, with any of those of higher ones.
#[inline]
fn stops(word: u64) -> u64 {
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let slash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    (quote | slash | control) & !word & HIGH
}

#[inline]
fn is_stop(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// How many bytes at the beginning have none, in blocks that are looked at as one.
fn calm(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let is_calm = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | is_stop(*byte));
    blocks.iter().take_while(is_calm).count() * BLOCK
}
