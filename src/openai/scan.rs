//! Passing over JSON text: what is valid is found so without anything being built.

use memchr::memchr2;
use serde_json::Value;

use super::stretch::{LONG, Stretch, stop, stops};

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
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    /// What is before it was read.
    pub(super) at: usize,
    /// The text was passed before: it is valid JSON.
    pub(super) passed: bool,
    /// What is known of its long texts, in their order.
    pub(super) known: &'a [Stretch],
    /// The long texts that it passes, where somebody wants to know them.
    pub(super) found: Option<Vec<Stretch>>,
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
        let start = self.at;
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
        self.rest_of_string(start)
    }

    /// Passes what is left of a text that begins at `start`.
    fn rest_of_string(&mut self, start: usize) -> Result<Escapes, Fault> {
        if let Some(known) = self.known(start) {
            self.at = known.end;
            return Ok(known.escapes);
        }
        let bytes = self.text.as_bytes();
        let mut escapes = Escapes::None;
        loop {
            let (stop, base64) = match self.passed {
                true => memchr2(b'"', b'\\', &bytes[self.at..]).map(|more| (self.at + more, 0)),
                false => stop(bytes, self.at),
            }
            .ok_or(Fault)?;
            self.at = stop;
            match bytes[stop] {
                b'"' => {
                    self.at += 1;
                    if self.at - start >= LONG {
                        self.find(Stretch { start, end: self.at, escapes, base64 });
                    }
                    return Ok(escapes);
                }
                b'\\' => escapes = escapes.max(self.escape()?),
                _ => return Err(Fault),
            }
        }
    }

    /// What is known of the text that begins at `start`.
    pub(super) fn known(&self, start: usize) -> Option<&'a Stretch> {
        if self.known.is_empty() {
            return None;
        }
        self.known.binary_search_by_key(&start, |known| known.start).ok().map(|at| &self.known[at])
    }

    #[cold]
    fn find(&mut self, long: Stretch) {
        if let Some(found) = &mut self.found
            && found.last().is_none_or(|last| last.end <= long.start)
        {
            found.push(long);
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
