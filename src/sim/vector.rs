//! Unit vectors in which texts with the same words are near each other.

use super::dice::Dice;

/// How many places of a vector each word has a say in.
const PLACES: usize = 12;

/// A vector of length 1: each word adds to places that only it and the seed decide.
pub(crate) fn of(text: &str, width: usize, seed: u64) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    let mut add = |word: &str| {
        let mut dice = Dice::of(seed, &[word.as_bytes()]);
        for _ in 0..PLACES {
            let place = dice.below(width);
            sums[place] += dice.unit() - 0.5;
        }
    };
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .for_each(|word| add(&word.to_lowercase()));
    // A little of the whole text keeps apart what has the same words, or none.
    add(text);
    let length = sums.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 {
        sums[0] = 1.0;
        return sums.into_iter().map(|value| value as f32).collect();
    }
    sums.into_iter().map(|value| (value / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (of(a, 1536, 1), of(b, 1536, 1));
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_length_one_and_repeat() {
        for text in ["hello", " ", "?!", "日本語"] {
            for width in [1, 8, 3072] {
                let length: f32 = of(text, width, 1).iter().map(|value| value * value).sum();
                assert!((length - 1.0).abs() < 1e-3, "{text} {width}");
            }
        }
        assert_eq!(of("hello", 64, 1), of("hello", 64, 1));
    }

    #[test]
    fn texts_with_the_same_words_are_near() {
        let near = cosine("how do I reset my password", "How do I reset my own password?");
        assert!(near > 0.7, "{near}");
        assert!(cosine("how do I reset my password", "the weather in Paris").abs() < 0.3);
    }
}
