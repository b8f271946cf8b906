//! Texts that repeat, kept once: by number in the rows, by text in a table that is also held in memory.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, types::ValueRef};

/// How many texts a table takes. Those that come later stand in the rows themselves, so that what clients invent
/// fills no memory.
const MAX_TEXTS: usize = 65_536;
/// The longest text that is kept once, in bytes.
const MAX_LENGTH: usize = 512;

/// The statements of one such table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    load: &'static str,
    add: &'static str,
}

/// Names of keys, models, routes and the like.
pub(super) const TEXTS: Table =
    Table { load: "SELECT id, text FROM names", add: "INSERT INTO names (text) VALUES (?1)" };
/// Sets of tags.
pub(super) const TAGS: Table =
    Table { load: "SELECT id, json FROM tag_sets", add: "INSERT INTO tag_sets (json) VALUES (?1)" };

/// One such table.
#[derive(Debug)]
pub(super) struct Names {
    table: Table,
    ids: HashMap<Arc<str>, i64>,
    /// Those of the transaction under way, which may come to nothing.
    fresh: Vec<Arc<str>>,
}

impl Names {
    pub(super) fn load(connection: &Connection, table: Table) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare(table.load)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, Arc<str>>(1)?, row.get(0)?)))?;
        Ok(Self { table, ids: rows.collect::<rusqlite::Result<_>>()?, fresh: Vec::new() })
    }

    /// What stands for this text in a row.
    pub(super) fn value<'t>(
        &mut self,
        connection: &Connection,
        text: &'t str,
    ) -> rusqlite::Result<ValueRef<'t>> {
        if let Some(id) = self.ids.get(text) {
            return Ok(ValueRef::Integer(*id));
        }
        if self.ids.len() >= MAX_TEXTS || text.len() > MAX_LENGTH {
            return Ok(text.into());
        }
        connection.prepare_cached(self.table.add)?.execute([text])?;
        let id = connection.last_insert_rowid();
        let text: Arc<str> = text.into();
        self.ids.insert(text.clone(), id);
        self.fresh.push(text);
        Ok(ValueRef::Integer(id))
    }

    /// The transaction was committed.
    pub(super) fn keep(&mut self) {
        self.fresh.clear();
    }

    /// The transaction was undone.
    pub(super) fn forget(&mut self) {
        for text in self.fresh.drain(..) {
            self.ids.remove(&text);
        }
    }
}
