//! One pass over a prompt: its words, numbers, signs, lines are counted.

use super::{
    cut::{Pieces, cut},
    lexicon::{self, CLASSES, Class, Key},
};

/// How much is read of a longer text at its beginning, as much at its end, in bytes.
pub const CAP: usize = 3072;

/// Words and signs that count as early.
const EARLY: usize = 16;

/// What is counted beside the classes of words. The signs come first, each under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Mark {
    Comma,
    Period,
    Question,
    Exclamation,
    Colon,
    Semicolon,
    Quote,
    Apostrophe,
    Round,
    Bracket,
    Brace,
    Equals,
    Plus,
    Minus,
    Star,
    Slash,
    Angle,
    Caret,
    Underscore,
    Backslash,
    Dollar,
    Percent,
    Hash,
    Backtick,
    Bar,
    Other,
    Lines,
    Empty,
    Indented,
    Options,
    Numbers,
    Digits,
    LongNumbers,
    Words,
    Letters,
    LongWords,
    Capitals,
    Foreign,
    Stem,
    LongestLine,
    LastLine,
    Indent,
}

/// How many marks there are.
pub const MARKS: usize = 42;

impl Mark {
    /// What they are, for a reader.
    #[rustfmt::skip]
    pub const NAMES: [&str; MARKS] = [
        "commas", "periods", "question marks", "exclamation marks", "colons", "semicolons", "quotes", "apostrophes",
        "parentheses", "brackets", "braces", "equals signs", "plus signs", "hyphens", "stars", "slashes",
        "angle brackets", "carets", "underscores", "backslashes", "dollar signs", "percent signs", "hash signs",
        "backticks", "bars", "other signs", "lines", "empty lines", "indented lines", "options", "numbers", "digits",
        "long numbers", "words", "letters", "long words", "capitals", "letters beyond ASCII",
        "bytes before the options", "bytes of the longest line", "bytes of the last line", "the deepest indent",
    ];
}

/// What a piece is that begins with a byte.
#[derive(Clone, Copy)]
struct Kind {
    /// What is kept of each byte of its key, what is set in it: letters become small, every digit a `0`, since a number
    /// says little of another prompt.
    keep: u64,
    set: u64,
    /// What it counts as; if it is long as what comes next.
    tally: u8,
    /// From how many bytes on it is long.
    least: u8,
}

/// Where pieces are counted: signs by their mark, behind them the others, short ones before long ones.
const NUMBER: usize = SIGN_MARKS;
const SMALL: usize = NUMBER + 2;
const CAPITAL: usize = SMALL + 2;
const TALLIES: usize = 32;

/// How many marks are of signs.
const SIGN_MARKS: usize = Mark::Other as usize + 1;

static KINDS: [Kind; 256] = kinds();

/// The signs, each twice or with the one that belongs to it, in the order of their marks.
const SIGNS: &[u8; 50] = b",,..??!!::;;\"\"''()[]{}==++--**//<>^^__\\\\$$%%##``||";

const fn kinds() -> [Kind; 256] {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let sign = Kind { keep: u64::MAX, set: 0, tally: Mark::Other as u8, least: u8::MAX };
    let number = Kind { keep: 0xF0 * ALL, set: 0, tally: NUMBER as u8, least: 3 };
    let small = Kind { keep: u64::MAX, set: 0x20 * ALL, tally: SMALL as u8, least: 8 };
    let capital = Kind { tally: CAPITAL as u8, ..small };
    let mut kinds = [sign; 256];
    let mut byte = 0;
    while byte < 256 {
        match byte as u8 {
            b'0'..=b'9' => kinds[byte] = number,
            b'A'..=b'Z' => kinds[byte] = capital,
            b'a'..=b'z' | 0x80.. => kinds[byte] = small,
            _ => {}
        }
        byte += 1;
    }
    let mut at = 0;
    while at < SIGNS.len() {
        kinds[SIGNS[at] as usize].tally = (at / 2) as u8;
        at += 1;
    }
    kinds
}

/// Takes the hashes of words, and of two words that follow each other.
pub trait Sink {
    /// Takes one.
    fn gram(&mut self, hash: u64);
}

/// Takes nothing.
impl Sink for () {
    #[inline]
    fn gram(&mut self, _: u64) {}
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Scan {
    bytes: u32,
    length: u32,
    tokens: u32,
    /// How many more pieces are early.
    early_left: usize,
    /// The hash of the last word.
    before: u64,
    marks: [u32; MARKS],
    tallies: [u32; TALLIES],
    /// Words of each class, behind them those of none.
    classes: [u32; 32],
    early: [u32; 32],
}

impl Scan {
    /// Reads a text, of a long one the beginning and the end.
    pub fn of<S: Sink>(text: &str, sink: &mut S) -> Self {
        let bytes = text.as_bytes();
        let mut scan = Self {
            bytes: 0,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            tokens: 0,
            early_left: EARLY,
            before: 0,
            marks: [0; MARKS],
            tallies: [0; TALLIES],
            classes: [0; 32],
            early: [0; 32],
        };
        let head = bytes.len().min(CAP);
        let tail = bytes.len().saturating_sub(CAP).max(head);
        scan.part(&bytes[..head], sink);
        if tail < bytes.len() {
            scan.part(&bytes[tail..], sink);
        }
        scan.sum_up();
        if scan.mark(Mark::Options) == 0 {
            scan.marks[Mark::Stem as usize] = scan.bytes;
        }
        scan
    }

    /// The bytes of the text that were read.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The bytes of the whole text.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Words, numbers, runs of signs.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// How often a mark was met.
    pub fn mark(&self, mark: Mark) -> u32 {
        self.marks[mark as usize]
    }

    /// All marks.
    pub fn marks(&self) -> &[u32] {
        &self.marks
    }

    /// Words of a class.
    pub fn class(&self, class: Class) -> u32 {
        self.classes[class as usize]
    }

    /// Words of each class.
    pub fn classes(&self) -> &[u32] {
        &self.classes[..CLASSES]
    }

    /// Words of a class among the first.
    pub fn early(&self, class: Class) -> u32 {
        self.early[class as usize]
    }

    fn add(&mut self, mark: Mark, by: u32) {
        self.marks[mark as usize] += by;
    }

    fn part<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        let mut part = Part { scan: self, sink, bytes, line: 0 };
        let counts = cut(bytes, &mut part);
        let line = part.line;
        self.longest(bytes.len() - line);
        self.marks[Mark::LastLine as usize] = (bytes.len() - line) as u32;
        self.add(Mark::Letters, counts.letters);
        self.add(Mark::Digits, counts.digits);
        self.add(Mark::Foreign, counts.foreign);
        self.bytes += bytes.len() as u32;
    }

    /// Makes marks of the tallies.
    fn sum_up(&mut self) {
        self.marks[..SIGN_MARKS].copy_from_slice(&self.tallies[..SIGN_MARKS]);
        let of = |at: usize| self.tallies[at];
        for (mark, count) in [
            (Mark::Numbers, of(NUMBER) + of(NUMBER + 1)),
            (Mark::LongNumbers, of(NUMBER + 1)),
            (Mark::Words, of(SMALL) + of(SMALL + 1) + of(CAPITAL) + of(CAPITAL + 1)),
            (Mark::LongWords, of(SMALL + 1) + of(CAPITAL + 1)),
            (Mark::Capitals, of(CAPITAL) + of(CAPITAL + 1)),
        ] {
            self.marks[mark as usize] = count;
        }
        self.tokens = self.tallies.iter().sum();
    }

    fn longest(&mut self, line: usize) {
        let longest = self.mark(Mark::LongestLine).max(line as u32);
        self.marks[Mark::LongestLine as usize] = longest;
    }
}

/// A part of a text that is being read.
struct Part<'a, S> {
    scan: &'a mut Scan,
    sink: &'a mut S,
    bytes: &'a [u8],
    /// Where the present line begins.
    line: usize,
}

impl<S: Sink> Part<'_, S> {
    #[inline]
    fn some(&mut self, borders: impl Iterator<Item = (usize, usize)>) {
        let mut before = self.scan.before;
        for (start, end) in borders {
            let kind = &KINDS[usize::from(self.bytes[start])];
            let length = end - start;
            let hash = lexicon::spread(key(self.bytes, start, length, kind));
            let tally = usize::from(kind.tally) + usize::from(length >= usize::from(kind.least));
            self.scan.tallies[tally % TALLIES] += 1;
            self.scan.classes[lexicon::class(hash) % 32] += 1;
            self.sink.gram(hash);
            self.sink.gram(lexicon::spread(hash ^ before));
            before = hash.rotate_left(23);
        }
        self.scan.before = before;
    }
}

impl<S: Sink> Pieces for Part<'_, S> {
    #[inline]
    fn pieces(&mut self, mut borders: impl Iterator<Item = (usize, usize)>) {
        if self.scan.early_left > 0 {
            for border in borders.by_ref().take(self.scan.early_left) {
                self.scan.early_left -= 1;
                self.some(std::iter::once(border));
            }
            self.scan.early = self.scan.classes;
        }
        self.some(borders);
    }

    /// Looks at how a line begins, how long the one before is.
    fn newline(&mut self, at: usize) {
        let scan = &mut *self.scan;
        scan.longest(at - self.line);
        self.line = at + 1;
        scan.add(Mark::Lines, 1);
        match &self.bytes[self.line..] {
            [b'\n', ..] => scan.add(Mark::Empty, 1),
            [b' ' | b'\t', rest @ ..] => {
                scan.add(Mark::Indented, 1);
                let more = rest.iter().take(31).take_while(|byte| **byte == b' ').count();
                let deepest = scan.mark(Mark::Indent).max(1 + more as u32);
                scan.marks[Mark::Indent as usize] = deepest;
            }
            [b'A'..=b'J', b'.' | b')' | b':', ..] | [b'(', b'A'..=b'J' | b'a'..=b'j', b')', ..] => {
                if scan.mark(Mark::Options) == 0 {
                    scan.marks[Mark::Stem as usize] = scan.bytes + self.line as u32;
                }
                scan.add(Mark::Options, 1);
            }
            _ => {}
        }
    }
}

/// The first eight bytes of a piece, folded as its kind says.
#[inline]
fn key(bytes: &[u8], start: usize, length: usize, kind: &Kind) -> Key {
    let length = length.min(8);
    let eight = match bytes[start..].first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..length].copy_from_slice(&bytes[start..start + length]);
            u64::from_le_bytes(eight)
        }
    };
    (eight & kind.keep | kind.set) & (u64::MAX >> (64 - 8 * length))
}
