//! Complexity by rules over words that anyone can read.

use super::scan::CAP;
use crate::config::{self, KeywordPreset, KeywordRule};

/// Words of the published 1-10 set that count up.
const UP: [&str; 8] =
    ["analyze", "compare", "evaluate", "synthesize", "complex", "detailed", "comprehensive", "thorough"];
/// Words of the published 1-10 set that count down.
const DOWN: [&str; 8] = ["simple", "quick", "brief", "summarize", "list", "what is", "define", "translate"];
/// Words of the published 3-way set that make a prompt complex.
const COMPLEX: [&str; 8] =
    ["analyze", "compare", "explain why", "trade-offs", "architecture", "design", "debug this", "review"];
/// Words of the published 3-way set that make a prompt simple, if it is not complex.
const SIMPLE: [&str; 7] = ["what is", "define", "list", "how to", "translate", "summarize", "format"];

/// Where complexity begins, where nothing else is said.
const BASE: u8 = 5;

/// What a rule does to a prompt in which it finds a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Add(i8),
    /// Of one's own rules: nothing else counts.
    Set(u8),
    /// Of a preset: where counting begins, in place of the base; the first one does.
    Begin(u8),
}

/// Rules, ready to use.
#[derive(Clone, Debug)]
pub struct Keywords {
    base: u8,
    rules: Vec<(Vec<String>, Effect)>,
}

/// A word that was found, with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The word or phrase.
    pub word: &'a str,
    /// What it adds; `None` where it decides.
    pub add: Option<i8>,
}

impl Keywords {
    /// The rules of a configuration: its own before those of its preset.
    pub fn new(config: &config::Keywords) -> Self {
        let mut rules: Vec<_> = config.rules.iter().filter_map(rule).collect();
        match config.preset {
            None if !config.rules.is_empty() => {}
            None | Some(KeywordPreset::Scale) => {
                rules.push((owned(&UP), Effect::Add(1)));
                rules.push((owned(&DOWN), Effect::Add(-1)));
            }
            Some(KeywordPreset::ThreeWay) => {
                rules.push((owned(&COMPLEX), Effect::Begin(8)));
                rules.push((owned(&SIMPLE), Effect::Begin(2)));
            }
        }
        // What decides comes before what counts.
        rules.sort_by_key(|(_, effect)| match effect {
            Effect::Set(_) => 0,
            Effect::Begin(_) => 1,
            Effect::Add(_) => 2,
        });
        Self { base: config.base.unwrap_or(BASE).clamp(1, 10), rules }
    }

    /// The complexity of a text, 1 to 10.
    pub fn complexity(&self, text: &str) -> u8 {
        let (mut sum, mut begun) = (i32::from(self.base), false);
        for (found, effect) in self.each(&folded(text)) {
            match effect {
                Effect::Set(complexity) => return complexity.clamp(1, 10),
                Effect::Begin(complexity) if !begun => (sum, begun) = (complexity.into(), true),
                Effect::Begin(_) => {}
                Effect::Add(by) => sum += i32::from(by) * found.len() as i32,
            }
        }
        sum.clamp(1, 10) as u8
    }

    /// The words that made it so.
    pub fn found(&self, text: &str) -> Vec<Found<'_>> {
        let (mut all, mut begun) = (Vec::new(), false);
        for (found, effect) in self.each(&folded(text)) {
            let add = match effect {
                Effect::Set(_) => return vec![Found { word: found[0], add: None }],
                Effect::Begin(_) => {
                    if !std::mem::replace(&mut begun, true) {
                        all.push(Found { word: found[0], add: None });
                    }
                    continue;
                }
                Effect::Add(by) => Some(by),
            };
            all.extend(found.into_iter().map(|word| Found { word, add }));
        }
        all
    }

    /// The rules that find something, with what they find.
    fn each(&self, folded: &str) -> impl Iterator<Item = (Vec<&str>, Effect)> {
        self.rules.iter().filter_map(move |(words, effect)| {
            let found: Vec<_> =
                words.iter().map(String::as_str).filter(|word| folded.contains(word)).collect();
            (!found.is_empty()).then_some((found, *effect))
        })
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rule(rule: &KeywordRule) -> Option<(Vec<String>, Effect)> {
    let words: Vec<_> =
        rule.words.iter().map(|word| word.to_lowercase()).filter(|word| !word.is_empty()).collect();
    let effect = rule.set.map_or(Effect::Add(rule.add), Effect::Set);
    (!words.is_empty()).then_some((words, effect))
}

/// The text in small letters, of a long one the beginning and the end.
fn folded(text: &str) -> String {
    if text.len() <= 2 * CAP {
        return text.to_lowercase();
    }
    let (mut head, mut tail) = (CAP, text.len() - CAP);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}\n{}", text[..head].to_lowercase(), text[tail..].to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(preset: Option<KeywordPreset>, rules: Vec<KeywordRule>) -> Keywords {
        Keywords::new(&config::Keywords { preset, base: None, rules })
    }

    fn rule(word: &str, add: i8, set: Option<u8>) -> KeywordRule {
        KeywordRule { words: vec![word.into()], add, set }
    }

    #[test]
    fn the_scale_counts_up_and_down() {
        let rules = with(None, Vec::new());
        for (text, complexity) in [
            ("Hello", 5),
            ("Analyze and COMPARE this in a detailed way", 8),
            ("What is a quick, simple way to define it? List them", 1),
            ("what is complex", 5),
        ] {
            assert_eq!(rules.complexity(text), complexity, "{text}");
        }
        assert_eq!(rules.found("what is complex").len(), 2);
    }

    #[test]
    fn of_three_ways_the_complex_one_goes_first() {
        let rules = with(Some(KeywordPreset::ThreeWay), Vec::new());
        for (text, complexity) in [("review what is here", 8), ("how to tie a tie", 2), ("Good morning", 5)] {
            assert_eq!(rules.complexity(text), complexity, "{text}");
        }
        assert_eq!(rules.found("review what is here"), [Found { word: "review", add: None }]);
    }

    #[test]
    fn own_rules_stand_alone_or_beside_a_preset() {
        let own = vec![rule("Urgent", 3, None), rule("lawsuit", 0, Some(10))];
        assert_eq!(with(None, own.clone()).complexity("urgent: analyze"), 8);
        assert_eq!(with(Some(KeywordPreset::Scale), own.clone()).complexity("urgent: analyze"), 9);
        assert_eq!(with(Some(KeywordPreset::Scale), own.clone()).complexity("simple lawsuit"), 10);
        let beside = with(Some(KeywordPreset::ThreeWay), own);
        for (text, complexity) in
            [("urgent: how to format it", 5), ("urgent review", 10), ("urgent", 8), ("define lawsuit", 10)]
        {
            assert_eq!(beside.complexity(text), complexity, "{text}");
        }
        let found = beside.found("urgent: how to format it");
        assert_eq!(found.iter().map(|found| found.add).collect::<Vec<_>>(), [None, Some(3)]);
        assert_eq!(with(None, vec![rule("", 3, None), rule("x", 100, Some(99))]).complexity("x"), 10);
    }

    #[test]
    fn a_long_text_is_read_at_both_ends() {
        let rules = with(None, Vec::new());
        let far = |before: usize, after: usize| {
            rules.complexity(&format!("{}analyze{}", "é".repeat(before), "ü".repeat(after)))
        };
        assert_eq!((far(0, 9999), far(9999, 0), far(5000, 5000)), (6, 6, 5));
    }
}
