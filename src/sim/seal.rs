//! The signatures on a model's thoughts, which providers want back unchanged.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::dice::Dice;

/// What each of these seals begins with; as base64 it is `c2lt`.
const MARK: &[u8; 3] = b"sim";
const BYTES: usize = 60;

/// The seal of a text; the same at every simulated provider, as a real one's holds for all its customers.
pub(crate) fn of(kind: &str, text: &str) -> String {
    let mut dice = Dice::of(0, &[b"seal", kind.as_bytes(), text.as_bytes()]);
    let mut bytes = MARK.to_vec();
    while bytes.len() < BYTES {
        bytes.extend_from_slice(&dice.bits().to_le_bytes());
    }
    bytes.truncate(BYTES);
    BASE64_STANDARD.encode(bytes)
}

/// Whether a seal may stand beside this text: one that was not made here may stand anywhere.
pub(crate) fn fits(seal: &str, kind: &str, text: &str) -> bool {
    !seal.starts_with("c2lt") || unified(seal) == unified(&of(kind, text))
}

/// The one alphabet of base64 in the place of the other.
fn unified(seal: &str) -> String {
    seal.trim_end_matches('=').replace('-', "+").replace('_', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_fits_its_own_text_only() {
        let seal = of("thinking", "First this.");
        assert!(fits(&seal, "thinking", "First this."));
        assert!(fits(&seal.replace('+', "-").replace('/', "_"), "thinking", "First this."));
        assert!(!fits(&seal, "thinking", "First that.") && !fits(&seal, "call", "First this."));
        assert!(fits("EqoBCkgI", "thinking", "anything"));
    }
}
