//! The number that a model gives.

/// The numbers as words.
const WORDS: [&str; 10] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/// The number in a text that is nothing but that, 1 to 10.
pub fn rating(text: &str) -> Option<u8> {
    let digits = text.trim().trim_end_matches('.');
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && (1..=10).contains(number))
}

/// A number from 1 to 10 as a word.
pub(super) fn word(rating: u8) -> Option<&'static str> {
    WORDS.get(usize::from(rating).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_counts() {
        for (text, expected) in
            [("7", Some(7)), (" 10.\n", Some(10)), ("1", Some(1)), ("0", None), ("11", None), ("+3", None)]
        {
            assert_eq!(rating(text), expected, "{text}");
            assert_eq!(expected.and_then(word), expected.map(|_| text.trim().trim_end_matches('.')));
        }
        for text in ["", "7/10", "Complexity: 7", "7 because", "seven", "-1", "3.5", "300", "7\n8"] {
            assert_eq!(rating(text), None, "{text}");
        }
        assert_eq!((word(0), word(11)), (None, None));
    }
}
