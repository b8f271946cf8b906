//! What the clients of the demo ask.

use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};

use super::story::Asker;

/// Stands before every question, as house rules do.
const RULES: &str = "You are the assistant of a small company that sells outdoor gear. Be brief and friendly. Say so \
    where you do not know something; never invent an order number, a price or a delivery date. Answer in the language of \
    the question. Prices are in euros with taxes, distances in kilometres. Returns are free within thirty days. The \
    warehouse ships on workdays until four in the afternoon; repairs take one to two weeks.";

/// For a cheap model.
const SIMPLE: [&str; 8] = [
    "How long do eggs keep in the fridge?",
    "What is the capital of Portugal?",
    "Translate 'thank you for the tent' into Dutch.",
    "Where do marbles come from?",
    "Give me three other words for boots.",
    "What colour is a kingfisher?",
    "Which day comes after Friday?",
    "Do you sell ropes?",
];

/// For one in the middle.
const MIDDLING: [&str; 4] = [
    "Write a Python function that merges two sorted lists of invoices, and explain its running time.",
    "Compare three ways to store sessions of a web shop: cookies, Redis, the database. Which one would you take, and why?",
    "Explain the difference between TCP and UDP to a new colleague.",
    "A bag holds 5 red and 7 blue balls. Three are drawn without replacement. What is the probability that exactly two \
     are red? Show each step.",
];

/// For a strong one.
const HARD: [&str; 4] = [
    "Prove that the square root of 2 is irrational, then generalise to all primes.",
    "Our Rust service deadlocks under load: two tasks lock A then B and B then A across an await. Find the cycle, show a \
     fix that keeps both invariants, and argue why it cannot deadlock any more.",
    "Design a database schema for a hospital's appointments: patients, doctors, rooms, cancellations, audit. Give the \
     SQL, then reason about which indexes serve the three most frequent queries.",
    "Integrate x^2 * exp(-x) from 0 to infinity and justify each step.",
];

/// What regulars want to know.
const REGULAR: [&str; 4] = [
    "What are your opening hours?",
    "How do I reset my password?",
    "Where is my parcel?",
    "Can I send back what I have worn once?",
];

/// A question, as the body of a request.
pub fn question(asker: Asker, number: u64, dice: &mut StdRng) -> Value {
    let (model, text) = match asker {
        Asker::Simple => ("auto", draw(&SIMPLE, dice)),
        Asker::Hard => ("auto", draw(&HARD, dice)),
        Asker::Application => ("standard", draw(&MIDDLING, dice)),
        Asker::Research => ("research", draw(&HARD, dice)),
        Asker::Regular => return body("auto", draw(&REGULAR, dice), false),
        Asker::Anybody => {
            let kinds: [&[&str]; 4] = [&SIMPLE, &SIMPLE, &MIDDLING, &HARD];
            ("auto", draw(kinds[dice.random_range(0..kinds.len())], dice))
        }
    };
    // Hard questions stream, so that the slow spell shows; of the others two in three do.
    let stream = asker == Asker::Hard || dice.random_range(0..3) > 0;
    let mut body = body(model, text, stream);
    // A new one each time, so that only regulars meet the cache.
    body["seed"] = number.into();
    body
}

/// What a crowd asks at one moment, another question in each round.
pub fn of_the_crowd(round: usize) -> Value {
    body(
        "standard",
        &format!("Is the trail from the hut to peak number {} open after the storm?", round + 1),
        true,
    )
}

fn body(model: &str, text: &str, stream: bool) -> Value {
    json!({
        "model": model,
        "messages": [{ "role": "system", "content": RULES }, { "role": "user", "content": text }],
        "max_tokens": 96,
        "stream": stream,
    })
}

fn draw<'a>(from: &[&'a str], dice: &mut StdRng) -> &'a str {
    from[dice.random_range(0..from.len())]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::{
        classify::{Classifier, Prompt},
        config,
    };

    #[test]
    fn each_kind_of_question_is_for_its_tier() {
        let rated = |text: &str| {
            let classifier = Classifier::new(&config::Classifier::default(), None).unwrap();
            classifier.classify(&Prompt::text(text)).complexity
        };
        for (questions, complexity) in
            [(&SIMPLE[..], 1..=3), (&REGULAR, 1..=3), (&MIDDLING, 4..=6), (&HARD, 7..=10)]
        {
            for text in questions {
                assert!(complexity.contains(&rated(text)), "{}: {text}", rated(text));
            }
        }
    }

    #[test]
    fn equal_seeds_ask_the_same_and_only_regulars_repeat_themselves() {
        let all = || {
            let dice = &mut StdRng::seed_from_u64(7);
            (0..40).map(|number| question(Asker::Anybody, number, dice)).collect::<Vec<_>>()
        };
        assert_eq!(all(), all());
        let mut seen: Vec<String> = all().iter().map(Value::to_string).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 40);
        let dice = &mut StdRng::seed_from_u64(7);
        assert!(question(Asker::Regular, 1, dice)["seed"].is_null());
    }
}
