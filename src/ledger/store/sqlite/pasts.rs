//! How targets did lately.

use rusqlite::{Connection, Row, params, types::Type};

use crate::{health::Minute, ledger::TargetPast};

/// A minute as it is written.
type Written = (u32, u32, u32, u64);

/// Writes pasts in place of those of the same targets; those whose newest minute began before `before` go.
pub(super) fn keep(transaction: &Connection, pasts: &[TargetPast], before: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO target_pasts VALUES (?1, ?2, ?3, ?4) ON CONFLICT (target) DO UPDATE \
        SET provider = ?2, since = ?3, minutes = ?4";
    let mut insert = transaction.prepare_cached(sql)?;
    for past in pasts {
        let write = |minute: &Minute| (minute.ok, minute.failed, minute.limited, minute.ok_millis);
        let minutes: Vec<Written> = past.minutes.iter().map(write).collect();
        let minutes = serde_json::to_string(&minutes)
            .map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?;
        insert.execute(params![past.target, past.provider, past.since, minutes])?;
    }
    transaction.prepare_cached("DELETE FROM target_pasts WHERE since < ?1")?.execute([before])?;
    Ok(())
}

/// All that are kept, by target.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<TargetPast>> {
    let sql = "SELECT target, provider, since, minutes FROM target_pasts ORDER BY target";
    let past = |row: &Row<'_>| {
        let minutes: String = row.get(3)?;
        let minutes: Vec<Written> = serde_json::from_str(&minutes)
            .map_err(|why| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, why.into()))?;
        let read = |(ok, failed, limited, ok_millis)| Minute { ok, failed, limited, ok_millis };
        Ok(TargetPast {
            target: row.get::<_, String>(0)?.into(),
            provider: row.get::<_, String>(1)?.into(),
            since: row.get(2)?,
            minutes: minutes.into_iter().map(read).collect(),
        })
    };
    connection.prepare_cached(sql)?.query_map([], past)?.collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        health::Minute,
        ledger::{
            TargetPast,
            store::{Store as _, sqlite::Sqlite},
        },
    };

    fn past(target: &str, since: i64, ok: u32) -> TargetPast {
        let minute = Minute { ok, failed: 2, limited: 1, ok_millis: u64::from(ok) * 700 };
        TargetPast {
            target: target.into(),
            provider: "p".into(),
            since,
            minutes: vec![minute, Minute::default(), minute],
        }
    }

    #[test]
    fn the_newest_of_each_target_is_kept_until_it_is_old() {
        let mut store = Sqlite::open("sqlite::memory:").unwrap();
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.pasts().unwrap(), []);
        store.keep_pasts(&[past("b", 1000, 5), past("a", 2000, u32::MAX)], 0).unwrap();
        assert_eq!(reader.pasts().unwrap(), [past("a", 2000, u32::MAX), past("b", 1000, 5)]);
        store.keep_pasts(&[past("a", 2000, 3), past("c", 3000, 1)], 2000).unwrap();
        assert_eq!(reader.pasts().unwrap(), [past("a", 2000, 3), past("c", 3000, 1)]);
    }
}
