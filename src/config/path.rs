//! The place of a value in the configuration.

use std::fmt;

/// A step from a table or an array to what it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The entry of a table.
    Key(String),
    /// The element of an array, from 0.
    Index(usize),
}

/// The steps from the root to a value. Shown as `routes.standard.targets[0]`; a name that is not a bare TOML key
/// is quoted, as in `models."gpt-4.1".provider`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl KeyPath {
    /// The path through tables only.
    pub(crate) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// This path and one table entry more.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// This path and one array element more.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The path to what holds this value; `None` at the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, parent) = self.0.split_last()?;
        Some(Self(parent.to_vec()))
    }

    /// Whether this is `other` or lies below it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The table entry that the path ends in, if it ends in one.
    pub(crate) fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(key) {
                        f.write_str(key)?;
                    } else {
                        // Debug escapes line ends, so a key cannot forge a line of the report.
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_toml() {
        let path = KeyPath::of(&["models", "gpt-4.1", "provider"]);
        assert_eq!(path.to_string(), "models.\"gpt-4.1\".provider");
        let path = KeyPath::of(&["keys"]).index(0).key("na\nme");
        assert_eq!(path.to_string(), "keys[0].\"na\\nme\"");
    }

    #[test]
    fn within_counts_whole_steps() {
        let route = KeyPath::of(&["routes", "a"]);
        assert!(route.key("targets").is_within(&route));
        assert!(!KeyPath::of(&["routes", "ab"]).is_within(&route));
        assert_eq!(route.key("x").parent(), Some(route));
    }
}
