//! Decimal numbers as text, written without asking for memory.

/// The most bytes that a number takes: a sign, the 20 digits of a `u64`, a point.
const ROOM: usize = 24;

/// A number as text.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    bytes: [u8; ROOM],
    from: usize,
}

impl Decimal {
    /// A whole number.
    pub fn whole(number: u64) -> Self {
        Self::new(false, number, 0, false)
    }

    /// So many 10^-`places`, `places` being at most 9, with as many decimals.
    pub fn exact(number: u64, places: u32) -> Self {
        Self::new(false, number, places, true)
    }

    /// So many 10^-`places`, `places` being at most 9, without needless zeros; with a sign where it is `negative`.
    pub fn short(negative: bool, number: u64, places: u32) -> Self {
        Self::new(negative, number, places, false)
    }

    fn new(negative: bool, number: u64, places: u32, zeros: bool) -> Self {
        let mut text = Self { bytes: [0; ROOM], from: ROOM };
        let (mut rest, mut shown) = (number, zeros);
        for _ in 0..places.min(9) {
            let digit = rest % 10;
            rest /= 10;
            shown |= digit > 0;
            if shown {
                text.put(b'0' + digit as u8);
            }
        }
        if places > 0 && shown {
            text.put(b'.');
        }
        loop {
            text.put(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if negative {
            text.put(b'-');
        }
        text
    }

    fn put(&mut self, byte: u8) {
        self.from -= 1;
        self.bytes[self.from] = byte;
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("digits, a point, a sign are text")
    }

    /// The same as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (number, places, short, exact) in [
            (0, 9, "0", "0.000000000"),
            (1, 9, "0.000000001", "0.000000001"),
            (12_500_000, 9, "0.0125", "0.012500000"),
            (10_000_000_000, 9, "10", "10.000000000"),
            (1_203, 3, "1.203", "1.203"),
            (1_000, 3, "1", "1.000"),
            (u64::MAX, 9, "18446744073.709551615", "18446744073.709551615"),
            (u64::MAX, 0, "18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(Decimal::short(false, number, places).as_str(), short);
            assert_eq!(Decimal::exact(number, places).as_str(), exact);
            assert_eq!(Decimal::short(true, number, places).as_str(), format!("-{short}"));
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_what_the_library_writes(number: u64) {
            let text = Decimal::whole(number);
            prop_assert_eq!(text.as_str(), number.to_string());
        }
    }
}
