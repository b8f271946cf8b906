//! The merged configuration before it has types, each value with its origin.

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::{KeyPath, Step};

/// The name of the origin of what nobody said.
pub(crate) const DEFAULTS: &str = "built-in defaults";

/// The merged values, and which source said each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// The values; an object at the root.
    pub(crate) root: Value,
    /// The source of each value, tables and arrays included.
    pub(crate) origins: BTreeMap<KeyPath, String>,
    /// The source named for faults that no value is at, as where a table is missing.
    pub(crate) main_source: String,
}

impl Tree {
    /// The source of the value at a place, or of the nearest table around it.
    pub(crate) fn origin(&self, path: &KeyPath) -> &str {
        let mut at = path.clone();
        loop {
            if let Some(origin) = self.origins.get(&at) {
                return origin;
            }
            match at.parent() {
                Some(parent) if !parent.0.is_empty() => at = parent,
                _ => return &self.main_source,
            }
        }
    }

    /// The values without those at `faulty`, for reading the rest.
    pub(crate) fn without(&self, faulty: &[KeyPath]) -> Value {
        let mut root = self.root.clone();
        let mut faulty = faulty.to_vec();
        // Backwards, so that an element's removal does not move those still to be removed.
        faulty.sort();
        faulty.dedup();
        for path in faulty.iter().rev() {
            remove(&mut root, path);
        }
        root
    }
}

fn remove(root: &mut Value, path: &KeyPath) {
    let Some((last, parents)) = path.0.split_last() else {
        *root = Value::Object(serde_json::Map::new());
        return;
    };
    let parent = parents.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    match (parent, last) {
        (Some(Value::Object(table)), Step::Key(key)) => {
            table.remove(key);
        }
        (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

/// Where a value of the pruned tree stood before the values at `removed` were taken out.
pub(crate) fn before_removal(path: &KeyPath, removed: &[KeyPath]) -> KeyPath {
    let mut original = KeyPath::default();
    for step in &path.0 {
        let step = match step {
            Step::Key(key) => Step::Key(key.clone()),
            Step::Index(index) => {
                let mut gone: Vec<usize> = removed
                    .iter()
                    .filter(|gone| gone.parent().as_ref() == Some(&original))
                    .filter_map(|gone| match gone.0.last() {
                        Some(Step::Index(index)) => Some(*index),
                        _ => None,
                    })
                    .collect();
                gone.sort_unstable();
                gone.dedup();
                Step::Index(gone.iter().fold(*index, |at, gone| if *gone <= at { at + 1 } else { at }))
            }
        };
        original.0.push(step);
    }
    original
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(root: Value) -> Tree {
        Tree { root, ..Tree::default() }
    }

    #[test]
    fn places_survive_removal() {
        let tree = tree(json!({ "keys": [10, 11, 12, 13, 14] }));
        let keys = KeyPath::of(&["keys"]);
        let removed = [keys.index(3), keys.index(0)];
        assert_eq!(tree.without(&removed), json!({ "keys": [11, 12, 14] }));
        let places: Vec<_> = (0..3).map(|i| before_removal(&keys.index(i), &removed)).collect();
        assert_eq!(places, [keys.index(1), keys.index(2), keys.index(4)]);
    }
}
