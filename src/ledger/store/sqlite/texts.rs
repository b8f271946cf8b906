//! Turns the numbers in rows back into the texts that they stand for.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, types::ValueRef};

use crate::ledger::report::{NO_NAME, NameId, Names};

/// How many texts that have no number in the file get one here; those beyond share one.
const MAX_OWN: usize = 16_384;
/// The number that they share.
const SHARED: NameId = NameId::MIN;
/// What they are called.
const SHARED_NAME: &str = "other";

/// The texts that rows hold themselves because the file's table of names is full. Shared by all that read for a report.
#[derive(Debug, Default)]
pub struct OwnTexts(Mutex<Own>);

#[derive(Debug, Default)]
struct Own {
    numbers: HashMap<String, NameId>,
    texts: Vec<String>,
}

impl OwnTexts {
    /// The number of a text, below zero.
    fn number(&self, text: &str) -> NameId {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = own.numbers.get(text) {
            return *number;
        }
        if own.texts.len() == MAX_OWN {
            return SHARED;
        }
        own.texts.push(text.to_owned());
        let number = -(own.texts.len() as NameId);
        own.numbers.insert(text.to_owned(), number);
        number
    }

    fn text(&self, number: NameId) -> Option<String> {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(-(number + 1)).ok().and_then(|at| own.texts.get(at)).cloned()
    }
}

/// The texts of a file, with those that its rows hold themselves.
pub struct Texts<'a> {
    connection: &'a Connection,
    own: &'a OwnTexts,
    /// The first failure: what asks for names cannot pass one on.
    fault: RefCell<Option<rusqlite::Error>>,
}

impl<'a> Texts<'a> {
    /// The texts that this connection sees.
    pub fn new(connection: &'a Connection, own: &'a OwnTexts) -> Self {
        Self { connection, own, fault: RefCell::new(None) }
    }

    /// The number of what stands in a column; texts get numbers of their own, below zero.
    pub fn number(&self, value: ValueRef<'_>) -> NameId {
        match value {
            ValueRef::Integer(number) => number,
            ValueRef::Text(bytes) => self.own.number(&String::from_utf8_lossy(bytes)),
            _ => NO_NAME,
        }
    }

    /// The number that the file has for a text.
    ///
    /// # Errors
    /// The file's.
    pub fn find(&self, text: &str) -> rusqlite::Result<Option<NameId>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM names WHERE text = ?1")?;
        statement.query_row([text], |row| row.get(0)).optional()
    }

    /// The text of a name's number; empty for none.
    ///
    /// # Errors
    /// The file's.
    pub fn text(&self, number: NameId) -> rusqlite::Result<String> {
        self.look_up(number, "SELECT text FROM names WHERE id = ?1")
    }

    /// The tags of a set's number.
    ///
    /// # Errors
    /// The file's.
    pub fn tag_set(&self, number: NameId) -> rusqlite::Result<BTreeMap<String, String>> {
        let json = self.look_up(number, "SELECT json FROM tag_sets WHERE id = ?1")?;
        Ok(serde_json::from_str(&json).unwrap_or_default())
    }

    fn look_up(&self, number: NameId, sql: &str) -> rusqlite::Result<String> {
        match number {
            NO_NAME => Ok(String::new()),
            SHARED => Ok(SHARED_NAME.to_owned()),
            own if own < 0 => Ok(self.own.text(own).unwrap_or_default()),
            number => self.connection.prepare_cached(sql)?.query_row([number], |row| row.get(0)),
        }
    }

    /// The first failure since the beginning.
    ///
    /// # Errors
    /// That failure.
    pub fn check(self) -> rusqlite::Result<()> {
        self.fault.into_inner().map_or(Ok(()), Err)
    }

    fn note<T: Default>(&self, result: rusqlite::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            T::default()
        })
    }
}

impl Names for Texts<'_> {
    fn name(&self, id: NameId) -> String {
        self.note(self.text(id))
    }

    fn tags(&self, id: NameId) -> Vec<String> {
        if id == SHARED {
            return vec![SHARED_NAME.to_owned()];
        }
        let tags = self.note(self.tag_set(id));
        tags.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}
