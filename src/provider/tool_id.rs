//! The ids of tool calls that a conversation takes along from one provider to another.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::gemini::signature;

pub use signature::MARK;

/// The longest beginning of an id that is kept: with what tells it from others it stays below the 40 characters that
/// OpenAI takes.
const KEPT: usize = 31;
/// The characters of Mistral's ids.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The length of Mistral's ids.
const NINE: usize = 9;

/// The id without the signature that Gemini wants back, which no other provider reads and which makes it longer than
/// most take. Two ids stay two, whatever they begin with.
pub fn plain(id: &str) -> Cow<'_, str> {
    let (own, Some(_)) = signature::split(id) else { return id.into() };
    let own: String = own.chars().take(KEPT).collect();
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(id));
    format!("{own}_{a:02x}{b:02x}{c:02x}{d:02x}").into()
}

/// An id of nine letters or digits, the only ones that Mistral takes.
pub fn nine(id: &str) -> Cow<'_, str> {
    if id.len() == NINE && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.into();
    }
    // 62 does not divide 256: the bias is of no matter, the ids only have to differ.
    let hash = Sha256::digest(id);
    hash.iter().take(NINE).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_cut_off() {
        let long = signature::carry("call_0123456789abcdef0123", &"A".repeat(4000)).unwrap();
        let short = plain(&long);
        assert!(short.starts_with("call_0123456789abcdef0123_") && short.len() <= 40, "{short}");
        assert_eq!(short, plain(&long));
        assert_ne!(short, plain(&signature::carry("call_0123456789abcdef0123", "BBBB").unwrap()));
        let native = signature::carry(&"x".repeat(64), "AAAA").unwrap();
        assert!(plain(&native).len() <= 40);
        for other in ["call_1", "a__ts_", "a__ts_!", "", "toolu_01", "functions.f:0"] {
            assert_eq!(plain(other), other);
        }
    }

    #[test]
    fn nine_letters_are_kept() {
        for own in ["abcDEF123", "000000000"] {
            assert_eq!(nine(own), own);
        }
        let made: std::collections::BTreeSet<_> =
            ["call_1", "call_2", "abc-EF123", "", "abcDEF1234", "\u{e9}bcDEF12"].map(nine).into();
        assert_eq!(made.len(), 6);
        assert!(made.iter().all(|id| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(nine("call_1"), nine("call_1"));
    }
}
