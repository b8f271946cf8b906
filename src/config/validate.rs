//! From a merged tree to a configuration, or to all of its faults.

use super::{
    Config, check,
    fault::{Fault, Faults},
    path::KeyPath,
    schema::Shape,
    structure,
    tree::Tree,
};

/// Reads a tree; gives the configuration with its warnings.
///
/// What does not fit the schema is left out and the rest is read, so that faults of structure and of meaning
/// are found in one go.
///
/// # Errors
/// Every fault there is.
pub(crate) fn validate(tree: &Tree, shape: &Shape) -> Result<(Config, Vec<Fault>), Faults> {
    let structure::Structure { mut faults, faulty } = structure::check(tree, shape);
    match serde_json::from_value::<Config>(tree.without(&faulty)) {
        Ok(config) => {
            let findings = check::check(&config, tree, &faulty);
            faults.extend(findings.faults);
            if faults.is_empty() {
                return Ok((config, findings.warnings));
            }
        }
        // The schema is derived from the types, so this is rare: a rule that only the types know.
        Err(error) => faults.push(Fault {
            source: tree.main_source.clone(),
            key: KeyPath::default().to_string(),
            problem: format!("cannot be read: {}", super::wording::quoted(&error.to_string())),
            remedy: "See docs/config.md for every key, its type, its default.".into(),
        }),
    }
    faults.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
    faults.dedup();
    Err(Faults(faults))
}
