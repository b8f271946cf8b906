//! Simulated text in tokens of OpenAI's `o200k` vocabulary.

use crate::base::tokens;

/// A bit of text as a model would emit it: one token, or the few that together are whole characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The text.
    pub(crate) text: String,
    /// The tokens in it.
    pub(crate) tokens: u32,
}

/// The number of tokens in `text`.
pub(crate) fn count(text: &str) -> u64 {
    tokens::count(text) as u64
}

/// `text` cut at its token borders, where these are character borders too.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut done = Vec::new();
    let (mut bytes, mut tokens) = (Vec::new(), 0);
    for token in tokens::tokens(text) {
        bytes.extend_from_slice(token);
        tokens += 1;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            done.push(Piece { text: text.to_owned(), tokens });
            bytes.clear();
            tokens = 0;
        }
    }
    done
}

/// Keeps at most `limit` tokens; whether any were left out.
pub(crate) fn cut(pieces: &mut Vec<Piece>, limit: u32) -> bool {
    let mut room = limit;
    let kept = pieces
        .iter()
        .take_while(|piece| match room.checked_sub(piece.tokens) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        })
        .count();
    let cut = kept < pieces.len();
    pieces.truncate(kept);
    cut
}

/// The tokens in all `pieces`.
pub(crate) fn total(pieces: &[Piece]) -> u32 {
    pieces.iter().map(|piece| piece.tokens).sum()
}

/// The whole text of `pieces`.
pub(crate) fn join(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_text_and_its_count() {
        for text in ["", "Hello, world!", "naïve 日本語 🦀🦀 text\n\n  end "] {
            let pieces = pieces(text);
            assert_eq!(join(&pieces), text);
            assert_eq!(u64::from(total(&pieces)), count(text));
        }
    }

    #[test]
    fn a_cut_keeps_at_most_the_limit() {
        let mut some = pieces("one two three four five");
        assert!(cut(&mut some, 3));
        assert_eq!(join(&some), "one two three");
        assert!(!cut(&mut some, 3));
        assert!(cut(&mut some, 0));
        assert!(some.is_empty());
    }
}
