//! `weir check` on a configuration with many faults.

use super::support::weir::Weir;

/// Eight faults, each of another kind.
const FAULTY: &str = r#"
[server]
lisen = "127.0.0.1:0"
max_body = "much"
[auth]
mode = "maybe"
[[keys]]
name = "team"
routes = ["standart"]
secret = "sk-canary-1"
[providers.p]
base_url = "not a url"
[models.m]
provider = "q"
[routes.standard]
targets = ["n"]
fallback = "standard"
"#;

/// Where each fault is, with words of its problem or its remedy.
const FAULTS: [(&str, &str); 8] = [
    ("server.lisen", "`listen`"),
    ("server.max_body", "MiB"),
    ("auth.mode", "keys"),
    ("keys[0].routes", "`standard`"),
    ("providers.p.base_url", "http"),
    ("models.m.provider", "`q`"),
    ("routes.standard.targets", "`n`"),
    ("routes.standard.fallback", "circle"),
];

#[test]
fn eight_faults_are_told_at_once_each_with_key_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), FAULTY).unwrap();
    let checked = Weir::run(folder.path(), &["check", "--config", "bad.toml"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    for (key, words) in FAULTS {
        let at = lines.iter().position(|line| line.trim().starts_with(&format!("bad.toml: {key}")));
        let at = at.unwrap_or_else(|| panic!("nothing about {key}:\n{said}"));
        let next = lines.get(at + 1).copied().unwrap_or_default();
        assert!(next.starts_with("      "), "no remedy for {key}:\n{said}");
        assert!(format!("{}{next}", lines[at]).contains(words), "{key}: no {words}\n{said}");
    }
    assert!(said.contains("8 faults"), "{said}");
    assert!(!said.contains("canary"), "{said}");

    let served = Weir::run(folder.path(), &["serve", "--config", "bad.toml"]);
    let log = String::from_utf8(served.stderr).unwrap();
    assert_eq!(served.status.code(), Some(1), "{log}");
    for (key, _) in FAULTS {
        assert!(log.contains(key), "serving does not tell of {key}:\n{log}");
    }
}

#[test]
fn a_good_configuration_is_printed_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "[providers.s]\nprotocol = \"sim\"\n[models.m]\nprovider = \"s\"\n[routes.r]\ntargets = [\"m\"]\n";
    std::fs::write(folder.path().join("good.toml"), config).unwrap();
    let checked = Weir::run(folder.path(), &["check", "--config", "good.toml"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("1. m at s") && said.contains("The configuration is good"), "{said}");
}
