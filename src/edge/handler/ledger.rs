//! `/admin/ledger`, `/admin/report`: what was spent, row by row or summed up.

use axum::{
    extract,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
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

/// Since when a report is made where nobody says.
const SINCE: &str = "7d";

/// `GET /admin/ledger`: rows, newest first.
pub async fn rows(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    let till = &state.0.till;
    match row_query(&uri, till.clock.millis()) {
        Ok(query) => answer(&state, till.ledger.books().rows(query).await),
        Err(refusal) => error::refused(&state.0.metrics, &refusal),
    }
}

/// `GET /admin/report`: what the rows come to.
pub async fn report(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    let till = &state.0.till;
    match question(&uri, till.clock.millis()) {
        Ok(question) => answer(&state, till.ledger.books().report(question).await),
        Err(refusal) => error::refused(&state.0.metrics, &refusal),
    }
}

fn answer<T: Serialize>(state: &State, result: Result<T, LedgerError>) -> Response {
    // What can be read of a ledger always is JSON.
    let body = result
        .map_err(|error| error.to_string())
        .and_then(|found| serde_json::to_string(&found).map_err(|error| error.to_string()));
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(problem) => {
            tracing::error!("the ledger cannot be read: {problem}");
            let message = "The ledger cannot be read now; the log says why.";
            error::refused(&state.0.metrics, &Refusal::new(Code::LedgerUnavailable, message))
        }
    }
}

/// Between `since` and `until`; without them everything up to now.
fn period(parameters: &Parameters, since: &str, now: i64) -> Result<Period, Box<Refusal>> {
    let time = |text: &str| parse_time(text, now);
    let since = match parameters.parsed("since", time)? {
        Some(since) => since,
        None => time(since).map_err(|problem| bad("since", &problem))?,
    };
    let until = parameters.parsed("until", time)?;
    Period::new(since, until, now).map_err(|problem| bad("since", &problem))
}

fn question(uri: &Uri, now: i64) -> Result<Question, Box<Refusal>> {
    let parameters = Parameters::read(uri, &["since", "until", "by"])?;
    let by = parameters.parsed("by", By::parse)?.unwrap_or_default();
    Ok(Question { period: period(&parameters, SINCE, now)?, by, now })
}

fn row_query(uri: &Uri, now: i64) -> Result<RowQuery, Box<Refusal>> {
    let parameters = Parameters::read(uri, &["since", "until", "limit", "cursor", "key", "model"])?;
    let limit = |text: &str| match text.parse() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(format!("it must be a whole number from 1 to {MAX_LIMIT}")),
    };
    let cursor = |text: &str| Cursor::parse(text).ok_or_else(|| "it must be what `next` gave".to_owned());
    let name = |name| parameters.get(name).map(str::to_owned);
    Ok(RowQuery {
        period: period(&parameters, "1970-01-01", now)?,
        key: name("key"),
        model: name("model"),
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
        let period = Period { since: 0, until: NOW + 1 };
        assert_eq!(all, RowQuery { period, key: None, model: None, after: None, limit: 100 });
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
            ("since=soon", "since"),
            ("by=model", "by"),
        ] {
            assert_eq!(row_query(&uri(query), NOW).unwrap_err().param.as_deref(), Some(param), "{query}");
        }
    }
}
