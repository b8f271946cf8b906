//! What classifying a prompt costs: its time by length, the size of the model.
#![allow(clippy::print_stdout, reason = "its figures are for whoever runs it")]

use std::{hint::black_box, time::Instant};

use weir::{
    classify::{Builtin, Classifier, Keywords, Prompt, curve::Dice},
    config,
};

/// How many different prompts of each length there are, so that none is known by heart.
const PROMPTS: usize = 200;
const ROUNDS: usize = 30;

/// Words as they come in questions, some of them with signs.
const WORDS: [&str; 40] = [
    "the",
    "of",
    "which",
    "following",
    "is",
    "a",
    "function",
    "that",
    "returns",
    "energy",
    "Explain",
    "why",
    "and",
    "for",
    "each",
    "patient",
    "court",
    "velocity",
    "Suppose",
    "x^2",
    "12.5",
    "100",
    "(A)",
    "because",
    "analysis",
    "statement",
    "most",
    "likely",
    "in",
    "to",
    "be",
    "market",
    "economy",
    "def",
    "result",
    "not",
    "true,",
    "cells.",
    "\n",
    "?",
];

/// Prompts of a length that look like questions.
fn prompts(bytes: usize) -> Vec<String> {
    let mut dice = Dice(9);
    let mut prompt = || {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text.push_str(WORDS[dice.below(WORDS.len())]);
            text.push(' ');
        }
        text.truncate(bytes);
        text
    };
    (0..PROMPTS).map(|_| prompt()).collect()
}

/// The best mean time of a round, in nanoseconds: others on this machine only ever add to it.
fn time(classifier: &Classifier, texts: &[String]) -> u128 {
    let round = || {
        let begun = Instant::now();
        for text in texts {
            black_box(classifier.classify(black_box(&Prompt::text(text))));
        }
        begun.elapsed().as_nanos() / texts.len() as u128
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

fn main() {
    let builtin = Classifier::Builtin(Builtin::new());
    let keywords = Classifier::Keywords(Keywords::new(&config::Keywords::default()));
    let row = |what: &str, figure: String, note: &str| println!("{what:<52} {figure:>14}   {note}");
    for (bytes, target) in
        [(100, ""), (1024, "target: at most 3000 ns"), (100_000, "target: at most 15000 ns")]
    {
        let texts = prompts(bytes);
        row(&format!("classify {bytes} bytes, builtin"), format!("{} ns", time(&builtin, &texts)), target);
        row(&format!("classify {bytes} bytes, keywords"), format!("{} ns", time(&keywords, &texts)), "");
    }
    row("the model that ships", format!("{} bytes", Builtin::asset().len()), "target: at most 102400 bytes");
}
