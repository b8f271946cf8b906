//! Prompts that say the same, as groups.

use std::collections::HashMap;

/// The group of each text, numbered in the order of their first members. Texts with the same letters and digits are in one
/// group, whatever their case or signs: who has learned one of them knows the others.
pub fn groups<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let mut known: HashMap<String, usize> = HashMap::new();
    texts
        .into_iter()
        .map(|text| {
            let next = known.len();
            *known.entry(folded(text)).or_insert(next)
        })
        .collect()
}

/// How many groups there are.
pub fn count(groups: &[usize]) -> usize {
    groups.iter().max().map_or(0, |last| last + 1)
}

/// The letters and digits of a text, small; one that has none stays as it is.
fn folded(text: &str) -> String {
    let all: String =
        text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if all.is_empty() { text.to_owned() } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_one_group() {
        let of = groups(["Hello, you!", "hello you", "3 + 4", "HELLO  YOU?", "3 + 5", "?", "!", "?"]);
        assert_eq!(of, [0, 0, 1, 0, 2, 3, 4, 3]);
        assert_eq!((count(&of), count(&[])), (5, 0));
    }
}
