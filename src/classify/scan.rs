//! One pass over a prompt: its words, numbers, signs, lines are counted.

use super::{
    blocks::{BLOCK, Blocks},
    lexicon::{self, CLASSES, Class, Key},
};

/// How much is read of a longer text at its beginning, as much at its end, in bytes.
pub const CAP: usize = 64 * BLOCK;

/// Words and signs that count as early.
const EARLY: u32 = 16;

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
    Distinct,
    Stem,
    LongestLine,
    LastLine,
    Indent,
}

/// How many marks there are.
pub const MARKS: usize = 43;

impl Mark {
    /// What they are, for a reader.
    #[rustfmt::skip]
    pub const NAMES: [&str; MARKS] = [
        "commas", "periods", "question marks", "exclamation marks", "colons", "semicolons", "quotes", "apostrophes",
        "parentheses", "brackets", "braces", "equals signs", "plus signs", "hyphens", "stars", "slashes",
        "angle brackets", "carets", "underscores", "backslashes", "dollar signs", "percent signs", "hash signs",
        "backticks", "bars", "other signs", "lines", "empty lines", "indented lines", "options", "numbers", "digits",
        "long numbers", "words", "letters", "long words", "capitals", "letters beyond ASCII", "different words",
        "bytes before the options", "bytes of the longest line", "bytes of the last line", "the deepest indent",
    ];
}

/// The mark of each sign.
static SIGNS: [u8; 128] = signs();

const fn signs() -> [u8; 128] {
    let mut signs = [Mark::Other as u8; 128];
    let all = b",,..??!!::;;\"\"''()[]{}==++--**//<>^^__\\\\$$%%##``||";
    let mut at = 0;
    while at < all.len() {
        signs[all[at] as usize] = (at / 2) as u8;
        at += 1;
    }
    signs
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
    /// The hash of the last word.
    before: u64,
    marks: [u32; MARKS],
    classes: [u32; CLASSES + 1],
    early: [u32; CLASSES + 1],
    /// A bit for each word met, by its hash.
    met: [u64; 16],
}

impl Scan {
    /// Reads a text, of a long one the beginning and the end.
    pub fn of<S: Sink>(text: &str, sink: &mut S) -> Self {
        let bytes = text.as_bytes();
        let mut scan = Self {
            bytes: 0,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            tokens: 0,
            before: 0,
            marks: [0; MARKS],
            classes: [0; CLASSES + 1],
            early: [0; CLASSES + 1],
            met: [0; 16],
        };
        let head = bytes.len().min(CAP);
        let tail = bytes.len().saturating_sub(CAP).max(head);
        scan.part(&bytes[..head], sink);
        if tail < bytes.len() {
            scan.part(&bytes[tail..], sink);
        }
        if scan.tokens <= EARLY {
            scan.early = scan.classes;
        }
        let different: u32 = scan.met.iter().map(|bits| bits.count_ones()).sum();
        scan.marks[Mark::Distinct as usize] = different;
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
    pub fn marks(&self) -> &[u32; MARKS] {
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
        let blocks = Blocks::of(bytes);
        for (mark, count) in [
            (Mark::Numbers, blocks.numbers),
            (Mark::Digits, blocks.digits),
            (Mark::LongNumbers, blocks.long_numbers),
            (Mark::Words, blocks.words),
            (Mark::Letters, blocks.letters),
            (Mark::LongWords, blocks.long_words),
            (Mark::Foreign, blocks.foreign),
        ] {
            self.add(mark, count);
        }
        for at in blocks.signs() {
            self.marks[SIGNS[usize::from(bytes[at] & 0x7f)] as usize] += 1;
        }
        self.lines(bytes, &blocks);
        blocks.each_token(|start, end| self.token(bytes, start, end, sink));
        self.bytes += bytes.len() as u32;
    }

    #[inline]
    fn token<S: Sink>(&mut self, bytes: &[u8], start: usize, end: usize, sink: &mut S) {
        let hash = lexicon::spread(key(bytes, start, end));
        self.add(Mark::Capitals, u32::from(bytes[start].wrapping_sub(b'A') < 26));
        self.classes[lexicon::class(hash)] += 1;
        if self.tokens == EARLY {
            self.early = self.classes;
        }
        self.met[(hash >> 60) as usize] |= 1 << (hash >> 54 & 63);
        self.tokens += 1;
        sink.gram(hash);
        sink.gram(lexicon::spread(hash ^ self.before));
        self.before = hash.rotate_left(23);
    }

    /// Looks at how lines begin, how long they are.
    fn lines(&mut self, bytes: &[u8], blocks: &Blocks) {
        let mut begin = 0;
        for at in blocks.newlines() {
            self.longest(at - begin);
            begin = at + 1;
            self.add(Mark::Lines, 1);
            match &bytes[begin..] {
                [b'\n', ..] => self.add(Mark::Empty, 1),
                [b' ' | b'\t', rest @ ..] => {
                    self.add(Mark::Indented, 1);
                    let more = rest.iter().take(31).take_while(|byte| **byte == b' ').count();
                    let deepest = self.mark(Mark::Indent).max(1 + more as u32);
                    self.marks[Mark::Indent as usize] = deepest;
                }
                [b'A'..=b'J', b'.' | b')' | b':', ..] | [b'(', b'A'..=b'J' | b'a'..=b'j', b')', ..] => {
                    if self.mark(Mark::Options) == 0 {
                        self.marks[Mark::Stem as usize] = self.bytes + begin as u32;
                    }
                    self.add(Mark::Options, 1);
                }
                _ => {}
            }
        }
        self.longest(bytes.len() - begin);
        self.marks[Mark::LastLine as usize] = (bytes.len() - begin) as u32;
    }

    fn longest(&mut self, line: usize) {
        let longest = self.mark(Mark::LongestLine).max(line as u32);
        self.marks[Mark::LongestLine as usize] = longest;
    }
}

/// What is kept of the bytes of a word that begins with a byte, what is set in them: letters become small, every digit
/// a `0`, since a number says little of another prompt.
static FOLDS: [(u64, u64); 256] = folds();

const fn folds() -> [(u64, u64); 256] {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let mut folds = [(u64::MAX, 0); 256];
    let mut byte = 0;
    while byte < 256 {
        folds[byte] = match byte as u8 {
            b'0'..=b'9' => (0xF0 * ALL, 0),
            b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => (u64::MAX, 0x20 * ALL),
            _ => (u64::MAX, 0),
        };
        byte += 1;
    }
    folds
}

/// The first eight bytes of a word, folded.
#[inline]
fn key(bytes: &[u8], start: usize, end: usize) -> Key {
    let length = (end - start).min(8);
    let eight = match bytes[start..].first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..length].copy_from_slice(&bytes[start..start + length]);
            u64::from_le_bytes(eight)
        }
    };
    let (keep, set) = FOLDS[usize::from(bytes[start])];
    (eight & keep | set) & (u64::MAX >> (64 - 8 * length))
}
