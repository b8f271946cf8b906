//! Small changes to a body that leave every other byte as it was.

use std::ops::Range;

use bytes::Bytes;

/// What is left of a body behind the last change is copied, unless it has more bytes than that.
const COPIED: usize = 16 * 1024;

/// A body that was changed, in two pieces: what had to be written anew, and what stands behind it, which is still the
/// client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spliced {
    /// What comes first.
    pub begin: Bytes,
    /// What follows; mostly nothing.
    pub rest: Bytes,
}

impl From<Bytes> for Spliced {
    fn from(begin: Bytes) -> Self {
        Self { begin, rest: Bytes::new() }
    }
}

impl From<Vec<u8>> for Spliced {
    fn from(begin: Vec<u8>) -> Self {
        Bytes::from(begin).into()
    }
}

impl Spliced {
    /// Its bytes in one piece.
    pub fn whole(&self) -> Bytes {
        match self.rest.is_empty() {
            true => self.begin.clone(),
            false => [&self.begin[..], &self.rest].concat().into(),
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.begin.len() + self.rest.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Changes to a body, made in one copy at the end; no copy at all when there are none.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, Vec<u8>)>);

impl Edits {
    /// Puts `text` where `range` stood; an empty range inserts.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Vec<u8>>) {
        self.0.push((range, text.into()));
    }

    /// The body with all changes. Ranges must lie inside it; insertions at one place keep the order in which they
    /// were asked for, and of two changes to the same bytes the first counts.
    pub fn apply(self, body: &Bytes) -> Bytes {
        self.write(body, usize::MAX).begin
    }

    /// The same without a copy of what is left behind the last change, if that is long.
    pub fn splice(self, body: &Bytes) -> Spliced {
        self.write(body, COPIED)
    }

    fn write(mut self, body: &Bytes, copied: usize) -> Spliced {
        if self.0.is_empty() {
            return body.clone().into();
        }
        // Of changes that begin together, insertions come first, then the one asked for first.
        self.0.sort_by_key(|(range, _)| (range.start, !range.is_empty()));
        let added: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        let end = self.0.iter().map(|(range, _)| range.end).max().unwrap_or_default();
        let rest = if body.len() - end > copied { body.slice(end..) } else { Bytes::new() };
        let body = &body[..body.len() - rest.len()];
        let mut out = Vec::with_capacity(body.len() + added);
        let mut done = 0;
        for (range, text) in &self.0 {
            if range.start < done {
                continue;
            }
            out.extend_from_slice(&body[done..range.start]);
            out.extend_from_slice(text);
            done = range.end;
        }
        out.extend_from_slice(&body[done..]);
        Spliced { begin: out.into(), rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_inserts_and_removes() {
        let mut edits = Edits::default();
        edits.replace(8..9, "");
        edits.replace(2..2, "X");
        edits.replace(2..2, "Y");
        edits.replace(4..6, "--");
        assert_eq!(edits.apply(&Bytes::from_static(b"0123456789")), "01XY23--679");
    }

    #[test]
    fn of_two_changes_to_the_same_bytes_the_first_counts() {
        let mut edits = Edits::default();
        edits.replace(2..6, "");
        edits.replace(2..6, "x");
        edits.replace(4..5, "y");
        edits.replace(6..6, "z");
        assert_eq!(edits.apply(&Bytes::from_static(b"0123456789")), "01z6789");
    }

    #[test]
    fn without_changes_the_body_is_not_copied() {
        let body = Bytes::from_static(b"abc");
        assert_eq!(Edits::default().apply(&body).as_ptr(), body.as_ptr());
    }
}
