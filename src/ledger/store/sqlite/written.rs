//! Which rows were written lately: none is written twice.

use std::collections::VecDeque;

use rusqlite::Connection;
use uuid::Uuid;

/// How many ids are remembered.
const MANY: usize = 1024;
/// How many rows a failed transaction may have had. What became of them is read from the file.
const IN_DOUBT: i64 = 8192;

/// The ids of the rows that were written last, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Written {
    ids: VecDeque<Uuid>,
    /// None of them is greater. Ids grow with time, nearly: most are known to be new by that.
    greatest: Uuid,
}

impl Written {
    /// After a failure: as it is in the file.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT id FROM entries ORDER BY at DESC LIMIT ?1")?;
        let ids = statement.query_map([IN_DOUBT], |row| row.get(0).map(Uuid::from_bytes))?;
        let ids: VecDeque<_> = ids.collect::<rusqlite::Result<_>>()?;
        let greatest = ids.iter().copied().max().unwrap_or_default();
        Ok(Self { ids: ids.into_iter().rev().collect(), greatest })
    }

    pub(super) fn has(&self, id: Uuid) -> bool {
        id <= self.greatest && self.ids.contains(&id)
    }

    pub(super) fn add(&mut self, id: Uuid) {
        // More than one after a failure.
        while self.ids.len() >= MANY {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        self.greatest = self.greatest.max(id);
    }
}
