//! Where a secret comes from: the environment, a file, or (accepted, redacted) the configuration itself.

use std::{borrow::Cow, fmt, fs, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::base::secret::Secret;

/// A secret as it is written: `"env:NAME"`, `"file:/run/secrets/name"`, or the text itself.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The value of an environment variable.
    Env(String),
    /// The content of a file, without the line end.
    File(PathBuf),
    /// The text itself.
    Literal(Secret),
}

impl SecretSource {
    /// Reads the written form.
    pub fn parse(text: &str) -> Self {
        if let Some(name) = text.strip_prefix("env:") {
            Self::Env(name.to_owned())
        } else if let Some(path) = text.strip_prefix("file:") {
            Self::File(path.into())
        } else {
            Self::Literal(Secret::new(text))
        }
    }

    /// The secret now; `None` where the variable is unset, the file is absent, or either is empty.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn resolve(&self) -> Result<Option<Secret>, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).unwrap_or_default(),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            },
            Self::Literal(secret) => secret.expose().to_owned(),
        };
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Literal(_) => f.write_str("[redacted]"),
        }
    }
}

impl serde::Serialize for SecretSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_redacted() {
        let source = SecretSource::parse("sk-canary");
        assert_eq!(format!("{source:?} {source}"), "[redacted] [redacted]");
        assert_eq!(serde_json::to_string(&source).unwrap(), "\"[redacted]\"");
    }

    #[test]
    fn an_absent_file_or_variable_is_no_secret() {
        assert_eq!(SecretSource::parse("file:/nowhere/at/all").resolve(), Ok(None));
        assert_eq!(SecretSource::parse("env:WEIR_TEST_SURELY_UNSET").resolve(), Ok(None));
    }

    #[test]
    fn a_file_loses_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "sk-file\n").unwrap();
        let source = SecretSource::parse(&format!("file:{}", file.path().display()));
        assert!(source.resolve().unwrap().unwrap().matches("sk-file"));
    }
}
