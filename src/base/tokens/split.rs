//! Cuts text into the pieces within which `o200k` looks for tokens.
//!
//! It is the regular expression of OpenAI's tiktoken, written out: compiling that takes longer than all else at start.
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// The kinds of characters that the expression tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A letter that only begins words: `Lu`, `Lt`.
    Upper,
    /// A letter that only ends words: `Ll`.
    Lower,
    /// A letter that does both: `Lm`, `Lo`.
    Letter,
    /// A mark, which does both too and may stand before a word: `M`.
    Mark,
    /// `N`
    Number,
    /// White space other than line ends.
    Space,
    /// `\r`, `\n`
    Line,
    /// Anything else.
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' => Kind::Lower,
        'A'..='Z' => Kind::Upper,
        '0'..='9' => Kind::Number,
        '\r' | '\n' => Kind::Line,
        _ if c.is_whitespace() => Kind::Space,
        _ if c.is_ascii() => Kind::Other,
        _ => match get_general_category(c) {
            Category::UppercaseLetter | Category::TitlecaseLetter => Kind::Upper,
            Category::LowercaseLetter => Kind::Lower,
            Category::ModifierLetter | Category::OtherLetter => Kind::Letter,
            Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => Kind::Mark,
            Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => Kind::Number,
            _ => Kind::Other,
        },
    }
}

fn begins(kind: Kind) -> bool {
    matches!(kind, Kind::Upper | Kind::Letter | Kind::Mark)
}

fn ends(kind: Kind) -> bool {
    matches!(kind, Kind::Lower | Kind::Letter | Kind::Mark)
}

/// The pieces of `text`, which together are all of it.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(first(rest)?);
        rest = after;
        Some(piece)
    })
}

/// The length of the first piece in bytes.
fn first(text: &str) -> Option<usize> {
    let c = text.chars().next()?;
    let here = kind(c);
    let prefix = if matches!(here, Kind::Mark | Kind::Space | Kind::Other) { c.len_utf8() } else { 0 };
    let word = word(text, prefix).or_else(|| if prefix > 0 { word(text, 0) } else { None });
    Some(match (word, here) {
        (Some(end), _) => end + contraction(&text[end..]),
        (None, Kind::Number) => run(text, 3, |kind| kind == Kind::Number),
        (None, _) => signs(text).unwrap_or_else(|| space(text)),
    })
}

/// The length of the longest run of at most `most` characters of a kind.
fn run(text: &str, most: usize, is: impl Fn(Kind) -> bool) -> usize {
    text.chars().take(most).take_while(|c| is(kind(*c))).map(char::len_utf8).sum()
}

/// The end of a word that begins behind `prefix`; the first two lines of the expression.
fn word(text: &str, prefix: usize) -> Option<usize> {
    let letters = &text[prefix..];
    let upper = run(letters, usize::MAX, begins);
    let lower = run(&letters[upper..], usize::MAX, ends);
    if lower > 0 {
        return Some(prefix + upper + lower);
    }
    // The second part has to have something: the first gives back what it can, else the second may be empty.
    let (at, last) = letters[..upper].char_indices().rfind(|(_, c)| ends(kind(*c))).unwrap_or((upper, '\0'));
    match (upper, at == upper) {
        (0, _) => None,
        (_, true) => Some(prefix + upper),
        (_, false) => Some(prefix + at + last.len_utf8()),
    }
}

/// The length of an English contraction's end.
fn contraction(text: &str) -> usize {
    let mut chars = text.chars();
    if chars.next() != Some('\'') {
        return 0;
    }
    let lower = |c: Option<char>| c.map(|c| c.to_ascii_lowercase());
    let first = chars.clone().next();
    match (lower(chars.next()), lower(chars.next())) {
        // The long s is one to an expression that ignores case.
        (Some('s' | 't' | 'm' | 'd' | '\u{17f}'), _) => 1 + first.map_or(0, char::len_utf8),
        (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => 3,
        _ => 0,
    }
}

/// The length of a run of signs, with a blank before it and line ends and slashes behind it.
fn signs(text: &str) -> Option<usize> {
    let is_sign = |kind| matches!(kind, Kind::Mark | Kind::Other);
    let blank = usize::from(text.starts_with(' '));
    let signs = run(&text[blank..], usize::MAX, is_sign);
    let after = text[blank + signs..].bytes().take_while(|byte| b"\r\n/".contains(byte)).count();
    (signs > 0).then_some(blank + signs + after)
}

/// The length of white space: up to its last line end; else all but the last character, which goes to what follows.
fn space(text: &str) -> usize {
    let all = run(text, usize::MAX, |kind| matches!(kind, Kind::Space | Kind::Line));
    let space = &text[..all];
    if let Some(line) = space.rfind(['\r', '\n']) {
        return line + 1;
    }
    let last = space.chars().next_back().map_or(0, char::len_utf8);
    if all == text.len() || last == all { all } else { all - last }
}
