//! What can go wrong with the ledger.

use std::fmt;

/// The ledger cannot record now: its disk is full, its file locked or read-only, or too many rows wait.
/// Worth another try in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ledger cannot record now")
    }
}

impl std::error::Error for Unavailable {}

/// Why a ledger could not be opened, read or written. Its text names the setting and what to do.
#[derive(Debug)]
pub enum LedgerError {
    /// `ledger.url` is none that is known.
    BadUrl(String),
    /// Another server owns the ledger.
    Owned(String),
    /// A newer Weir made the file.
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// The file is no ledger.
    Foreign(String),
    /// The name of a key is taken.
    KeyExists(String),
    /// No live key has that name.
    NoSuchKey(String),
    /// A read took longer than it may.
    TooLong,
    /// The store failed.
    Failed {
        /// What was tried, with the file's name where there is one.
        what: String,
        /// What the store said.
        why: String,
    },
}

impl LedgerError {
    /// A failure of the store.
    pub fn failed(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Failed { what: what.into(), why: why.to_string() }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(url) => write!(
                f,
                "ledger.url: `{url}` is no ledger: write `sqlite:PATH`, or `sqlite::memory:` for one that ends with the process"
            ),
            Self::Owned(path) => write!(
                f,
                "ledger.url: another weir server owns `{path}`; stop it, or give this one a ledger of its own"
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "ledger.url: `{path}` was written by a newer weir (version {found} of the file, this one knows {known}); upgrade weir"
            ),
            Self::Foreign(path) => {
                write!(
                    f,
                    "ledger.url: `{path}` is no ledger of weir; name another file, or move that one away"
                )
            }
            Self::KeyExists(name) => {
                write!(f, "a key `{name}` exists already; revoke it first, or choose another name")
            }
            Self::NoSuchKey(name) => write!(f, "there is no key `{name}` that could be revoked"),
            Self::TooLong => f.write_str("reading the ledger took too long; ask for a shorter time"),
            Self::Failed { what, why } => write!(f, "ledger: {what}: {why}"),
        }
    }
}

impl std::error::Error for LedgerError {}
