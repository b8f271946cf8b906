//! Writing rows.

use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::{Change, Names, Tail, Written};
use crate::{
    base::account::AccountWindow,
    ledger::{Entry, Kind, Origin},
};

/// How many columns a row has.
const COLUMNS: usize = 37;

const INSERT: &str = "INSERT INTO entries (time, id, request, attempt, key, tags, route, tier, task, complexity, \
    requested_model, stream, cache, model, provider, position, kind, outcome, input, cached_input, cache_write, \
    cache_write_1h, audio_input, output, reasoning, audio_output, cost, priced, baseline, first_choice, \
    first_byte_ms, duration_ms, overhead_us, budget, period, window_start, \
    quality) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
    ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, \
    ?36, ?37)";

/// Writes the rows of a transaction. Rows that follow each other are much alike: what a row has in common with the one
/// before is neither looked up nor bound again.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    statement: CachedStatement<'a>,
    names: Lately<'a>,
    tags: &'a mut Names,
    written: &'a mut Written,
    /// Loaded.
    tail: &'a mut Option<Tail>,
    /// The tags of the row before, with what stands for them.
    tagged: Option<(&'a Origin, i64)>,
    /// What each parameter has, where it is a number or nothing; else a text without letters. A statement that is prepared
    /// has nothing.
    bound: [ValueRef<'static>; COLUMNS],
}

impl<'a> Rows<'a> {
    /// For the rows of this transaction.
    pub(super) fn of(change: &'a mut Change<'_>) -> rusqlite::Result<Self> {
        let connection: &Connection = &change.transaction;
        if change.tail.is_none() {
            *change.tail = Some(Tail::load(connection)?);
        }
        Ok(Self {
            connection,
            statement: connection.prepare_cached(INSERT)?,
            names: Lately { connection, names: change.names, found: [("", ValueRef::Null); NAMED] },
            tags: change.tags,
            written: change.written,
            tail: change.tail,
            tagged: None,
            bound: [ValueRef::Null; COLUMNS],
        })
    }

    /// Writes a row; false if it was there already. An adjustment has the window that it belongs to.
    pub(super) fn insert(
        &mut self,
        entry: &'a Entry,
        window: Option<&'a AccountWindow>,
    ) -> rusqlite::Result<bool> {
        if self.written.has(entry.id) {
            return Ok(false);
        }
        let Entry { origin, usage, .. } = entry;
        let json;
        let tags = match self.tagged {
            _ if origin.tags.is_empty() => ValueRef::Null,
            Some((before, number)) if before.tags == origin.tags => ValueRef::Integer(number),
            _ => {
                json = serde_json::to_string(&*origin.tags)
                    .map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?;
                let value = self.tags.value(self.connection, &json)?;
                self.tagged = value.as_i64().ok().map(|number| (&**origin, number));
                value
            }
        };
        let request = Request::of(&origin.request_id);
        let names = &mut self.names;
        let values = [
            int(entry.time),
            ValueRef::Blob(entry.id.as_bytes()),
            request.value(),
            int(entry.attempt),
            names.of(0, &origin.key)?,
            tags,
            names.of(1, &origin.route)?,
            names.option(2, origin.tier.as_deref())?,
            names.option(3, origin.task.as_deref())?,
            option(origin.complexity),
            names.of(4, &origin.requested_model)?,
            int(origin.stream),
            names.of(5, origin.cache)?,
            names.option(6, entry.model.as_deref())?,
            names.option(7, entry.provider.as_deref())?,
            int(entry.position),
            int(kind(entry.kind)),
            names.of(8, entry.outcome)?,
            count(usage.input),
            count(usage.cached_input),
            count(usage.cache_write),
            count(usage.cache_write_1h),
            count(usage.audio_input),
            count(usage.output),
            count(usage.reasoning),
            count(usage.audio_output),
            int(entry.cost.0),
            int(entry.priced),
            option(entry.baseline.map(|cost| cost.0)),
            option(entry.first_choice.map(|cost| cost.0)),
            option(entry.first_byte_ms),
            int(entry.duration_ms),
            int(entry.overhead_us),
            names.option(9, entry.budget.as_deref())?,
            window.map_or(ValueRef::Null, |window| window.account.period.as_str().into()),
            option(window.map(|window| window.start)),
            names.option(10, entry.quality)?,
        ];
        self.bind(&values)?;
        self.statement.raw_execute()?;
        self.written.add(entry.id);
        if let Some(tail) = self.tail {
            tail.add(self.connection, entry.time)?;
        }
        Ok(true)
    }

    fn bind(&mut self, values: &[ValueRef<'_>; COLUMNS]) -> rusqlite::Result<()> {
        for (index, (value, bound)) in values.iter().zip(&mut self.bound).enumerate() {
            *bound = match (*value, *bound) {
                (ValueRef::Null, ValueRef::Null) => continue,
                (ValueRef::Integer(number), ValueRef::Integer(before)) if number == before => continue,
                (ValueRef::Null, _) => ValueRef::Null,
                (ValueRef::Integer(number), _) => ValueRef::Integer(number),
                _ => ValueRef::Text(b""),
            };
            self.statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(*value))?;
        }
        Ok(())
    }
}

/// How many columns hold names.
const NAMED: usize = 11;

/// What stands for texts, each column's last one at hand.
struct Lately<'a> {
    connection: &'a Connection,
    names: &'a mut Names,
    found: [(&'a str, ValueRef<'a>); NAMED],
}

impl<'a> Lately<'a> {
    /// What stands for a text in one of the columns; nothing for none.
    fn of(&mut self, column: usize, text: &'a str) -> rusqlite::Result<ValueRef<'a>> {
        if text.is_empty() {
            return Ok(ValueRef::Null);
        }
        if self.found[column].0 != text {
            self.found[column] = (text, self.names.value(self.connection, text)?);
        }
        Ok(self.found[column].1)
    }

    fn option(&mut self, column: usize, text: Option<&'a str>) -> rusqlite::Result<ValueRef<'a>> {
        self.of(column, text.unwrap_or_default())
    }
}

/// A request's id as rows have it: our own ids are half as long as bytes.
pub(super) enum Request<'a> {
    Own([u8; 16]),
    Text(&'a str),
}

impl<'a> Request<'a> {
    pub(super) fn of(id: &'a str) -> Self {
        own(id).map_or(Self::Text(id), Self::Own)
    }

    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Own(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }
    }
}

impl ToSql for Request<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.value()))
    }
}

/// The bytes of an id that is `req_` and 32 hexadecimal digits.
fn own(id: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = id.strip_prefix("req_")?.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (bytes, digits) in bytes.as_chunks_mut().0.iter_mut().zip(digits.as_chunks().0) {
        *bytes = four(*digits)?;
    }
    Some(bytes)
}

/// The bytes of eight hexadecimal digits, all at once. Those in upper case are none: they would come back in lower case.
fn four(digits: [u8; 8]) -> Option<[u8; 4]> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(digits);
    // `a` is `1` with a bit more: nine above what its low half says.
    let worth = (text & (0x0f * EACH)) + ((text >> 6) & EACH) * 9;
    let letters = ((worth + 6 * EACH) >> 4) & EACH;
    let back = worth + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'0' - 10);
    if back != text || worth & (0xf0 * EACH) != 0 {
        return None;
    }
    let [_, one, _, two, _, three, _, four] = (worth >> 4 | worth).to_be_bytes();
    Some([one, two, three, four])
}

fn int(number: impl Into<i64>) -> ValueRef<'static> {
    ValueRef::Integer(number.into())
}

fn option(number: Option<impl Into<i64>>) -> ValueRef<'static> {
    number.map_or(ValueRef::Null, int)
}

/// A count as SQLite has it. None is near the bound.
fn count(tokens: u64) -> ValueRef<'static> {
    int(i64::try_from(tokens).unwrap_or(i64::MAX))
}

fn kind(kind: Kind) -> i64 {
    match kind {
        Kind::Actual => 0,
        Kind::Estimated => 1,
        Kind::Adjustment => super::ADJUSTMENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_our_own_are_kept_as_bytes() {
        let id = "req_0192000000007000800000000000abcf";
        let Request::Own(bytes) = Request::of(id) else { panic!("it is our own") };
        assert_eq!(u128::from_be_bytes(bytes), 0x0192_0000_0000_7000_8000_0000_0000_abcf);
        for other in
            ["", "req_", &id[..35], &format!("{id}0"), &id.to_uppercase(), &id.replace('f', "F"), &id[4..]]
        {
            assert!(matches!(Request::of(other), Request::Text(text) if text == other), "{other}");
        }
        for wrong in ["g", "o", " ", "/", ":", "`", "é"] {
            let other = format!("{}{wrong}", &id[..36 - wrong.len()]);
            assert!(matches!(Request::of(&other), Request::Text(_)), "{other}");
        }
    }
}
