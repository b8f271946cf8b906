//! The last bytes of an input say how the rest is read.

use bytes::Bytes;

/// How many bytes at the end of an input are no content.
const KNOBS: usize = 4;

/// How an input is read.
#[derive(Clone, Copy, Debug)]
pub struct Knobs([u8; KNOBS]);

impl Knobs {
    /// The content of an input with its knobs; a short input has only knobs.
    pub fn split(input: &[u8]) -> (&[u8], Self) {
        let (content, last) = input.split_at(input.len().saturating_sub(KNOBS));
        let mut knobs = [0; KNOBS];
        knobs[..last.len()].copy_from_slice(last);
        (content, Self(knobs))
    }

    /// Whether the switch `number`, from 0 to 7, is on.
    pub fn on(self, number: u32) -> bool {
        (self.0[0] >> number) & 1 == 1
    }

    /// One of `count` ways.
    pub fn way(self, count: usize) -> usize {
        usize::from(self.0[1]) % count
    }

    /// The content in pieces as the network may deliver them: of two sizes in turn, each 1 to 256 bytes.
    pub fn cut(self, content: &[u8]) -> Vec<Bytes> {
        let mut sizes = [self.0[2], self.0[3]].into_iter().cycle().map(|size| usize::from(size) + 1);
        let (mut rest, mut pieces) = (content, Vec::new());
        while !rest.is_empty() {
            let size = sizes.next().expect("it never ends").min(rest.len());
            let (piece, behind) = rest.split_at(size);
            pieces.push(Bytes::copy_from_slice(piece));
            rest = behind;
        }
        pieces
    }
}
