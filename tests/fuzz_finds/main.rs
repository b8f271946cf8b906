//! Replays what the fuzzer has found: one folder a target, one file an input, beside a few made by hand.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod checks;

use std::{
    fs, panic,
    path::{Path, PathBuf},
};

/// Runs `check` on every input of `target`.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_finds").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no inputs in {}", folder.display());
    let fails = |path: &PathBuf| {
        let input = fs::read(path).unwrap();
        panic::catch_unwind(|| check(&input)).is_err()
    };
    let failed: Vec<_> = paths.into_iter().filter(fails).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn sse() {
    replay("sse", checks::sse);
}

#[test]
fn openai_stream() {
    replay("openai_stream", checks::openai_stream);
}

#[test]
fn anthropic_stream() {
    replay("anthropic_stream", checks::anthropic_stream);
}

#[test]
fn gemini_stream() {
    replay("gemini_stream", checks::gemini_stream);
}

#[test]
fn answers() {
    replay("answers", checks::answers);
}

#[test]
fn ask() {
    replay("ask", checks::ask);
}
