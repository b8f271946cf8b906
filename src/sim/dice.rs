//! Chance that repeats: the same seed gives the same draws on every machine.

/// A stream of draws (SplitMix64, Steele et al. 2014, seeded by FNV-1a).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Dice {
    /// Dice for this seed and these parts; `["ab", "c"]` differs from `["a", "bc"]`.
    pub(crate) fn of(seed: u64, parts: &[&[u8]]) -> Self {
        let mut hash = FNV_OFFSET ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for part in parts {
            for byte in *part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
            }
            // A border that no byte of a part can be.
            hash = (hash ^ 0x100).wrapping_mul(FNV_PRIME);
        }
        Self(hash)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 where `n` is 0. The bias is below 1 in 2^32 for the small `n` used here.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        usize::try_from((self.bits() >> 16) % n as u64).unwrap_or(0)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of `items`, if there is any.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len());
        items.get(index)
    }

    /// A text of `length` letters and digits, as providers use for ids.
    pub(crate) fn id(&mut self, prefix: &str, length: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(prefix.len() + length);
        text.push_str(prefix);
        for _ in 0..length {
            text.push(char::from(LETTERS[self.below(LETTERS.len())]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws() {
        let draw = |seed, parts: &[&[u8]]| Dice::of(seed, parts).id("x-", 12);
        assert_eq!(draw(1, &[b"ab", b"c"]), draw(1, &[b"ab", b"c"]));
        assert_ne!(draw(1, &[b"ab", b"c"]), draw(1, &[b"a", b"bc"]));
        assert_ne!(draw(1, &[b"ab"]), draw(2, &[b"ab"]));
    }

    #[test]
    fn units_spread_over_the_whole_range() {
        let mut dice = Dice::of(7, &[]);
        let draws: Vec<f64> = (0..1000).map(|_| dice.unit()).collect();
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
    }
}
