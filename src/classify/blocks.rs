//! Where the words, numbers, signs, lines of a text are, as bits, eight bytes at a time.

/// Bytes of a block: one bit each.
pub const BLOCK: usize = 64;

/// The most blocks of a text.
const MOST: usize = 64;

/// A byte in each of the eight places.
const ALL: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ALL;

/// A bit for each byte, 64 in a block. No block follows the last, so that one of zeros stands there.
type Bits = [u64; MOST + 1];

/// Where things are in a text of at most 4 KiB, how many there are.
pub struct Blocks {
    used: usize,
    letter: Bits,
    digit: Bits,
    sign: Bits,
    newline: Bits,
    pub letters: u32,
    pub words: u32,
    pub long_words: u32,
    pub digits: u32,
    pub numbers: u32,
    pub long_numbers: u32,
    pub foreign: u32,
}

impl Blocks {
    /// Looks at a text; what is behind 4 KiB is left out.
    pub fn of(bytes: &[u8]) -> Self {
        let none = [0; MOST + 1];
        let mut blocks = Self {
            used: bytes.len().min(MOST * BLOCK).div_ceil(BLOCK),
            letter: none,
            digit: none,
            sign: none,
            newline: none,
            letters: 0,
            words: 0,
            long_words: 0,
            digits: 0,
            numbers: 0,
            long_numbers: 0,
            foreign: 0,
        };
        let (whole, rest) = bytes.as_chunks::<BLOCK>();
        for (at, block) in whole.iter().take(MOST).enumerate() {
            blocks.look(at, block);
        }
        if whole.len() < MOST && !rest.is_empty() {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            blocks.look(whole.len(), &block);
        }
        blocks.count();
        blocks
    }

    #[inline]
    fn look(&mut self, at: usize, block: &[u8; BLOCK]) {
        let (mut letter, mut digit, mut sign, mut newline) = (0, 0, 0, 0);
        let (mut letters_seen, mut digits_seen, mut foreign_seen) = (0, 0, 0);
        for (place, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let x = u64::from_le_bytes(*eight);
            let low = x & !HIGH;
            let small = low | 0x20 * ALL;
            let letters = (from(small, 0x61) & !from(small, 0x7b) | x) & HIGH;
            let digits = from(low, 0x30) & !from(low, 0x3a) & !x & HIGH;
            let signs = from(low, 0x21) & !from(low, 0x7f) & !letters & !digits & HIGH;
            let newlines = from(low, 0x0a) & !from(low, 0x0b) & !x & HIGH;
            let shift = 8 * place;
            letter |= gather(letters) << shift;
            digit |= gather(digits) << shift;
            sign |= gather(signs) << shift;
            newline |= gather(newlines) << shift;
            letters_seen += letters >> 7;
            digits_seen += digits >> 7;
            foreign_seen += (x & HIGH) >> 7;
        }
        self.letter[at] = letter;
        self.digit[at] = digit;
        self.sign[at] = sign;
        self.newline[at] = newline;
        self.letters += sum(letters_seen);
        self.digits += sum(digits_seen);
        self.foreign += sum(foreign_seen);
    }

    /// Counts runs.
    fn count(&mut self) {
        for at in 0..self.used {
            let words = starts(&self.letter, at);
            self.words += words.count_ones();
            self.long_words += (words & runs(&self.letter, at, 8)).count_ones();
            if self.digit[at] != 0 {
                let numbers = starts(&self.digit, at);
                self.numbers += numbers.count_ones();
                self.long_numbers += (numbers & runs(&self.digit, at, 3)).count_ones();
            }
        }
    }

    /// The places of signs.
    pub fn signs(&self) -> impl Iterator<Item = usize> {
        places(&self.sign[..self.used])
    }

    /// The places of line ends.
    pub fn newlines(&self) -> impl Iterator<Item = usize> {
        places(&self.newline[..self.used])
    }

    /// Hands over where each word, number or sign begins, where it ends, in order. Of a very long one the first 64
    /// bytes.
    #[inline]
    pub fn each_token(&self, mut take: impl FnMut(usize, usize)) {
        for at in 0..self.used {
            let mut left = starts(&self.letter, at) | starts(&self.digit, at) | self.sign[at];
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                // The kinds do not overlap: what continues beyond the start is of the start's own kind; a sign stands
                // alone.
                let is = |bits: &Bits| (bits[at] >> bit & 1).wrapping_neg();
                let same = ahead(&self.letter, at, bit) & is(&self.letter)
                    | ahead(&self.digit, at, bit) & is(&self.digit)
                    | 1;
                let start = at * BLOCK + bit as usize;
                take(start, start + (!same).trailing_zeros() as usize);
            }
        }
    }
}

/// In the high bit of each byte, whether the byte, which is below 0x80, is at least so much.
#[inline]
fn from(low: u64, least: u64) -> u64 {
    low + (0x80 - least) * ALL
}

/// The sum of the bytes, which is below 256.
#[inline]
fn sum(bytes: u64) -> u32 {
    (bytes.wrapping_mul(ALL) >> 56) as u32
}

/// The high bits of eight bytes as the bits of one.
#[inline]
fn gather(high: u64) -> u64 {
    // Bit 8i+7 is moved to bit 56+i; no two products meet in one bit, so that nothing carries.
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The bits that begin a run.
#[inline]
fn starts(bits: &Bits, at: usize) -> u64 {
    let before = if at == 0 { 0 } else { bits[at - 1] >> 63 };
    bits[at] & !(bits[at] << 1 | before)
}

/// 64 bits from one on.
#[inline]
fn ahead(bits: &Bits, at: usize, bit: u32) -> u64 {
    bits[at] >> bit | (bits[at + 1] << 1) << (63 - bit)
}

/// The bits from which on at least `length` bits are set, 8 at most.
#[inline]
fn runs(bits: &Bits, at: usize, length: u32) -> u64 {
    (1..length).fold(bits[at], |run, ahead_by| run & ahead(bits, at, ahead_by))
}

/// The places of the bits that are set.
fn places(bits: &[u64]) -> impl Iterator<Item = usize> {
    bits.iter().enumerate().flat_map(|(at, bits)| {
        let mut left = *bits;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            Some(at * BLOCK + bit)
        })
    })
}
