//! Cuts text into the tokens of OpenAI's `o200k` vocabulary.

mod layout;
mod split;
mod table;

use std::{cmp::Reverse, collections::BinaryHeap, sync::LazyLock};

use table::Table;

static O200K: LazyLock<Table> =
    LazyLock::new(|| Table::new(include_bytes!(concat!(env!("OUT_DIR"), "/o200k.bin"))));

/// Reads the table now: the first one to count would wait for it, and whoever shares its thread. Blocks for that time.
pub fn warm() {
    LazyLock::force(&O200K);
}

/// The number of tokens in `text`.
pub fn count(text: &str) -> usize {
    let mut count = 0;
    each(text, |_| count += 1);
    count
}

/// The tokens of `text` as bytes, which may end within a character. Together they are the text.
pub fn tokens(text: &str) -> Vec<&'static [u8]> {
    let mut tokens = Vec::new();
    each(text, |token| tokens.push(O200K.bytes(token)));
    tokens
}

fn each(text: &str, mut take: impl FnMut(u32)) {
    for piece in split::pieces(text) {
        match O200K.find(piece.as_bytes()) {
            Some(token) => take(token),
            None => merge(piece.as_bytes(), &mut take),
        }
    }
}

/// A part of a piece: from its own place in the list up to `end`.
#[derive(Clone, Copy)]
struct Part {
    end: usize,
    /// Where the part before it begins.
    before: usize,
    /// It was not merged into the one before it.
    alive: bool,
}

/// Byte-pair encoding: of all neighbours that make a token together, those with the lowest number are merged first,
/// the leftmost among equals. The heap keeps long pieces from taking time in the square of their length.
fn merge(piece: &[u8], take: &mut impl FnMut(u32)) {
    let mut parts: Vec<Part> =
        (0..piece.len()).map(|at| Part { end: at + 1, before: at.saturating_sub(1), alive: true }).collect();
    let mut heap = BinaryHeap::new();
    let pair = |parts: &[Part], left: usize| {
        let right = parts.get(left)?.end;
        let end = parts.get(right)?.end;
        O200K.find(&piece[left..end]).map(|token| Reverse((token, left, right, end)))
    };
    heap.extend((0..piece.len()).filter_map(|left| pair(&parts, left)));
    while let Some(Reverse((_, left, right, end))) = heap.pop() {
        // Other merges may have come first.
        if !parts[left].alive || parts[left].end != right || parts[right].end != end {
            continue;
        }
        parts[right].alive = false;
        parts[left].end = end;
        if let Some(next) = parts.get_mut(end) {
            next.before = left;
        }
        heap.extend(pair(&parts, left));
        if left > 0 {
            heap.extend(pair(&parts, parts[left].before));
        }
    }
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        take(O200K.find(&piece[at..part.end]).expect("every byte is a token, and only tokens are merged"));
        at = part.end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(text: &str) {
        let reference = bpe_openai::o200k_base();
        let expected: Vec<_> =
            reference.encode(text).into_iter().map(|token| reference.bpe.token_bytes(token)).collect();
        assert_eq!(tokens(text), expected, "{text:?}");
        assert_eq!(count(text), expected.len(), "{text:?}");
    }

    #[test]
    fn the_reference_finds_the_same_in_texts() {
        for text in [
            "",
            "Hello, world!",
            "I'll say it's what they'VE said, I'd think; 'tis 'S I'\u{17f}",
            "naïve 日本語 🦀🦀 text\n\n  end ",
            "camelCaseWords XMLHttpRequest ABC aBC ʰʰA Aʰ \u{301}a \u{301}\u{301} \u{301}1",
            "1234567 12 ½ Ⅷ ٣٤٥٦",
            "a/b//c\r\n// comment\n\t\tif (x) { return; }\r\n\r\n   \n  x",
            " \u{a0}\u{3000} x\u{85}y\u{2028}z   ",
            "supercalifragilisticexpialidocious antidisestablishmentarianism qqqqqqqqqqqqzzzz",
        ] {
            same(text);
        }
    }

    #[test]
    fn a_long_piece_takes_no_longer_than_many_short_ones() {
        let text = "ab".repeat(200_000);
        assert_eq!(tokens(&text).concat(), text.as_bytes());
    }

    proptest! {
        #[test]
        fn the_reference_finds_the_same_in_anything(
            text in "([a-zA-Z]{1,4}|[0-9]{1,4}|[ \t\r\n/']|'[sStTrRvVeElLmMdD]{1,2}|[!-/:-@]|[À-ſ]|[Ͱ-Ͽ]|[Ѐ-ӿ]|[一-鿿]|[\u{300}-\u{36f}]|[ʰ-ʸ]|[०-९]|\u{a0}|[😀-🙏]){0,40}"
        ) {
            same(&text);
        }
    }
}
