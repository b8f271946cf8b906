//! The house rules that a machine can check: levels, homes of outside crates, sizes, manners.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tidy {
    pub mod homes;
    pub mod levels;
    pub mod manners;
    pub mod paths;
    pub mod proofs;
    pub mod shipped;
    pub mod sizes;
    pub mod source;
}

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidy::{
    homes, levels, manners, proofs, shipped, sizes,
    source::{Source, Violation},
};

/// Every rule over one file. Those about levels and sizes hold for `src/` alone.
fn check(source: &Source) -> Vec<Violation> {
    let mut found = manners::check(source);
    if source.path.starts_with("src/") {
        found.extend(levels::check(source));
        found.extend(homes::check(source));
        found.extend(sizes::check(source));
    }
    found
}

/// Adds the project's Rust files under `folder` to `files`, as paths relative to the root.
fn collect(root: &Path, folder: &str, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else if path.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The project's folder, read when it runs, so that one build of this test can look at another work tree.
fn root() -> PathBuf {
    std::env::var("CARGO_MANIFEST_DIR").unwrap().into()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect(&root, folder, &mut files);
    }
    files.sort();
    let read = |path: &String| Source::parse(path, &fs::read_to_string(root.join(path)).unwrap()).unwrap();
    files.iter().map(read).collect()
}

#[test]
fn the_house_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let lines = sizes::code_lines(source);
        if lines > sizes::FILE_TARGET {
            println!("{}: {lines} lines of code, above the target of {}", source.path, sizes::FILE_TARGET);
        }
    }
    let found: Vec<String> = sources.iter().flat_map(check).map(|violation| violation.to_string()).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_proof_exists() {
    let found = proofs::check_page(&root());
    assert!(found.is_empty(), "\ntests/PROOFS.md:\n{}\n", found.join("\n"));
}

#[test]
fn a_proof_that_is_gone_is_caught() {
    let source = "#[test]\nfn holds() {}\n\n\n\n\n\nfn helps() {}\n";
    let read = |path: &str| (path == "src/a/b.rs").then(|| source.to_owned());
    let said = |cell: &str| {
        let mut found = proofs::check(&format!("| x | Promise. | {cell} |\n"), read);
        found.retain(|line| line.starts_with("x: "));
        found
    };
    assert_eq!(said("`a::b::holds` `a::b::tests::holds`"), Vec::<String>::new());
    assert_eq!(said("`a::b::holds` `a::b::gone`"), ["x: there is no test `a::b::gone`"]);
    assert_eq!(said("`a::b::helps`"), ["x: there is no test `a::b::helps`"]);
    assert_eq!(said(""), ["x: no test is named"]);
    let found = proofs::check("| U1 | Promise. | `a::b::holds` |\n", read);
    assert!(found.len() == 19 && found[0] == "there is no row for U2", "{found:?}");
}

#[test]
fn what_others_run_names_what_is_there() {
    let found = shipped::check(&root());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_missing_mount_or_an_unexplained_alert_is_caught() {
    let compose = "services:\n  a:\n    image: b:v1.2\n    ports: [\"127.0.0.1:1:1\"]\n    volumes:\n      - ./a:/b:ro\n";
    let said = |compose: &str| shipped::miscomposed(compose, |path| path == "a");
    assert_eq!(said(compose), Vec::<String>::new());
    assert_eq!(said(&compose.replace("./a", "./c")), ["c is mounted, but not there"]);
    assert_eq!(said(&compose.replace(":ro", "")), ["a is mounted to be written to"]);
    assert_eq!(said(&compose.replace("127.0.0.1:", "")).len(), 1);
    assert_eq!(said(&compose.replace("v1.2", "latest")), ["b:latest is not pinned to a version"]);
    let alerts = "- alert: Fire\n  annotations:\n    runbook_url: \"docs/operations.md#fire\"\n";
    assert_eq!(shipped::unexplained(alerts, "## Fire\nRun."), Vec::<String>::new());
    assert_eq!(shipped::unexplained(alerts, "## Water\n"), ["docs/operations.md has no `## Fire`"]);
    assert_eq!(shipped::unexplained(&alerts.replace("#fire", "#f"), "## Fire\n").len(), 1);
    assert_eq!(shipped::unexplained("", ""), ["no alert was found"]);
}

#[test]
fn a_link_that_leads_nowhere_is_caught() {
    let page = "[a](a.md) [b](a.md#b) [c](#c) [d](https://d.example) [e](e.md) <img src=\"f.png\"> `x](y z)`";
    let found = shipped::broken_links(page, |path| path == "a.md");
    assert_eq!(found, ["e.md is not there", "f.png is not there"]);
}

/// What the rules say of `text` as the file `path`, as `line: message` lines.
fn said(path: &str, text: &str) -> Vec<String> {
    check(&Source::parse(path, text).unwrap())
        .iter()
        .map(|violation| format!("{}: {}", violation.line, violation.rule))
        .collect()
}

#[track_caller]
fn assert_one(path: &str, text: &str, line: usize, words: &str) {
    let said = said(path, text);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(&format!("{line}: ")), "{said:?}");
    assert!(said[0].contains(words), "{said:?}");
}

#[test]
fn upward_imports_are_caught() {
    let words = "`route` (level 3) may not use `pipeline` (level 6)";
    assert_one("src/route/order.rs", "//! One.\nuse crate::pipeline::Stack;\n", 2, words);
    assert_one("src/route/order.rs", "//! One.\nuse crate::{base::id, pipeline::Stack};\n", 2, words);
    assert_one("src/route/order.rs", "//! One.\nfn f() {\n    crate::pipeline::go();\n}\n", 3, words);
    assert_one("src/route/order.rs", "//! One.\nuse super::super::pipeline::Stack;\n", 2, words);
    assert_one("src/route/mod.rs", "//! One.\npub use super::pipeline::Stack;\n", 2, words);
    assert_one(
        "src/route/order.rs",
        "//! One.\nfn f() {\n    log!(\"x\", crate::pipeline::X);\n}\n",
        3,
        words,
    );
}

#[test]
fn sideways_imports_are_caught() {
    assert_one("src/route/order.rs", "//! One.\nuse crate::sim::Fault;\n", 2, "may not use `sim` (level 3)");
}

#[test]
fn a_module_without_a_level_is_caught() {
    assert_one("src/novel.rs", "//! One.\n", 1, "`novel` has no level");
}

#[test]
fn downward_imports_and_tests_are_let_through() {
    let text = "//! One.\nuse crate::{base::id::RequestId, config};\nuse super::tries;\n\
        #[cfg(test)]\nmod tests {\n    use crate::pipeline::Stack;\n    fn f() { g().unwrap(); }\n}\n";
    assert_eq!(said("src/route/order.rs", text), Vec::<String>::new());
}

#[test]
fn outside_crates_away_from_home_are_caught() {
    assert_one("src/route/order.rs", "//! One.\nuse axum::Router;\n", 2, "`axum` lives only in");
    assert_one(
        "src/route/order.rs",
        "//! One.\nfn f(_: ::reqwest::Client) {}\n",
        2,
        "`reqwest` lives only in",
    );
    assert_one(
        "src/upstream/stack.rs",
        "//! One.\nuse hyper_util::{client::legacy::Client, rt::TokioIo};\n",
        2,
        "`hyper_util::client` lives only in",
    );
    for (path, line) in [
        ("src/edge/router.rs", "use axum::Router;"),
        ("src/upstream/transport.rs", "use hyper_util::client::legacy::Client;"),
        ("src/edge/listen.rs", "use hyper_util::server::conn::auto;"),
    ] {
        assert_eq!(said(path, &format!("//! One.\n{line}\n")), Vec::<String>::new());
    }
}

#[test]
fn sizes_are_caught() {
    let line = "const A: u8 = 1;\n";
    let comments = "// Why.\n\n".repeat(300);
    let text = |lines: usize| format!("//! One.\n{comments}{}", line.repeat(lines));
    assert_eq!(said("src/base/a.rs", &text(400)), Vec::<String>::new());
    assert_one("src/base/a.rs", &text(401), 1, "401 lines of code");

    let function = |lines: usize| format!("//! One.\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert_eq!(said("src/base/a.rs", &function(70)), Vec::<String>::new());
    assert_one("src/base/a.rs", &function(71), 2, "`f` has 71 lines");
}

#[test]
fn bad_manners_are_caught() {
    assert_one("src/base/a.rs", "const A: u8 = 1;\n", 1, "first line");
    assert_one("src/base/a.rs", "//! Ids and spans.\n", 1, "\" and \"");
    assert_one("src/base/a.rs", "//! One.\nfn f() {\n    g().unwrap();\n}\n", 3, "unwrap");
    assert_one("src/base/a.rs", "//! One.\nfn f() {\n    todo!()\n}\n", 3, "todo!");
    assert_one("src/base/string_utils.rs", "//! One.\n", 1, "says nothing");
    assert_one("src/base/helper/a.rs", "//! One.\n", 1, "says nothing");
    assert_one("tests/a.rs", "//! One.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", 3, "ignore");
}
