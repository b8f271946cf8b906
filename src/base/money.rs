//! Money in whole numbers: prices in picodollars a token, sums in nanodollars.

use std::{borrow::Cow, fmt, iter::Sum};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::decimal::Decimal;

/// The price of a token in picodollars (10^-12 USD), which is USD per million tokens with six decimals:
/// 0.0375 USD per million tokens are 37,500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pico(pub u64);

/// An amount of money in nanodollars (10^-9 USD).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

/// A text that is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAmount {
    /// Not a decimal number.
    NotDecimal,
    /// Below zero, where nothing below zero makes sense.
    Negative,
    /// More decimals than are kept; how many are.
    TooFine(u32),
    /// Larger than can be kept.
    TooLarge,
}

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDecimal => f.write_str("it is not a decimal number"),
            Self::Negative => f.write_str("it is below zero"),
            Self::TooFine(places) => write!(f, "it has more than {places} decimals"),
            Self::TooLarge => f.write_str("it is too large"),
        }
    }
}

impl std::error::Error for BadAmount {}

/// Reads a decimal number like `-12.50` as a whole number of 10^-`places`.
fn scaled(text: &str, places: u32) -> Result<i128, BadAmount> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(BadAmount::NotDecimal),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return Err(BadAmount::NotDecimal);
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = (places as usize).checked_sub(fraction.len()).ok_or(BadAmount::TooFine(places))?;
    let joined = format!("{}{fraction}{}", whole.trim_start_matches('0'), "0".repeat(missing));
    // 38 digits always fit; what is longer is far beyond every amount that is kept.
    let number: i128 = match joined.len() {
        0..=38 => joined.parse().map_err(|_| BadAmount::NotDecimal)?,
        _ => return Err(BadAmount::TooLarge),
    };
    Ok(if negative { -number } else { number })
}

impl Pico {
    /// The highest price that is believed: one USD a token.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// What a price looks like, for messages.
    pub const FORM: &str =
        "USD per million tokens from 0 to 1000000, at most 6 decimals, like 2.50 or \"0.0375\"";

    const PLACES: u32 = 6;

    /// Reads USD per million tokens.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BadAmount> {
        let number = scaled(text, Self::PLACES)?;
        if number < 0 {
            return Err(BadAmount::Negative);
        }
        u64::try_from(number).ok().map(Self).filter(|price| *price <= Self::MAX).ok_or(BadAmount::TooLarge)
    }

    /// This price times `numerator / denominator`, rounded up; `None` if the denominator is 0. At most [`Self::MAX`].
    pub fn times(self, numerator: Self, denominator: Self) -> Option<Self> {
        let product = u128::from(self.0) * u128::from(numerator.0);
        let scaled = (denominator.0 > 0).then(|| product.div_ceil(u128::from(denominator.0)))?;
        Some(Self(u64::try_from(scaled).unwrap_or(u64::MAX)).min(Self::MAX))
    }
}

impl Nanos {
    /// The largest amount, about nine billion USD.
    pub const MAX: Self = Self(i64::MAX);
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What an amount looks like, for messages.
    pub const FORM: &str = "USD with at most 9 decimals, like 10.00 or \"0.0125\"";

    const PLACES: u32 = 9;

    /// Reads USD.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BadAmount> {
        i64::try_from(scaled(text, Self::PLACES)?).map(Self).map_err(|_| BadAmount::TooLarge)
    }

    /// What so many tokens cost at their prices: the exact sum, rounded up once to a nanodollar. A cost beyond
    /// [`Self::MAX`] is that.
    pub fn cost(parts: impl IntoIterator<Item = (u64, Pico)>) -> Self {
        let picos = parts.into_iter().fold(0_u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(tokens) * u128::from(price.0))
        });
        Self(i64::try_from(picos.div_ceil(1000)).unwrap_or(i64::MAX))
    }

    /// USD as text, like `0.0125`.
    pub fn text(self) -> Decimal {
        Decimal::short(self.0 < 0, self.0.unsigned_abs(), Self::PLACES)
    }

    /// About so many USD, for those who count with floats.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum; `None` if it is too large or too small.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` if it is too large or too small.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, held at the bounds of what can be kept.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held at the bounds of what can be kept.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Nanos {
    /// The sum, held at the bounds of what can be kept.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Pico {
    /// USD per million tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Decimal::short(false, self.0, Self::PLACES).as_str())
    }
}

impl fmt::Display for Nanos {
    /// USD, like `0.0125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}")
    }
}

impl Serialize for Pico {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A decimal number in the forms that files hold it in, as its text.
struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a decimal text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Written, E> {
                Ok(Written(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }
            // The shortest decimal text that reads as the same float is what its author wrote.
            fn visit_f64<E>(self, number: f64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Pico {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written(text) = Written::deserialize(deserializer)?;
        Self::parse(&text).map_err(|bad| de::Error::custom(format_args!("{bad}; write {}", Self::FORM)))
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written(text) = Written::deserialize(deserializer)?;
        Self::parse(&text).map_err(|bad| de::Error::custom(format_args!("{bad}; write {}", Self::FORM)))
    }
}

impl JsonSchema for Pico {
    fn schema_name() -> Cow<'static, str> {
        "Price".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": "price", "minimum": 0, "maximum": 1_000_000 })
    }
}

impl JsonSchema for Nanos {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": "money", "maximum": 9_000_000_000_u64 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_exact() {
        for (text, picos) in [
            ("0.0375", 37_500),
            ("2", 2_000_000),
            ("2.50", 2_500_000),
            ("0.000001", 1),
            ("0.0000010", 1),
            ("1000000", Pico::MAX.0),
            ("0", 0),
            ("00.1", 100_000),
        ] {
            assert_eq!(Pico::parse(text), Ok(Pico(picos)), "{text}");
        }
        for (text, bad) in [
            ("0.0000001", BadAmount::TooFine(6)),
            ("-1", BadAmount::Negative),
            ("1000000.000001", BadAmount::TooLarge),
            (&"9".repeat(400), BadAmount::TooLarge),
            ("", BadAmount::NotDecimal),
            ("1.", BadAmount::NotDecimal),
            (".5", BadAmount::NotDecimal),
            ("1e3", BadAmount::NotDecimal),
            ("NaN", BadAmount::NotDecimal),
            ("--1", BadAmount::NotDecimal),
            ("+1", BadAmount::NotDecimal),
            ("1 ", BadAmount::NotDecimal),
            ("١", BadAmount::NotDecimal),
        ] {
            assert_eq!(Pico::parse(text), Err(bad), "{text}");
        }
    }

    #[test]
    fn amounts_read_and_print() {
        for (text, nanos, shown) in [
            ("0.0125", 12_500_000, "0.0125"),
            ("10.00", 10_000_000_000, "10"),
            ("-0.000000001", -1, "-0.000000001"),
            ("0", 0, "0"),
            ("-0", 0, "0"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(Nanos::parse(text), Ok(Nanos(nanos)), "{text}");
            assert_eq!(Nanos(nanos).to_string(), shown);
        }
        assert_eq!(Nanos(i64::MIN).to_string(), "-9223372036.854775808");
        assert_eq!(Nanos::parse("9223372036.854775808"), Err(BadAmount::TooLarge));
        assert_eq!(Nanos::parse("0.0000000001"), Err(BadAmount::TooFine(9)));
    }

    #[test]
    fn files_hold_numbers_or_texts() {
        for (json, picos) in [("0.0375", 37_500), ("\"0.0375\"", 37_500), ("3", 3_000_000), ("1e-6", 1)] {
            assert_eq!(serde_json::from_str::<Pico>(json).unwrap(), Pico(picos), "{json}");
        }
        for json in ["-1", "1e-7", "true", "null", "\"x\"", "1e300", "[]"] {
            assert!(serde_json::from_str::<Pico>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::to_string(&Nanos(12_500_000)).unwrap(), "\"0.0125\"");
        let error = serde_json::from_str::<Pico>("0.0000001").unwrap_err().to_string();
        assert!(error.contains("more than 6 decimals"), "{error}");
    }

    #[test]
    fn a_cost_is_rounded_up_once() {
        assert_eq!(Nanos::cost([(1, Pico(37_500))]), Nanos(38));
        assert_eq!(Nanos::cost([(1, Pico(500)), (1, Pico(500))]), Nanos(1));
        assert_eq!(Nanos::cost([(0, Pico::MAX)]), Nanos::ZERO);
        assert_eq!(Nanos::cost([(u64::MAX, Pico(u64::MAX)); 3]), Nanos::MAX);
    }

    #[test]
    fn a_million_small_costs_sum_to_the_sum_of_their_roundings() {
        let one = Nanos::cost([(1, Pico(37_500))]);
        let sum: Nanos = std::iter::repeat_n(one, 1_000_000).sum();
        assert_eq!(sum, Nanos(38_000_000));
        assert_eq!(sum.to_string(), "0.038");
    }

    #[test]
    fn prices_scale() {
        assert_eq!(Pico(200_000).times(Pico(625_000), Pico(125_000)), Some(Pico(1_000_000)));
        assert_eq!(Pico(1).times(Pico(1), Pico(3)), Some(Pico(1)));
        assert_eq!(Pico(1).times(Pico(1), Pico(0)), None);
        assert_eq!(Pico(u64::MAX).times(Pico(u64::MAX), Pico(1)), Some(Pico::MAX));
    }

    /// A big integer in base 10^9, lowest digit first: the slow way that cannot be wrong in the same way.
    fn big(tokens: u64, price: u64) -> Vec<u64> {
        const BASE: u64 = 1_000_000_000;
        let digits = |number: u64| [number % BASE, number / BASE % BASE, number / BASE / BASE];
        let mut out = vec![0_u64; 7];
        for (i, a) in digits(tokens).into_iter().enumerate() {
            for (j, b) in digits(price).into_iter().enumerate() {
                out[i + j] += a * b % BASE;
                out[i + j + 1] += a * b / BASE;
            }
        }
        out
    }

    fn carried(mut digits: Vec<u64>) -> String {
        let mut carry = 0;
        for digit in &mut digits {
            let sum = *digit + carry;
            (*digit, carry) = (sum % 1_000_000_000, sum / 1_000_000_000);
        }
        let text: String = digits.iter().rev().map(|digit| format!("{digit:09}")).collect();
        text.trim_start_matches('0').to_owned()
    }

    proptest! {
        #[test]
        fn costs_agree_with_big_integers(parts in prop::collection::vec((0..=1_u64 << 40, 0..=1_000_000_u64 * 1000), 0..8)) {
            let mut sum = vec![0; 7];
            for (tokens, price) in &parts {
                sum.iter_mut().zip(big(*tokens, *price)).for_each(|(sum, digit)| *sum += digit);
            }
            let exact = carried(sum);
            // Nanodollars are picodollars without the last three digits, one more where those were not zero.
            let (head, tail) = exact.split_at(exact.len().saturating_sub(3));
            let up = u128::from(!tail.trim_matches('0').is_empty());
            let expected = head.parse::<u128>().unwrap_or(0) + up;
            let cost = Nanos::cost(parts.into_iter().map(|(tokens, price)| (tokens, Pico(price))));
            prop_assert_eq!(cost.0 as u128, expected.min(i64::MAX as u128));
        }

        #[test]
        fn what_is_printed_reads_back(nanos: i64, picos in 0..=Pico::MAX.0) {
            prop_assert_eq!(Nanos::parse(&Nanos(nanos).to_string()), Ok(Nanos(nanos)));
            prop_assert_eq!(Pico::parse(&Pico(picos).to_string()), Ok(Pico(picos)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = (Pico::parse(&text), Nanos::parse(&text));
        }

        #[test]
        fn a_float_in_a_file_is_what_its_author_wrote(picos in 0..=100_000_000_u64) {
            let json = Pico(picos).to_string();
            prop_assert_eq!(serde_json::from_str::<Pico>(&json).unwrap(), Pico(picos));
        }
    }
}
