//! The form of a vocabulary in memory: made at build time, read where it lies.

/// Slots of the hash table: a power of two above the number of tokens.
pub const SLOTS: usize = 1 << 18;
/// Bytes of a slot: a token's number plus one, little-endian; 0 is an empty slot.
pub const SLOT: usize = 3;
/// So many tokens share one entry in the table of places.
pub const BLOCK: usize = 32;

/// The place in the hash table where the search for `bytes` begins: FNV-1a, its upper half folded in.
pub fn hash(bytes: &[u8]) -> usize {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash ^ (hash >> 32)) as usize % SLOTS
}

/// The table of `tokens`, which are numbered in their order: their number, the slots, the length of each, the place of
/// each block's first, their bytes. A token is at most 255 bytes long.
#[allow(dead_code, reason = "only the build calls it")]
pub fn build(tokens: &[&[u8]]) -> Vec<u8> {
    let mut slots = vec![0; SLOTS * SLOT];
    let mut places = Vec::new();
    let mut lengths = Vec::new();
    let mut bytes = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        let mut slot = hash(token);
        while slots[slot * SLOT..][..SLOT] != [0; SLOT] {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot * SLOT..][..SLOT].copy_from_slice(&(id as u32 + 1).to_le_bytes()[..SLOT]);
        if id % BLOCK == 0 {
            places.extend((bytes.len() as u32).to_le_bytes());
        }
        lengths.push(u8::try_from(token.len()).expect("tokens are short"));
        bytes.extend_from_slice(token);
    }
    [&(tokens.len() as u32).to_le_bytes()[..], &slots, &lengths, &places, &bytes].concat()
}
