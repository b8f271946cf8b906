//! The page of promises: each row names tests, each test that is named exists.

use std::path::Path;

/// Promises that the page has to have.
const PROMISES: [&str; 20] = [
    "U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8", "U9", "U10", "U11", "U12", "U13", "U14", "U16", "U17",
    "U18", "U19", "U20", "leaving",
];

/// What is wrong with `page`, the text of the page; `read` gives the text of a source file.
pub fn check(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let rows: Vec<(&str, &str)> = page.lines().filter_map(row).collect();
    let missing = PROMISES.iter().filter(|name| !rows.iter().any(|(row, _)| row == *name));
    let mut found: Vec<String> = missing.map(|name| format!("there is no row for {name}")).collect();
    for (name, tests) in rows {
        let mut count = 0;
        for test in tests.split('`').filter(|text| text.contains("::")) {
            count += 1;
            if !exists(test, &read) {
                found.push(format!("{name}: there is no test `{test}`"));
            }
        }
        if count == 0 {
            found.push(format!("{name}: no test is named"));
        }
    }
    found
}

/// The first and the last cell of a row that has three.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim).collect();
    match cells[..] {
        [name, _, tests] if !name.is_empty() => Some((name, tests)),
        _ => None,
    }
}

fn exists(test: &str, read: &impl Fn(&str) -> Option<String>) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    // Tests of a file are in a module of their own inside it, or in a file beside it.
    let module = module.replace("::", "/");
    let outer = module.strip_suffix("/tests");
    let places = ["tests/blackbox", "src"].into_iter().flat_map(|root| {
        let places = [Some(module.as_str()), outer].into_iter().flatten();
        places.flat_map(move |place| [format!("{root}/{place}.rs"), format!("{root}/{place}/mod.rs")])
    });
    places.filter_map(|place| read(&place)).any(|text| has(&text, name))
}

/// Whether a file has a test of this name: a function with a test's attribute shortly before it.
fn has(text: &str, name: &str) -> bool {
    let mark = format!("fn {name}(");
    text.match_indices(&mark).any(|(at, _)| {
        let before = text[..at].lines().rev().take(4);
        before.map(str::trim).any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
    })
}

/// Checks the project's own page.
pub fn check_page(root: &Path) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    read("tests/PROOFS.md").map_or_else(|| vec!["there is no page".to_owned()], |page| check(&page, read))
}
