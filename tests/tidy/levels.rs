//! The level table: which module may know which.

use super::{
    paths,
    source::{Source, Violation},
};

/// Each module's level. Imports go from a higher level to a lower one only.
const LEVELS: [(u8, &[&str]); 9] = [
    (0, &["base"]),
    (1, &["config", "openai"]),
    (2, &["metrics", "keys", "price", "limit", "health", "classify", "quality"]),
    (3, &["budget", "cache", "route", "provider", "sim", "ledger", "news", "trace"]),
    (4, &["spend", "egress"]),
    (5, &["upstream", "alerts", "otlp"]),
    (6, &["pipeline"]),
    (7, &["edge"]),
    (8, &["app", "cli"]),
];

/// Imports inside one level that are meant: the left module may use the right one, never the other way round.
const SIDEWAYS: [(&str, &str); 2] = [
    // Limits are held per key, under the key's own id.
    ("limit", "keys"),
    // The composition root is what the commands start.
    ("cli", "app"),
];

fn level(module: &str) -> Option<u8> {
    LEVELS.iter().find(|(_, modules)| modules.contains(&module)).map(|(level, _)| *level)
}

/// Finds imports that do not go down. `main.rs` and `lib.rs` stand above the table.
pub fn check(source: &Source) -> Vec<Violation> {
    let inside: Vec<&str> = source
        .path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "mod")
        .collect();
    let from = inside[0];
    if ["main", "lib"].contains(&from) {
        return Vec::new();
    }
    let Some(own) = level(from) else {
        let rule = format!("`{from}` has no level: add it to the table in tests/tidy/levels.rs");
        return vec![source.broken(1, rule)];
    };
    let mut found = Vec::new();
    for path in paths::spelled(&source.tokens) {
        let Some(to) = top_module(&path.segments, inside.len()) else {
            continue;
        };
        if source.is_test(path.line) || to == from || SIDEWAYS.contains(&(from, to)) {
            continue;
        }
        match level(to) {
            Some(other) if other < own => {}
            Some(other) => found.push(source.broken(
                path.line,
                format!("`{from}` (level {own}) may not use `{to}` (level {other}): imports only go down"),
            )),
            None => found.push(source.broken(path.line, format!("`crate::{to}` has no level"))),
        }
    }
    found
}

/// The module of the crate's root that a path leads to: behind `crate`, or behind as many `super`s as the file is
/// deep. Names of the root itself have no level; there are none but modules.
fn top_module(segments: &[String], depth: usize) -> Option<&str> {
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    let at = match segments[0].as_str() {
        "crate" => 1,
        _ if supers >= depth => supers,
        _ => return None,
    };
    segments.get(at).map(String::as_str)
}
