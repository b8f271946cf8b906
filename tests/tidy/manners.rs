//! Small things that keep files honest: their first line, their names, no `unwrap`, no skipped test.

use proc_macro2::TokenTree;

use super::source::{Source, Violation, flat};

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["manager", "managers", "helper", "helpers", "util", "utils", "data", "info", "misc", "common"];

/// Finds bad manners.
pub fn check(source: &Source) -> Vec<Violation> {
    let mut found = first_line(source);
    let parts = source.path.trim_end_matches(".rs").split(['/', '_']);
    for word in parts.filter(|word| EMPTY_NAMES.contains(word)) {
        found.push(source.broken(1, format!("a name with `{word}` says nothing of what is inside")));
    }
    found.extend(words(source));
    found
}

fn first_line(source: &Source) -> Vec<Violation> {
    let line = source.text.lines().next().unwrap_or_default();
    match line.strip_prefix("//! ") {
        None => vec![source.broken(1, "the first line is no `//! ` line that says the file's one job")],
        Some(job) if job.contains(" and ") => {
            vec![source.broken(1, "the first line says \" and \": a file has one job")]
        }
        Some(_) => Vec::new(),
    }
}

fn words(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let tokens = flat(&source.tokens);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.to_string() == text);
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Ident(word) = token else {
            // `#[ignore]`, with or without a reason: a test that does not run is no test.
            if is(at, "#") && is(at + 2, "ignore") {
                found.push(
                    source.broken(token.span().start().line, "no test is ignored: mend it or remove it"),
                );
            }
            continue;
        };
        let line = word.span().start().line;
        if source.is_test(line) {
            continue;
        }
        if word == "unwrap" && at > 0 && is(at - 1, ".") && is(at + 1, "()") {
            found.push(source.broken(line, "no `unwrap` outside tests; an `expect` states the invariant"));
        }
        if (word == "todo" || word == "unimplemented") && is(at + 1, "!") {
            found.push(source.broken(line, format!("no `{word}!`: write it or leave it out")));
        }
    }
    found
}
