//! Thought signatures in the ids of tool calls, where any client brings them back.
//!
//! `{id}__ts_{signature in base64url}`: a client that only knows OpenAI's API returns the id with the result, and
//! the signature with it. Gemini 3 refuses a conversation whose calls have lost theirs.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use sha2::{Digest as _, Sha256};

/// Stands between the id and the signature.
pub const MARK: &str = "__ts_";
/// The longest signature that an id carries, in characters.
const MAX_CARRIED: usize = 64 * 1024;
/// The longest id of Gemini's own that is kept.
const MAX_ID: usize = 64;

/// What Gemini documents for calls that another model made: it then does not look for its signature.
pub const FOREIGN: &str = "skip_thought_signature_validator";

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The id of a call: Gemini's own if it has one, else made of the answer's id, the choice and the call's number.
pub fn short(native: Option<&str>, answer: &str, choice: usize, number: usize) -> String {
    let fits = |id: &&str| {
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        plain && !id.is_empty() && id.len() <= MAX_ID && !id.contains("__") && !id.ends_with('_')
    };
    if let Some(id) = native.filter(fits) {
        return id.to_owned();
    }
    let seed = format!("{answer}\n{choice}\n{number}\n{}", native.unwrap_or_default());
    let hash: String = Sha256::digest(seed).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("call_{hash}")
}

/// The id with the signature inside; `None` if the signature cannot be carried so.
pub fn carry(id: &str, signature: &str) -> Option<String> {
    if signature.len() > MAX_CARRIED {
        return None;
    }
    let standard: String = signature
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let bytes = LENIENT.decode(standard).ok().filter(|bytes| !bytes.is_empty())?;
    Some(format!("{id}{MARK}{}", general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

/// An id that a client sent back: the call's own, and its signature if it carries one.
pub fn split(id: &str) -> (&str, Option<String>) {
    let Some((own, carried)) = id.split_once(MARK) else {
        return (id, None);
    };
    match general_purpose::URL_SAFE_NO_PAD.decode(carried) {
        Ok(bytes) if !bytes.is_empty() => (own, Some(general_purpose::STANDARD.encode(bytes))),
        _ => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_stable_and_gemini_s_own_are_kept() {
        assert_eq!(short(Some("w71i0cbt"), "r", 0, 0), "w71i0cbt");
        assert_eq!(short(None, "r", 0, 1), short(None, "r", 0, 1));
        let others = [
            short(None, "r", 0, 1),
            short(None, "r", 1, 0),
            short(None, "s", 0, 1),
            short(Some("a__b"), "r", 0, 1),
            short(Some("é"), "r", 0, 1),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
        assert!(others.iter().all(|id| id.starts_with("call_") && id.len() == 25));
    }

    #[test]
    fn foreign_ids_pass() {
        for id in ["call_abc", "toolu_1__x", "a__ts_", "a__ts_!!", ""] {
            assert_eq!(split(id), (id, None));
        }
        assert_eq!(carry("a", "not base64!"), None);
        assert_eq!(carry("a", ""), None);
        assert_eq!(carry("a", &"A".repeat(MAX_CARRIED + 4)), None);
        assert_eq!(split(&carry("a", "-_-_").unwrap()).1.as_deref(), Some("+/+/"));
    }

    proptest! {
        #[test]
        fn a_signature_comes_back(bytes in prop::collection::vec(any::<u8>(), 1..3000), native in "[a-z0-9_.-]{0,12}") {
            let signature = general_purpose::STANDARD.encode(&bytes);
            let id = short(Some(&native), "r", 0, 0);
            let carried = carry(&id, &signature).unwrap();
            prop_assert!(carried.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            prop_assert_eq!(split(&carried), (&*id, Some(signature)));
        }

        #[test]
        fn any_id_can_be_split(id in ".{0,40}") {
            split(&id);
            split(&format!("x__ts_{id}"));
        }
    }
}
