//! Long texts in JSON: where they end, how much of them is base64.

use super::scan::Escapes;

/// A text that takes so many bytes as JSON is worth remembering.
pub(super) const LONG: usize = 2048;

/// A long text that was passed: nobody has to look for its end again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Where its first quote stands.
    pub(super) start: usize,
    /// The place behind its last quote.
    pub(super) end: usize,
    /// What escapes it has.
    pub(super) escapes: Escapes,
    /// So many bytes before its last quote are base64 for sure.
    pub(super) base64: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 64;

/// Where the first byte from `at` on stands that cannot just be part of a text: a quote, a backslash, a control. With
/// it, how many bytes before that are base64 for sure.
#[inline]
pub(super) fn stop(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut words, mut base64) = (0_usize, at..at);
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            let stop = at + (stops.trailing_zeros() / 8) as usize;
            let is_all = !base64.is_empty() && is_base64(&bytes[base64.end..stop]);
            return Some((stop, if is_all { stop - base64.start } else { 0 }));
        }
        at += 8;
        words += 1;
        // It is a long one.
        if words % 16 == 4 {
            if words == 4 {
                // The longest are pictures. Where there is nothing but base64 there is no stop.
                base64 = at..at + BLOCK * blocks(&bytes[at..], is_base64_byte);
                at = base64.end;
            }
            at += BLOCK * blocks(&bytes[at..], |byte| !is_stop(byte));
        }
    }
    bytes.get(at..)?.iter().position(|byte| is_stop(*byte)).map(|more| (at + more, 0))
}

/// The high bit of the first such byte in a word, with any of those of higher ones.
#[inline]
pub(super) fn stops(word: u64) -> u64 {
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let slash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    (quote | slash | control) & !word & HIGH
}

#[inline]
fn is_stop(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Whether there is nothing but base64, of either alphabet.
pub(super) fn is_base64(bytes: &[u8]) -> bool {
    let whole = BLOCK * blocks(bytes, is_base64_byte);
    bytes[whole..].iter().all(|byte| is_base64_byte(*byte))
}

#[inline]
fn is_base64_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // The slash stands before the digits, and a hyphen is an equals sign but for one bit.
    let digit = byte.wrapping_sub(b'/') < 11;
    letter | digit | (byte | 0x10 == b'=') | (byte == b'+') | (byte == b'_')
}

/// How many blocks at the beginning are such bytes alone. There is no way out of the middle of one, so that many bytes
/// are looked at as one.
#[inline]
fn blocks(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    blocks.iter().take_while(|block| block.iter().fold(true, |all, byte| all & is(*byte))).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_of_either_alphabet() {
        let all: Vec<u8> = (0..=u8::MAX).filter(|byte| is_base64_byte(*byte)).collect();
        let mut expected = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_".to_vec();
        expected.sort_unstable();
        assert_eq!(all, expected);
    }

    proptest! {
        #[test]
        fn a_stop_is_found_as_it_is_byte_by_byte(
            parts in prop::collection::vec(("[A-Za-z0-9+/]{0,200}|[ ,.:é]{0,2}|[\"\\\\\n]{0,1}", 1..4_usize), 0..8),
            at in 0..20_usize,
        ) {
            let text: String = parts.iter().map(|(part, times)| part.repeat(*times)).collect();
            let bytes = text.as_bytes();
            let slowly = (at..bytes.len()).find(|at| is_stop(bytes[*at]));
            let found = stop(bytes, at);
            prop_assert_eq!(found.map(|(stop, _)| stop), slowly);
            if let Some((stop, base64)) = found {
                prop_assert!(bytes[stop - base64..stop].iter().all(|byte| is_base64_byte(*byte)));
            }
        }
    }
}
