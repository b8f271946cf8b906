//! `/admin/ledger`, `/admin/report`: what was spent, row by row or summed up.

use std::{borrow::Cow, time::Duration};

use axum::{
    extract,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    base::id::RequestId,
    edge::{
        error,
        parameters::{Parameters, bad},
        state::State,
    },
    ledger::{
        LedgerError,
        report::{By, Period, Question, parse_time},
        rows::{Cursor, DEFAULT_LIMIT, MAX_LIMIT, RowQuery},
    },
    pipeline::{Code, Refusal},
};

/// When it is worth asking again.
const RETRY: Duration = Duration::from_secs(1);
/// Since when a report is made where nobody says.
const SINCE: &str = "7d";

/// `GET /admin/ledger`: rows, newest first.
pub async fn rows(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    let till = &state.0.till;
    match row_query(&uri, till.clock.millis()) {
        Ok(query) => answer(till.ledger.books().rows(query).await),
        Err(refusal) => error::plain(&refusal),
    }
}

/// `GET /admin/report`: what the rows come to.
pub async fn report(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    let till = &state.0.till;
    match question(&uri, till.clock.millis()) {
        Ok(question) => answer(till.ledger.books().report(question).await),
        Err(refusal) => error::plain(&refusal),
    }
}

fn answer<T: Serialize>(result: Result<T, LedgerError>) -> Response {
    // What can be read of a ledger always is JSON.
    if let Err(error @ LedgerError::TooLong) = &result {
        return error::plain(&Refusal::new(Code::LedgerUnavailable, format!("{error}.")).after(RETRY));
    }
    let body = result
        .map_err(|error| error.to_string())
        .and_then(|found| serde_json::to_string(&found).map_err(|error| error.to_string()));
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(problem) => {
            tracing::error!("the ledger cannot be read: {problem}");
            let message = "The ledger cannot be read now; the log says why.";
            error::plain(&Refusal::new(Code::LedgerUnavailable, message).after(RETRY))
        }
    }
}

/// Between `since` and `until`; where there is no `until`, up to `end`.
fn period(parameters: &Parameters, since: &str, end: Option<i64>, now: i64) -> Result<Period, Box<Refusal>> {
    let time = |text: &str| parse_time(&mended(text), now);
    let since = match parameters.parsed("since", time)? {
        Some(since) => since,
        None => time(since).map_err(|problem| bad("since", &problem))?,
    };
    let until = parameters.parsed("until", time)?.or(end);
    Period::new(since, until, now).map_err(|problem| bad("since", &problem))
}

/// A time whose `+` came as a space, as it does where nobody has escaped it: `2026-11-01T10:00:00+02:00`.
fn mended(text: &str) -> Cow<'_, str> {
    match text.rsplit_once(' ') {
        Some((time, zone)) if time.contains('T') => Cow::Owned(format!("{time}+{zone}")),
        _ => Cow::Borrowed(text),
    }
}

fn question(uri: &Uri, now: i64) -> Result<Question, Box<Refusal>> {
    let parameters = Parameters::read(uri, &["since", "until", "by"])?;
    let by = parameters.parsed("by", By::parse)?.unwrap_or_default();
    Ok(Question { period: period(&parameters, SINCE, None, now)?, by, now })
}

fn row_query(uri: &Uri, now: i64) -> Result<RowQuery, Box<Refusal>> {
    let parameters =
        Parameters::read(uri, &["since", "until", "limit", "cursor", "key", "model", "request_id"])?;
    let limit = |text: &str| match text.parse() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(format!("it must be a whole number from 1 to {MAX_LIMIT}")),
    };
    let cursor = |text: &str| Cursor::parse(text).ok_or_else(|| "it must be what `next` gave".to_owned());
    let request = |text: &str| match RequestId::from_client(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("it must be an `x-request-id` of an answer".to_owned()),
    };
    let name = |name| parameters.get(name).map(str::to_owned);
    Ok(RowQuery {
        // Rows that were written while the clock was ahead are shown too.
        period: period(&parameters, "1970-01-01", Some(i64::MAX), now)?,
        key: name("key"),
        model: name("model"),
        request_id: parameters.parsed("request_id", request)?,
        after: parameters.parsed("cursor", cursor)?,
        limit: parameters.parsed("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_795_262_400_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn uri(query: &str) -> Uri {
        format!("/admin/x?{query}").parse().unwrap()
    }

    #[test]
    fn questions_have_defaults() {
        let asked = question(&uri(""), NOW).unwrap();
        let period = Period { since: NOW - 7 * DAY, until: NOW + 1 };
        assert_eq!(asked, Question { period, by: By::Model, now: NOW });
        let asked = question(&uri("since=2026-11-01&until=12h&by=route"), NOW).unwrap();
        let period = Period { since: NOW - 20 * DAY - DAY / 2, until: NOW - DAY / 2 };
        assert_eq!(asked, Question { period, by: By::Route, now: NOW });
        let all = row_query(&uri(""), NOW).unwrap();
        let period = Period { since: 0, until: i64::MAX };
        assert_eq!(
            all,
            RowQuery { period, key: None, model: None, request_id: None, after: None, limit: 100 }
        );
        let one = row_query(&uri("request_id=req-1.a%3Ab"), NOW).unwrap();
        assert_eq!(one.request_id.as_deref(), Some("req-1.a:b"));
        let zoned = row_query(&uri("since=2026-11-01T10:00:00+02:00&until=2026-11-01T08:00:00.250Z"), NOW);
        let start = NOW - 20 * DAY - 4 * DAY / 24;
        assert_eq!(zoned.unwrap().period, Period { since: start, until: start + 250 });
        let cursor = Cursor { time: 5, id: Uuid::from_u128(7) };
        let some =
            row_query(&uri(&format!("key=a%2Fb&model=m&limit=1000&cursor={cursor}&since=1d")), NOW).unwrap();
        assert_eq!((some.key.as_deref(), some.model.as_deref()), (Some("a/b"), Some("m")));
        assert_eq!((some.limit, some.after), (1000, Some(cursor)));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, param) in [
            ("since=soon", "since"),
            ("until=x", "until"),
            ("since=1h&until=2h", "since"),
            ("by=colour", "by"),
            ("limit=5", "limit"),
        ] {
            assert_eq!(question(&uri(query), NOW).unwrap_err().param.as_deref(), Some(param), "{query}");
        }
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("cursor=1", "cursor"),
            ("request_id=", "request_id"),
            ("request_id=a%20b", "request_id"),
            ("since=soon", "since"),
            ("by=model", "by"),
        ] {
            assert_eq!(row_query(&uri(query), NOW).unwrap_err().param.as_deref(), Some(param), "{query}");
        }
    }
}
