//! Opens a ledger's file only to read it, beside the server that may own it.

use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{
    place::Place,
    version::{self, MIGRATIONS},
};
use crate::ledger::LedgerError;

/// How long a read waits where the file is locked.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many bytes of the file are read through the system's page cache rather than copied.
const MAPPED: i64 = 1 << 30;

/// Since which version rows stand in parts.
const PARTS: i64 = 4;
/// What an older file lacks, for this connection alone: all of its rows, which are in the order of time, are one part.
const AS_NEWER: &str = "
    CREATE TEMP VIEW entries AS SELECT 0 AS at, * FROM main.entries;
    CREATE TEMP VIEW parts AS SELECT 0 AS first, 0 AS last, -9223372036854775808 AS oldest, 9223372036854775807 AS newest";

/// Opens the file that `ledger.url` names. It is neither made nor changed.
///
/// # Errors
/// The url names no file, there is none yet, it cannot be read or is no ledger.
pub fn open(url: &str) -> Result<Connection, LedgerError> {
    const NONE_YET: &str =
        "there is none yet; a server makes it when it starts, in the folder that it runs in";
    let place = Place::parse(url)?;
    let Place::File(path) = &place else {
        let why = "it is in the memory of the server; ask that one: GET /admin/report";
        return Err(place.failed("read", why));
    };
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(place.failed("read", NONE_YET)),
        Err(error) => return Err(place.failed("read", error)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "mmap_size", MAPPED)?;
        Ok(connection)
    };
    let connection = open().map_err(|error| place.failed("read", error))?;
    match version::of(&connection, &place, MIGRATIONS.len())? {
        0 => return Err(place.failed("read", NONE_YET)),
        1..PARTS => connection.execute_batch(AS_NEWER).map_err(|error| place.failed("read", error))?,
        _ => {}
    }
    Ok(connection)
}
