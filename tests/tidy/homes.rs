//! One home per outside crate: who else wants what it does asks the module that owns it.

use super::{
    paths,
    source::{Source, Violation},
};

/// A crate (or a module of one) with the beginnings of the paths under `src/` where it may be named.
const HOMES: [(&str, &[&str]); 14] = [
    ("axum", &["edge/", "sim/", "sim.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("figment", &["config/load"]),
    ("hickory_resolver", &["upstream/", "egress/"]),
    ("httparse", &["upstream/transport"]),
    ("hyper_util::client", &["upstream/transport"]),
    ("jiff", &["base/calendar"]),
    ("prometheus", &["metrics"]),
    ("reqwest", &["egress/", "egress.rs"]),
    ("rusqlite", &["ledger/store"]),
    ("socket2", &["edge/server/"]),
    ("sqlx", &["ledger/store"]),
    ("tokio_postgres", &["ledger/store"]),
];

/// Finds outside crates away from home.
pub fn check(source: &Source) -> Vec<Violation> {
    let inside = source.path.trim_start_matches("src/");
    let mut found = Vec::new();
    for path in paths::spelled(&source.tokens) {
        let spelled = path.segments.join("::");
        for (outside, homes) in HOMES {
            let named = spelled == outside || spelled.starts_with(&format!("{outside}::"));
            let at_home = homes.iter().any(|home| inside.starts_with(home));
            if named && !at_home && !source.is_test(path.line) {
                let rule = format!("`{outside}` lives only in src/{}", homes.join(", src/"));
                found.push(source.broken(path.line, rule));
            }
        }
    }
    found
}
