//! Where a SQLite ledger lies: its file, who owns it, who may read it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, OpenFlags};

use crate::{config::LedgerPlace, ledger::LedgerError};

/// Only the user that Weir runs as.
const OWNER_ONLY: u32 = 0o600;

/// Where a ledger lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this process, under a name of its own.
    Memory(String),
    /// In a file.
    File(PathBuf),
}

impl Place {
    /// Reads `ledger.url`.
    pub(super) fn parse(url: &str) -> Result<Self, LedgerError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        match LedgerPlace::parse(url) {
            None => Err(LedgerError::BadUrl(url.into())),
            Some(LedgerPlace::Memory) => {
                // All connections of this VFS that name the same file, with a slash in front, share it.
                let number = MADE.fetch_add(1, Ordering::Relaxed);
                Ok(Self::Memory(format!("file:/weir-{number}?vfs=memdb")))
            }
            Some(LedgerPlace::File(path)) => Ok(Self::File(real(Path::new(path)))),
        }
    }

    /// Its name for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Memory(_) => ":memory:".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Makes the file where there is none, readable for its owner alone, before SQLite could make it otherwise. What
    /// others may read is mended.
    pub(super) fn prepare(&self) -> Result<(), LedgerError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        make(path).map_err(|why| self.failed("open", why))?;
        for end in ["-wal", "-shm"] {
            match mend(&beside(path, end)) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("change the mode of", why));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the ledger for this process; it is given up when the file is dropped. Nothing in memory can be taken.
    pub(super) fn own(&self) -> Result<Option<File>, LedgerError> {
        let Self::File(path) = self else {
            return Ok(None);
        };
        let lock = beside(path, ".lock");
        make(&lock).map_err(|why| self.failed("make the lock of", why))?;
        let lock =
            OpenOptions::new().write(true).open(lock).map_err(|why| self.failed("open the lock of", why))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Owned(self.name())),
            Err(TryLockError::Error(why)) => Err(self.failed("lock", why)),
        }
    }

    /// A connection.
    pub(super) fn connect(&self) -> Result<Connection, LedgerError> {
        // One thread at a time uses a connection: SQLite need not lock it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self {
            Self::Memory(uri) => {
                let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_CREATE;
                Connection::open_with_flags(uri, flags)
            }
            Self::File(path) => Connection::open_with_flags(path, flags),
        }
        .map_err(|why| self.failed("open", why))
    }

    /// A failure that names the file.
    pub(super) fn failed(&self, what: &str, why: impl std::fmt::Display) -> LedgerError {
        LedgerError::failed(format!("{what} `{}` (ledger.url)", self.name()), why)
    }
}

/// The path without links, so that two names of one file have one lock. What cannot be followed stays as it is.
fn real(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // A file that is still to be made has a folder at least.
    let to_be = || Some(fs::canonicalize(folder).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(to_be).unwrap_or_else(|| path.to_owned())
}

/// The path with something more at its end, as SQLite names its side files.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes a file that only its owner can read, where there is none. One that is there is not opened: closing it would
/// give up the locks that SQLite has on it in this process.
fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
        _ => mend(path),
    }
}

/// Takes away what others may do with a file.
fn mend(path: &Path) -> io::Result<()> {
    let found = fs::metadata(path)?;
    if found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY)).map_err(|why| {
            let owner = found.uid();
            let what =
                format!("other users can read it, and only its owner, user {owner}, can change that: {why}");
            io::Error::new(why.kind(), what)
        })?;
        tracing::warn!(file = %path.display(), "other users could read the ledger; now they cannot");
    }
    Ok(())
}
