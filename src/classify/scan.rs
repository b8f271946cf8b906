//! One pass over a prompt: its words, numbers, signs, lines are counted.

use super::lexicon::{self, CLASSES, Class, Key};

/// How much is read of a longer text at its beginning, as much at its end, in bytes.
pub const CAP: usize = 4096;

/// Words that count as early.
const EARLY: u32 = 12;

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
    Digits,
    Numbers,
    LongNumbers,
    Words,
    LongWords,
    Letters,
    Capitals,
    Foreign,
    Options,
    Indented,
    Empty,
}

/// How many marks there are.
pub const MARKS: usize = 38;

impl Mark {
    /// What they are, for a reader.
    pub const NAMES: [&str; MARKS] = [
        "commas",
        "periods",
        "question marks",
        "exclamation marks",
        "colons",
        "semicolons",
        "quotes",
        "apostrophes",
        "parentheses",
        "brackets",
        "braces",
        "equals signs",
        "plus signs",
        "hyphens",
        "stars",
        "slashes",
        "angle brackets",
        "carets",
        "underscores",
        "backslashes",
        "dollar signs",
        "percent signs",
        "hash signs",
        "backticks",
        "bars",
        "other signs",
        "lines",
        "digits",
        "numbers",
        "long numbers",
        "words",
        "long words",
        "letters",
        "capitals",
        "letters beyond ASCII",
        "options",
        "indented lines",
        "empty lines",
    ];
}

/// What is at the place of a byte in [`KINDS`]: a sign's mark, or one of those below.
const LETTER: u8 = 64;
const DIGIT: u8 = 65;
const SPACE: u8 = 66;
const NEWLINE: u8 = 67;

static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [SPACE; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | 0x80..=0xff => LETTER,
            b'0'..=b'9' => DIGIT,
            b'\n' => NEWLINE,
            b',' => Mark::Comma as u8,
            b'.' => Mark::Period as u8,
            b'?' => Mark::Question as u8,
            b'!' => Mark::Exclamation as u8,
            b':' => Mark::Colon as u8,
            b';' => Mark::Semicolon as u8,
            b'"' => Mark::Quote as u8,
            b'\'' => Mark::Apostrophe as u8,
            b'(' | b')' => Mark::Round as u8,
            b'[' | b']' => Mark::Bracket as u8,
            b'{' | b'}' => Mark::Brace as u8,
            b'=' => Mark::Equals as u8,
            b'+' => Mark::Plus as u8,
            b'-' => Mark::Minus as u8,
            b'*' => Mark::Star as u8,
            b'/' => Mark::Slash as u8,
            b'<' | b'>' => Mark::Angle as u8,
            b'^' => Mark::Caret as u8,
            b'_' => Mark::Underscore as u8,
            b'\\' => Mark::Backslash as u8,
            b'$' => Mark::Dollar as u8,
            b'%' => Mark::Percent as u8,
            b'#' => Mark::Hash as u8,
            b'`' => Mark::Backtick as u8,
            b'|' => Mark::Bar as u8,
            b'&' | b'@' | b'~' => Mark::Other as u8,
            _ => SPACE,
        };
        byte += 1;
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
    marks: [u32; MARKS],
    classes: [u32; CLASSES],
    early: [u32; CLASSES],
}

impl Scan {
    /// Reads a text, of a long one the beginning and the end.
    #[inline]
    pub fn of<S: Sink>(text: &str, sink: &mut S) -> Self {
        let bytes = text.as_bytes();
        let mut scan = Self {
            bytes: 0,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            tokens: 0,
            marks: [0; MARKS],
            classes: [0; CLASSES],
            early: [0; CLASSES],
        };
        if bytes.len() <= 2 * CAP {
            scan.part(bytes, sink);
        } else {
            scan.part(&bytes[..CAP], sink);
            scan.part(&bytes[bytes.len() - CAP..], sink);
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
    pub fn classes(&self) -> &[u32; CLASSES] {
        &self.classes
    }

    /// Words of a class among the first.
    pub fn early(&self, class: Class) -> u32 {
        self.early[class as usize]
    }

    fn add(&mut self, mark: Mark, by: u32) {
        self.marks[mark as usize] += by;
    }

    fn part<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) {
        self.bytes += bytes.len() as u32;
        let mut before = 0;
        let mut at = 0;
        while at < bytes.len() {
            let kind = KINDS[bytes[at] as usize];
            let start = at;
            at += 1;
            let (key, hash) = match kind {
                SPACE => continue,
                NEWLINE => {
                    self.line(&bytes[at..]);
                    continue;
                }
                LETTER | DIGIT => {
                    while at < bytes.len() && KINDS[bytes[at] as usize] == kind {
                        at += 1;
                    }
                    match kind {
                        LETTER => self.word(bytes, start, at),
                        _ => self.number(at - start),
                    }
                }
                _ => {
                    self.marks[kind as usize] += 1;
                    // A run of the same sign is one word, like `==`, with at most four of them told apart.
                    while at < bytes.len() && bytes[at] == bytes[start] {
                        at += 1;
                        self.marks[kind as usize] += 1;
                    }
                    let key = u64::from(bytes[start]) | ((at - start).min(4) as u64) << 8;
                    (key, lexicon::spread(key))
                }
            };
            debug_assert!(key != 0, "no word is empty");
            self.tokens += 1;
            sink.gram(hash);
            sink.gram(lexicon::spread(hash ^ before));
            before = hash.rotate_left(23);
        }
    }

    #[inline]
    fn word(&mut self, bytes: &[u8], start: usize, end: usize) -> (Key, u64) {
        let key = key(bytes, start, end);
        let hash = lexicon::spread(key);
        let words = self.mark(Mark::Words);
        self.add(Mark::Words, 1);
        let length = end - start;
        self.add(Mark::Letters, length as u32);
        self.add(Mark::LongWords, u32::from(length >= 8));
        let first = bytes[start];
        self.add(Mark::Capitals, u32::from(first.is_ascii_uppercase()));
        if first >= 0x80 || bytes[end - 1] >= 0x80 {
            self.add(Mark::Foreign, length as u32);
        }
        if let Some(class) = lexicon::class(key, hash) {
            self.classes[class as usize] += 1;
            self.early[class as usize] += u32::from(words < EARLY);
        }
        (key, hash)
    }

    #[inline]
    fn number(&mut self, digits: usize) -> (Key, u64) {
        self.add(Mark::Numbers, 1);
        self.add(Mark::Digits, digits as u32);
        self.add(Mark::LongNumbers, u32::from(digits >= 3));
        // Numbers are told apart by how many digits they have: their values say little of another prompt.
        let key = u64::from(b'0') | (digits.min(6) as u64) << 8;
        (key, lexicon::spread(key))
    }

    /// Looks at how a line begins.
    #[inline]
    fn line(&mut self, rest: &[u8]) {
        self.add(Mark::Lines, 1);
        match rest {
            [b'\n', ..] => self.add(Mark::Empty, 1),
            [b' ' | b'\t', ..] => self.add(Mark::Indented, 1),
            [b'A'..=b'J', b'.' | b')' | b':', ..] | [b'(', b'A'..=b'J' | b'a'..=b'j', b')', ..] => {
                self.add(Mark::Options, 1);
            }
            _ => {}
        }
    }
}

/// The first eight bytes of a word in small letters.
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
    (eight | 0x2020_2020_2020_2020) & (u64::MAX >> (64 - 8 * length))
}
