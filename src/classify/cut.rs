//! Cutting a text into words, numbers, signs.
//!
//! Which byte begins a word is found for 64 bytes at once, without a branch that depends on them: where words end is what
//! a processor cannot foresee, and guessing wrong costs more than all the rest.

/// Bytes that are looked at together: one bit each.
const BLOCK: usize = 64;

/// What a byte can be.
const LETTER: u8 = 1;
const SIGN: u8 = 3;

/// Takes what is found, in order; places are counted from the beginning of the text.
pub trait Pieces {
    /// Takes words, numbers, signs, each from its first byte up to before its end, of one of more than 64 bytes up to
    /// there.
    fn pieces(&mut self, borders: impl Iterator<Item = (usize, usize)>);
    /// Takes the end of a line.
    fn newline(&mut self, at: usize);
}

/// What is known of a block.
#[derive(Clone, Copy, Default)]
struct Borders {
    /// Where the block begins.
    base: usize,
    /// The bytes that begin a piece.
    begins: u64,
    /// The bytes that are no part of the piece, or the gap, before them.
    changes: u64,
}

impl Borders {
    /// The pieces that begin in this block, when it is known where something changes in the next.
    #[inline]
    fn pieces(self, next: u64) -> impl Iterator<Item = (usize, usize)> {
        let mut left = self.begins;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let bit = left.trailing_zeros();
            left &= left - 1;
            let ahead = self.changes >> bit >> 1 | next << (63 - bit);
            let start = self.base + bit as usize;
            // There may be no change within sight.
            let length = 1 + (ahead | 1 << 63).trailing_zeros();
            Some((start, start + length as usize))
        })
    }
}

/// Bytes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of letters; all beyond ASCII are.
    pub letters: u32,
    /// Of digits.
    pub digits: u32,
    /// Beyond ASCII.
    pub foreign: u32,
}

/// Cuts a text.
#[inline]
pub fn cut(text: &[u8], pieces: &mut impl Pieces) -> Counts {
    let mut counts = Counts::default();
    // What the byte before is, behind it what those of a block are.
    let mut kinds = [0; BLOCK + 1];
    let mut last = Borders::default();
    for (at, some) in text.chunks(BLOCK).enumerate() {
        let mut padded = [b' '; BLOCK];
        let block = some.try_into().unwrap_or_else(|_| {
            padded[..some.len()].copy_from_slice(some);
            &padded
        });
        look(block, &mut kinds, &mut counts);
        let (begins, changes) = borders(&kinds);
        kinds[0] = kinds[BLOCK];
        pieces.pieces(last.pieces(changes));
        last = Borders { base: at * BLOCK, begins, changes };
        let mut newlines = gather(&block.map(|byte| u8::from(byte == b'\n')));
        while newlines != 0 {
            pieces.newline(last.base + newlines.trailing_zeros() as usize);
            newlines &= newlines - 1;
        }
    }
    // Behind the text something else begins.
    pieces.pieces(last.pieces(1));
    counts
}

/// Finds what each byte of a block is: 0 nothing, 1 a letter, 2 a digit, 3 a sign.
#[inline]
fn look(block: &[u8; BLOCK], kinds: &mut [u8; BLOCK + 1], counts: &mut Counts) {
    let (mut letters, mut digits, mut foreign) = (0, 0, 0);
    for (byte, kind) in block.iter().zip(&mut kinds[1..]) {
        let beyond = byte >> 7;
        let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26) | beyond;
        let digit = u8::from(byte.wrapping_sub(b'0') < 10);
        // From `!` to `~`, which holds letters and digits too.
        let shown = u8::from(byte.wrapping_sub(b'!') < 94);
        letters += letter;
        digits += digit;
        foreign += beyond;
        *kind = SIGN * (shown & !(letter | digit)) + LETTER * letter + 2 * digit;
    }
    counts.letters += u32::from(letters);
    counts.digits += u32::from(digits);
    counts.foreign += u32::from(foreign);
}

/// The bytes of a block that begin a piece, those that are of another kind than the one before. A sign stands alone.
#[inline]
fn borders(kinds: &[u8; BLOCK + 1]) -> (u64, u64) {
    let (mut begins, mut changes) = ([0; BLOCK], [0; BLOCK]);
    let before = &kinds[..BLOCK];
    let here = &kinds[1..];
    for at in 0..BLOCK {
        changes[at] = u8::from(before[at] != here[at]) | u8::from(here[at] == SIGN);
        begins[at] = changes[at] & u8::from(here[at] != 0);
    }
    (gather(&begins), gather(&changes))
}

/// A bit for each byte, which is 0 or 1.
#[inline]
fn gather(bytes: &[u8; BLOCK]) -> u64 {
    let (eights, _) = bytes.as_chunks::<8>();
    eights.iter().enumerate().fold(0, |bits, (place, eight)| {
        // Bit 8i is moved to bit 56+i; no two products meet in one bit, so that nothing carries.
        let moved = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits | moved << (8 * place)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Found {
        pieces: Vec<(usize, usize)>,
        newlines: Vec<usize>,
    }

    impl Pieces for Found {
        fn pieces(&mut self, borders: impl Iterator<Item = (usize, usize)>) {
            self.pieces.extend(borders);
        }

        fn newline(&mut self, at: usize) {
            self.newlines.push(at);
        }
    }

    fn kind(byte: u8) -> u8 {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => 1,
            b'0'..=b'9' => 2,
            b'!'..=b'~' => 3,
            _ => 0,
        }
    }

    /// Whether all bytes from `start` up to `at` are of the same kind.
    fn is_open(text: &[u8], start: usize, at: usize) -> bool {
        text[start..=at].iter().all(|byte| kind(*byte) == kind(text[at]))
    }

    /// The same one byte after the other.
    fn slowly(text: &[u8]) -> Vec<(usize, usize)> {
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        for (at, byte) in text.iter().enumerate() {
            match (kind(*byte), pieces.last_mut()) {
                (0, _) => {}
                (own @ 1..3, Some((start, end)))
                    if at > 0 && kind(text[at - 1]) == own && is_open(text, *start, at) =>
                {
                    *end = (*start + 64).min(at + 1);
                }
                _ => pieces.push((at, at + 1)),
            }
        }
        pieces
    }

    fn check(text: &[u8]) -> Result<(), TestCaseError> {
        let mut found = Found::default();
        let counts = cut(text, &mut found);
        prop_assert_eq!(found.pieces, slowly(text));
        let count = |is: fn(u8) -> bool| text.iter().filter(|byte| is(**byte)).count() as u32;
        let letters = count(|byte| kind(byte) == 1);
        let expected =
            Counts { letters, digits: count(|byte| kind(byte) == 2), foreign: count(|byte| byte >= 0x80) };
        prop_assert_eq!(counts, expected);
        let newlines: Vec<_> = (0..text.len()).filter(|at| text[*at] == b'\n').collect();
        prop_assert_eq!(found.newlines, newlines);
        Ok(())
    }

    #[test]
    fn long_pieces_cross_every_border() {
        for length in [0, 1, 63, 64, 65, 511, 512, 513, 1024, 4096] {
            check(&vec![b'x'; length]).unwrap();
            check(&vec![b'('; length]).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_text_is_cut_as_it_is_byte_by_byte(text in proptest::collection::vec(any::<u8>(), 0..3000)) {
            check(&text)?;
        }

        #[test]
        fn words_are_cut_as_they_are_byte_by_byte(text in "([A-Za-z]{1,90}|[0-9]{1,9}|[ \n]|[!-/]){0,300}") {
            check(text.as_bytes())?;
        }
    }
}
