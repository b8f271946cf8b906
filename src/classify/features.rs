//! What a model sees of a prompt: some numbers of its scan.

use super::{
    lexicon::{self, CLASSES, Class},
    scan::{MARKS, Mark, Scan},
};

/// Numbers made of several counts, behind the marks and the classes.
const DERIVED: [&str; 10] = [
    "length",
    "letters of a word",
    "words of a line",
    "words of a sentence",
    "share of digits",
    "share of signs",
    "share of capitals",
    "share of indented lines",
    "share of small words",
    "bytes of an option",
];

/// How many numbers the scan of a text gives.
pub const FEATURES: usize = MARKS + CLASSES + DERIVED.len();

/// What a model sees of a prompt.
pub type Features = [f32; FEATURES];

/// The numbers of a scan. Plain divisions of small whole numbers: the same on every platform.
pub fn of(scan: &Scan) -> Features {
    let mut all = [0.0; FEATURES];
    let counts = scan.marks().iter().chain(scan.classes());
    for (feature, count) in all.iter_mut().zip(counts) {
        *feature = *count as f32;
    }
    let mark = |mark: Mark| scan.mark(mark) as f32;
    let words = mark(Mark::Words).max(1.0);
    let bytes = (scan.bytes() as f32).max(1.0);
    let signs: u32 = scan.marks()[..=Mark::Other as usize].iter().sum();
    let derived: [f32; DERIVED.len()] = [
        scan.length() as f32,
        mark(Mark::Letters) / words,
        words / (mark(Mark::Lines) + 1.0),
        words / (mark(Mark::Period) + mark(Mark::Question) + mark(Mark::Exclamation) + 1.0),
        mark(Mark::Digits) / bytes,
        signs as f32 / bytes,
        mark(Mark::Capitals) / words,
        mark(Mark::Indented) / (mark(Mark::Lines) + 1.0),
        scan.class(Class::Common) as f32 / words,
        (bytes - mark(Mark::Stem)) / mark(Mark::Options).max(1.0),
    ];
    all[MARKS + CLASSES..].copy_from_slice(&derived);
    all
}

/// What a feature is, for a reader.
pub fn name(feature: usize) -> String {
    if feature < MARKS {
        return Mark::NAMES[feature].to_owned();
    }
    match feature.checked_sub(MARKS + CLASSES) {
        None => format!("words of {}", lexicon::NAMES[feature - MARKS]),
        Some(derived) => DERIVED.get(derived).copied().unwrap_or("other").to_owned(),
    }
}
