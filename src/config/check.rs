//! The checks of meaning: what the schema cannot say.

mod budgets;
mod cache;
mod chains;
mod classifier;
mod degraded;
mod judge;
mod keys;
mod ledger;
mod names;
mod providers;
mod resilience;
mod secrets;
mod server;
mod telemetry;

use serde_json::Value;

use super::{
    Config,
    fault::Fault,
    path::KeyPath,
    tree::{Tree, before_removal},
};

pub use keys::{CLASSIFIER_KEY, KEY_NAME_FORM, KeyFault, KeyPart, OWN_KEYS, is_key_name, key_faults};
pub use server::{listen_address, needs_a_key};

/// What the checks found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must be mended.
    pub(crate) faults: Vec<Fault>,
    /// What is allowed and worth a word.
    pub(crate) warnings: Vec<Fault>,
}

/// Runs every check. `removed` are the values of `tree` that were left out of `config` as unreadable.
pub(crate) fn check(config: &Config, tree: &Tree, removed: &[KeyPath]) -> Findings {
    let mut report = Report { tree, removed, found: Findings::default() };
    names::check(config, &mut report);
    chains::check(config, &mut report);
    server::check(config, &mut report);
    providers::check(config, &mut report);
    resilience::check(config, &mut report);
    keys::check(config, &mut report);
    budgets::check(config, &mut report);
    cache::check(config, &mut report);
    degraded::check(config, &mut report);
    ledger::check(config, &mut report);
    classifier::check(config, &mut report);
    judge::check(config, &mut report);
    telemetry::check(config, &mut report);
    secrets::check(config, &mut report);
    report.found
}

/// Where the checks write to, and what they may ask about the tree behind the configuration.
pub(crate) struct Report<'a> {
    tree: &'a Tree,
    removed: &'a [KeyPath],
    found: Findings,
}

impl Report<'_> {
    /// Notes a fault, unless something at or below its place was already left out: then the fault may be
    /// nothing but its shadow.
    fn fault(&mut self, path: &KeyPath, problem: impl Into<String>, remedy: impl Into<String>) {
        let path = before_removal(path, self.removed);
        if !self.removed.iter().any(|removed| removed.is_within(&path)) {
            let fault = self.note(&path, problem.into(), remedy.into());
            self.found.faults.push(fault);
        }
    }

    /// Notes a warning.
    fn warn(&mut self, path: &KeyPath, problem: impl Into<String>, remedy: impl Into<String>) {
        let path = before_removal(path, self.removed);
        let warning = self.note(&path, problem.into(), remedy.into());
        self.found.warnings.push(warning);
    }

    fn note(&self, path: &KeyPath, problem: String, remedy: String) -> Fault {
        let source = self.tree.origin(path).to_owned();
        Fault { source, key: path.to_string(), problem, remedy }
    }

    /// Whether something at or below the place was left out.
    fn is_incomplete(&self, keys: &[&str]) -> bool {
        let path = KeyPath::of(keys);
        self.removed.iter().any(|removed| removed.is_within(&path))
    }

    /// The names in a table of the root, those of unreadable entries included.
    fn names(&self, table: &str) -> Vec<&str> {
        let entries = self.tree.root.get(table).and_then(Value::as_object);
        entries.into_iter().flat_map(|entries| entries.keys().map(String::as_str)).collect()
    }

    /// Whether the value at the place stands in a file rather than in the environment.
    fn is_in_file(&self, path: &KeyPath) -> bool {
        let path = before_removal(path, self.removed);
        !self.tree.origin(&path).starts_with("environment ")
    }
}
