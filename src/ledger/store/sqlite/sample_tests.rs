//! Rows written straight into a file's tables, for tests of what reads them.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::base::outcome::Outcome;

/// A row in the making: an answered first try of a cent.
#[derive(Clone, Debug)]
pub struct Sample {
    pub time: i64,
    pub id: u128,
    pub request: Request,
    pub attempt: i64,
    pub position: i64,
    pub kind: i64,
    pub key: Text,
    pub tags: Text,
    pub route: Text,
    pub model: Text,
    pub provider: Text,
    pub cache: Text,
    pub outcome: Text,
    pub cost: i64,
    pub priced: bool,
    pub baseline: Option<i64>,
    pub first_choice: Option<i64>,
    pub budget: Text,
}

/// A request's id.
#[derive(Clone, Debug)]
pub enum Request {
    Own(u128),
    Client(&'static str),
}

/// A text in a row.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// None.
    No,
    /// By its number.
    Named(&'static str),
    /// In the row itself, as where the table of names is full.
    Inline(&'static str),
}

use Text::{Inline, Named, No};

impl Default for Sample {
    fn default() -> Self {
        Self {
            time: 1_795_262_399_000,
            id: 1,
            request: Request::Own(7),
            attempt: 1,
            position: 1,
            kind: 0,
            key: Named("bot"),
            tags: No,
            route: Named("standard"),
            model: Named("big"),
            provider: Named("acme"),
            cache: Named("miss"),
            outcome: Named(Outcome::Ok.as_str()),
            cost: 10_000_000,
            priced: true,
            baseline: None,
            first_choice: None,
            budget: No,
        }
    }
}

/// Makes the tables.
pub fn create(connection: &Connection) {
    for step in super::version::MIGRATIONS {
        connection.execute_batch(step).unwrap();
    }
}

/// Writes a row.
pub fn write(connection: &Connection, sample: &Sample) {
    let number = |text: Text, table: &str, column: &str| -> rusqlite::types::Value {
        match text {
            No => rusqlite::types::Value::Null,
            Inline(text) => text.to_owned().into(),
            Named(text) => {
                let insert = format!("INSERT OR IGNORE INTO {table} ({column}) VALUES (?1)");
                connection.execute(&insert, [text]).unwrap();
                let select = format!("SELECT id FROM {table} WHERE {column} = ?1");
                connection.query_row(&select, [text], |row| row.get::<_, i64>(0)).unwrap().into()
            }
        }
    };
    let name = |text| number(text, "names", "text");
    let request: rusqlite::types::Value = match &sample.request {
        Request::Own(id) => id.to_be_bytes().to_vec().into(),
        Request::Client(text) => (*text).to_owned().into(),
    };
    connection
        .execute(
            "INSERT INTO entries (time, id, request, attempt, key, tags, route, tier, task, complexity,
                requested_model, stream, cache, model, provider, position, kind, outcome, input, cached_input,
                cache_write, cache_write_1h, audio_input, output, reasoning, audio_output, cost, priced, baseline,
                first_choice, first_byte_ms, duration_ms, overhead_us, budget)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL, 5, ?8, 1, ?9, ?10, ?11, ?12, ?13, ?14, 10, 4, 2, 1, 100,
                5, 2, 50, ?15, ?16, ?17, ?18, 120, 900, 412, ?19)",
            params![
                sample.time,
                Uuid::from_u128(sample.id).as_bytes().to_vec(),
                request,
                sample.attempt,
                name(sample.key),
                number(sample.tags, "tag_sets", "json"),
                name(sample.route),
                name(Named("auto")),
                name(sample.cache),
                name(sample.model),
                name(sample.provider),
                sample.position,
                sample.kind,
                name(sample.outcome),
                sample.cost,
                sample.priced,
                sample.baseline,
                sample.first_choice,
                name(sample.budget),
            ],
        )
        .unwrap();
}
