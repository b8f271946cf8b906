//! Looks tokens up in a vocabulary that is laid out in memory.

use super::layout::{BLOCK, SLOT, SLOTS, hash};

/// A vocabulary. Its parts are slices of one block of bytes, so it takes no time to load and pages of it that are not
/// used take no memory.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    slots: &'static [u8],
    lengths: &'static [u8],
    places: &'static [u8],
    bytes: &'static [u8],
}

impl Table {
    /// The vocabulary in `data`, as [`super::layout`] has it.
    pub fn new(data: &'static [u8]) -> Self {
        let (count, data) = data.split_at(4);
        let count = number(count);
        let (slots, data) = data.split_at(SLOTS * SLOT);
        let (lengths, data) = data.split_at(count);
        let (places, bytes) = data.split_at(count.div_ceil(BLOCK) * 4);
        Self { slots, lengths, places, bytes }
    }

    /// The token that is exactly `bytes`. The lower its number, the earlier it is merged.
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        let mut slot = hash(bytes);
        loop {
            let id = number(&self.slots[slot * SLOT..][..SLOT]).checked_sub(1)?;
            if usize::from(self.lengths[id]) == bytes.len() && self.at(id) == bytes {
                return Some(id as u32);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The bytes of a token.
    pub fn bytes(&self, token: u32) -> &'static [u8] {
        self.at(token as usize)
    }

    fn at(&self, id: usize) -> &'static [u8] {
        let block = id / BLOCK;
        let before: usize = self.lengths[block * BLOCK..id].iter().map(|length| usize::from(*length)).sum();
        let start = number(&self.places[block * 4..][..4]) + before;
        &self.bytes[start..][..usize::from(self.lengths[id])]
    }
}

/// A little-endian number of at most four bytes.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
