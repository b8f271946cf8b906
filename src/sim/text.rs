//! Short believable sentences made from a prompt's own words.

use super::dice::Dice;

/// How much of a text is searched for words, in bytes.
const LOOKED_AT: usize = 8 * 1024;
/// How many words are taken from it.
const WORDS: usize = 16;

const COMMON: &[&str] = &[
    "about", "after", "also", "answer", "because", "been", "before", "both", "could", "does", "each",
    "explain", "from", "give", "have", "here", "into", "just", "json", "know", "like", "make", "more",
    "much", "must", "only", "over", "please", "reply", "should", "some", "such", "tell", "than", "that",
    "their", "them", "then", "there", "these", "they", "this", "using", "very", "want", "well", "were",
    "what", "when", "where", "which", "will", "with", "would", "write", "your",
];

const OPENERS: &[&str] = &[
    "You asked about {a}, and the short answer is that it depends on {b}.",
    "In short, {a} comes first and {b} follows from it.",
    "Here is what matters about {a}: it goes hand in hand with {b}.",
    "Let me take {a} first, then {b}.",
];

const MIDDLES: &[&str] = &[
    "A careful look at {a} shows how {b} fits in.",
    "Most people begin with {a} and come to {b} later.",
    "The link between {a} and {b} is easy to miss.",
    "If {a} is in doubt, start from {b} instead.",
    "For {a} there are two common ways, and both touch {b}.",
    "Without {a}, there would be little to say on {b}.",
];

const CLOSERS: &[&str] = &[
    "That is the heart of {a}.",
    "I can go deeper into {a} or {b} if that helps.",
    "So keep {a} in mind when you turn to {b}.",
    "With that, {a} should be clear.",
];

/// The telling words of `text` in their order, each once; never empty.
pub(crate) fn keywords(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in head(text, LOOKED_AT).split(|c: char| !c.is_alphanumeric()) {
        let long = word.chars().count();
        if !(3..=40).contains(&long) || (long == 3 && !word.chars().any(char::is_uppercase)) {
            continue;
        }
        let lower = word.to_lowercase();
        if COMMON.contains(&lower.as_str()) || words.iter().any(|known| known.to_lowercase() == lower) {
            continue;
        }
        words.push(word.to_owned());
        if words.len() == WORDS {
            break;
        }
    }
    if words.is_empty() {
        words.extend(["the question", "the details"].map(str::to_owned));
    }
    words
}

/// At most `limit` bytes from the start of `text`, cut at a character.
pub(crate) fn head(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// An answer of three to five sentences.
pub(crate) fn answer(dice: &mut Dice, words: &[String]) -> String {
    let mut text = sentence(dice, OPENERS, words);
    for _ in 0..1 + dice.below(3) {
        text.push(' ');
        text.push_str(&sentence(dice, MIDDLES, words));
    }
    text.push(' ');
    text.push_str(&sentence(dice, CLOSERS, words));
    text
}

/// One more sentence, for answers that have to be long.
pub(crate) fn more(dice: &mut Dice, words: &[String]) -> String {
    sentence(dice, MIDDLES, words)
}

/// An answer that tells what a tool gave.
pub(crate) fn quote(dice: &mut Dice, result: &str, words: &[String]) -> String {
    let shown = head(result.trim(), 400);
    format!("The tool returned: {shown}. {}", sentence(dice, CLOSERS, words))
}

fn sentence(dice: &mut Dice, templates: &[&str], words: &[String]) -> String {
    let template = dice.pick(templates).copied().unwrap_or("{a} and {b}.");
    let first = dice.below(words.len());
    let second =
        if words.len() > 1 { (first + 1 + dice.below(words.len() - 1)) % words.len() } else { first };
    let word = |index: usize| words.get(index).map_or("it", String::as_str);
    template.replace("{b}", word(second)).replace("{a}", word(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_the_telling_ones() {
        assert_eq!(
            keywords("What is the capital of France, and of what is it the capital?"),
            ["capital", "France"]
        );
        assert_eq!(keywords("Hi").len(), 2);
        assert!(keywords(&"é".repeat(20_000)).len() == 2);
    }

    #[test]
    fn an_answer_mentions_the_prompt_and_repeats() {
        let words = keywords("Compare borrowing with ownership");
        let make = |seed| answer(&mut Dice::of(seed, &[]), &words);
        assert_eq!(make(1), make(1));
        assert!((1..20).any(|seed| make(seed) != make(1)));
        assert!(make(1).contains("ownership") || make(1).contains("borrowing"));
        assert!(!make(1).contains('{'));
    }
}
