//! Reads pages of rows, newest first.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row as Columns, named_params, types::ValueRef};
use uuid::Uuid;

use super::{
    rows,
    texts::{OwnTexts, Texts},
};
use crate::{
    base::{calendar, money::Nanos},
    ledger::{
        Kind,
        report::{NO_NAME, NameId},
        rows::{Cursor, LedgerRow, MAX_LIMIT, Page, RowQuery},
    },
};

/// What is looked for in one part.
const FIND: &str = "
    SELECT time, id, at FROM entries
    WHERE at BETWEEN :first AND :end AND time >= :since AND time <= :last
        AND (time < :last OR :before IS NULL OR id < :before)
        AND (:key IS NULL OR key IN (:key, :key_id))
        AND (:model IS NULL OR model IN (:model, :model_id))
        AND (:request IS NULL OR request = :request)";

const READ: &str = "
    SELECT time, id, request, attempt, key, tags, route, tier, task, complexity, requested_model, stream, cache,
        model, provider, position, kind, outcome, input + audio_input, cached_input, cache_write + cache_write_1h,
        output + audio_output, reasoning, cost, priced, baseline, first_choice, first_byte_ms, duration_ms,
        overhead_us, budget, quality
    FROM entries WHERE at = ?1";

/// Where a row comes in a page: its time, its id, its place in the file.
type Found = (i64, [u8; 16], i64);

/// Reads a page.
///
/// # Errors
/// The file's.
pub fn page(connection: &Connection, query: &RowQuery) -> rusqlite::Result<Page> {
    // All reads see the file at one moment; nothing is written.
    let _snapshot = connection.unchecked_transaction()?;
    let limit = query.limit.clamp(1, MAX_LIMIT);
    let own = OwnTexts::default();
    let mut reader = RowReader::new(Texts::new(connection, &own));
    // One more tells whether there is a next page.
    let found = find(connection, query, &reader.texts, limit + 1)?;
    let shown = &found[..limit.min(found.len())];
    let mut read = connection.prepare_cached(READ)?;
    let data = shown.iter().map(|(_, _, at)| read.query_row([at], |columns| reader.read(columns)));
    let data = data.collect::<rusqlite::Result<_>>()?;
    let last = shown.last().filter(|_| found.len() > limit);
    let cursor = |&(time, id, _): &Found| Cursor { time, id: Uuid::from_bytes(id) }.to_string();
    Ok(Page { data, next: last.map(cursor) })
}

/// The newest rows that are asked for, the newest first.
fn find(
    connection: &Connection,
    query: &RowQuery,
    texts: &Texts<'_>,
    limit: usize,
) -> rusqlite::Result<Vec<Found>> {
    let number = |name: &Option<String>| match name {
        Some(name) => texts.find(name),
        None => Ok(None),
    };
    let (key_id, model_id) = (number(&query.key)?, number(&query.model)?);
    // A cursor of a row that is newer than the period is no cursor at all: all of the period is older.
    let end = query.period.until.saturating_sub(1);
    let after = query.after.filter(|cursor| cursor.time <= end);
    let last = after.map_or(end, |cursor| cursor.time);
    let request = query.request_id.as_deref().map(rows::Request::of);
    let mut parts = connection.prepare_cached(
        "SELECT first, last, newest FROM parts WHERE newest >= ?1 AND oldest <= ?2 ORDER BY newest DESC",
    )?;
    let mut parts = parts.query([query.period.since, last])?;
    let mut find = connection.prepare_cached(FIND)?;
    let mut found: Vec<Found> = Vec::new();
    while let Some(part) = parts.next()? {
        let newest: i64 = part.get(2)?;
        // The other parts have only older ones.
        if found.get(limit - 1).is_some_and(|oldest| oldest.0 > newest) {
            break;
        }
        let mut rows = find.query(named_params! {
            ":first": part.get::<_, i64>(0)?,
            ":end": part.get::<_, i64>(1)?,
            ":since": query.period.since,
            ":last": last,
            ":before": after.map(|cursor| cursor.id.into_bytes()),
            ":key": query.key,
            ":key_id": key_id,
            ":model": query.model,
            ":model_id": model_id,
            ":request": request,
        })?;
        while let Some(row) = rows.next()? {
            found.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.truncate(limit);
    }
    Ok(found)
}

fn uuid(columns: &Columns<'_>) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(columns.get("id")?))
}

/// Reads rows, each of their names once.
struct RowReader<'a> {
    texts: Texts<'a>,
    names: HashMap<NameId, String>,
}

impl<'a> RowReader<'a> {
    fn new(texts: Texts<'a>) -> Self {
        Self { texts, names: HashMap::new() }
    }

    /// The name in a column.
    fn name(&mut self, columns: &Columns<'_>, column: &str) -> rusqlite::Result<Option<String>> {
        let number = match columns.get_ref(column)? {
            ValueRef::Integer(number) => number,
            ValueRef::Text(text) => return Ok(Some(String::from_utf8_lossy(text).into_owned())),
            _ => NO_NAME,
        };
        if number == NO_NAME {
            return Ok(None);
        }
        if let Some(name) = self.names.get(&number) {
            return Ok(Some(name.clone()));
        }
        let name = self.texts.text(number)?;
        self.names.insert(number, name.clone());
        Ok(Some(name))
    }

    fn tags(&mut self, columns: &Columns<'_>) -> rusqlite::Result<BTreeMap<String, String>> {
        match columns.get_ref("tags")? {
            ValueRef::Integer(number) => self.texts.tag_set(number),
            ValueRef::Text(json) => Ok(serde_json::from_slice(json).unwrap_or_default()),
            _ => Ok(BTreeMap::new()),
        }
    }

    fn read(&mut self, columns: &Columns<'_>) -> rusqlite::Result<LedgerRow> {
        let money = |column: &str| columns.get::<_, Option<i64>>(column).map(|amount| amount.map(Nanos));
        let overhead_us: i64 = columns.get("overhead_us")?;
        Ok(LedgerRow {
            id: uuid(columns)?.to_string(),
            request_id: request_id(columns.get_ref("request")?),
            attempt: columns.get("attempt")?,
            time: calendar::rfc3339(columns.get("time")?),
            key: self.name(columns, "key")?,
            tags: self.tags(columns)?,
            route: self.name(columns, "route")?,
            tier: self.name(columns, "tier")?,
            task: self.name(columns, "task")?,
            complexity: columns.get("complexity")?,
            requested_model: self.name(columns, "requested_model")?,
            model: self.name(columns, "model")?,
            provider: self.name(columns, "provider")?,
            position: columns.get("position")?,
            kind: match columns.get("kind")? {
                0_i64 => Kind::Actual.as_str(),
                1 => Kind::Estimated.as_str(),
                _ => Kind::Adjustment.as_str(),
            },
            outcome: self.name(columns, "outcome")?.unwrap_or_default(),
            quality: self.name(columns, "quality")?,
            stream: columns.get("stream")?,
            cache: self.name(columns, "cache")?,
            input_tokens: columns.get(18)?,
            cached_input_tokens: columns.get(19)?,
            cache_write_tokens: columns.get(20)?,
            output_tokens: columns.get(21)?,
            reasoning_tokens: columns.get(22)?,
            cost_usd: Nanos(columns.get("cost")?),
            priced: columns.get("priced")?,
            baseline_usd: money("baseline")?,
            first_choice_usd: money("first_choice")?,
            first_byte_ms: columns.get("first_byte_ms")?,
            duration_ms: columns.get("duration_ms")?,
            overhead_ms: overhead_us as f64 / 1000.0,
            budget: self.name(columns, "budget")?,
        })
    }
}

/// Our own ids are kept as their 16 bytes, a client's as its text.
fn request_id(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => {
            Uuid::from_slice(bytes).map(|id| format!("req_{}", id.simple())).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        report::Period,
        rows::DEFAULT_LIMIT,
        store::sqlite::sample::{
            Request, Sample,
            Text::{Inline, Named},
            create, write,
        },
    };

    fn ledger(samples: &[Sample]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection);
        for sample in samples {
            write(&connection, sample);
        }
        connection
    }

    fn all() -> RowQuery {
        let period = Period { since: i64::MIN, until: i64::MAX };
        RowQuery { period, key: None, model: None, request_id: None, after: None, limit: DEFAULT_LIMIT }
    }

    fn times(page: &Page) -> Vec<&str> {
        page.data.iter().map(|row| &row.time[17..23]).collect()
    }

    #[test]
    fn a_row_has_the_names_of_the_contract() {
        let sample = Sample {
            tags: Named(r#"{"team":"x"}"#),
            baseline: Some(38),
            request: Request::Own(0x0192_0000_0000_7000_8000_0000_0000_0001),
            id: 0x0192_0000_0000_7000_8000_0000_0000_0002,
            ..Sample::default()
        };
        let page = page(&ledger(&[sample]), &all()).unwrap();
        let expected = serde_json::json!({ "data": [{
            "id": "01920000-0000-7000-8000-000000000002", "request_id": "req_01920000000070008000000000000001",
            "attempt": 1, "time": "2026-11-21T11:59:59.000Z", "key": "bot", "tags": { "team": "x" },
            "route": "standard", "tier": null, "task": null, "complexity": 5, "requested_model": "auto",
            "model": "big", "quality": null, "provider": "acme", "position": 1, "kind": "actual", "outcome": "ok", "stream": true,
            "cache": "miss", "input_tokens": 110, "cached_input_tokens": 4, "cache_write_tokens": 3,
            "output_tokens": 55, "reasoning_tokens": 2, "cost_usd": "0.01", "priced": true,
            "baseline_usd": "0.000000038", "first_choice_usd": null, "first_byte_ms": 120, "duration_ms": 900,
            "overhead_ms": 0.412, "budget": null,
        }], "next": null });
        assert_eq!(serde_json::to_value(&page).unwrap(), expected);
    }

    #[test]
    fn a_row_holds_what_has_no_number_itself() {
        let sample = Sample {
            request: Request::Client("mine"),
            key: Inline("bot"),
            tags: Inline(r#"{"a":"b"}"#),
            ..Sample::default()
        };
        let page = page(&ledger(&[sample]), &all()).unwrap();
        let row = &page.data[0];
        assert_eq!((row.request_id.as_str(), row.key.as_deref()), ("mine", Some("bot")));
        assert_eq!(row.tags["a"], "b");
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        // Several rows of one moment stand across the pages' borders.
        let samples: Vec<Sample> = (0..25)
            .map(|n| Sample { time: 1000 * (n / 4), id: (n * 7 % 25) as u128, ..Sample::default() })
            .collect();
        let connection = ledger(&samples);
        let whole = page(&connection, &all()).unwrap();
        assert_eq!((whole.data.len(), &whole.next), (25, &None));
        assert!(whole.data.is_sorted_by(|a, b| (&a.time, &a.id) > (&b.time, &b.id)));
        let (mut seen, mut query) = (Vec::new(), RowQuery { limit: 6, ..all() });
        for _ in 0..5 {
            let page = page(&connection, &query).unwrap();
            seen.extend(page.data);
            query.after = page.next.as_deref().map(|next| Cursor::parse(next).unwrap());
        }
        assert_eq!((seen, query.after), (whole.data, None));
    }

    #[test]
    fn rows_can_be_asked_for_by_time_key_model() {
        let at = |second: i64| Sample { time: 1000 * second, ..Sample::default() };
        let samples = [
            at(1),
            Sample { key: Named("web"), ..at(2) },
            Sample { model: Named("small"), ..at(3) },
            Sample { key: Inline("web"), model: Inline("small"), ..at(4) },
            at(5),
        ];
        let connection = ledger(&samples);
        let found = |query: RowQuery| {
            times(&page(&connection, &query).unwrap())
                .iter()
                .map(|time| time[1..2].to_owned())
                .collect::<String>()
        };
        assert_eq!(found(RowQuery { period: Period { since: 2000, until: 4000 }, ..all() }), "32");
        assert_eq!(found(RowQuery { key: Some("web".into()), ..all() }), "42");
        assert_eq!(found(RowQuery { model: Some("small".into()), ..all() }), "43");
        assert_eq!(found(RowQuery { key: Some("bot".into()), model: Some("small".into()), ..all() }), "3");
        assert_eq!(found(RowQuery { key: Some("nobody".into()), ..all() }), "");
        let newer = Cursor { time: 9000, id: Uuid::nil() };
        assert_eq!(found(RowQuery { after: Some(newer), ..all() }), "54321");
        let inside = RowQuery { period: Period { since: 0, until: 3000 }, after: Some(newer), ..all() };
        assert_eq!(found(inside), "21");
        let older = Cursor { time: 500, id: Uuid::nil() };
        assert_eq!(found(RowQuery { after: Some(older), ..all() }), "");
    }

    #[test]
    fn rows_can_be_asked_for_by_request() {
        let own = 0x0192_0000_0000_7000_8000_0000_0000_0001;
        let samples = [
            Sample { request: Request::Own(own), id: 1, ..Sample::default() },
            Sample { request: Request::Client("mine"), id: 2, ..Sample::default() },
            Sample { id: 3, ..Sample::default() },
        ];
        let connection = ledger(&samples);
        for (id, rows) in [("mine", 1), ("req_01920000000070008000000000000001", 1), ("nobody's", 0)] {
            let query = RowQuery { request_id: Some(id.to_owned()), ..all() };
            let page = page(&connection, &query).unwrap();
            assert_eq!(page.data.len(), rows, "{id}");
            assert!(page.data.iter().all(|row| row.request_id == id));
        }
    }

    #[test]
    fn a_page_has_its_bounds() {
        let samples: Vec<Sample> = (0..1100).map(|n| Sample { id: n, ..Sample::default() }).collect();
        let connection = ledger(&samples);
        let count = |limit| page(&connection, &RowQuery { limit, ..all() }).unwrap().data.len();
        assert_eq!((count(0), count(1), count(100_000)), (1, 1, MAX_LIMIT));
    }
}
