//! Reads what a client wishes for in its headers.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName};

use crate::{
    base::money::Nanos,
    config::Classifier,
    pipeline::{CacheWish, Refusal, Wishes},
};

/// The longest list in `x-weir-models`.
const MAX_MODELS: usize = 16;
/// The longest time that a client may name, in milliseconds: a day.
const MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// The longest `idempotency-key`.
const MAX_IDEMPOTENCY_KEY: usize = 255;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Reads all wishes.
///
/// # Errors
/// The first header with a bad value, and what would be right.
pub fn read(headers: &HeaderMap) -> Result<Wishes, Box<Refusal>> {
    // Most clients wish for nothing: then no header is looked for.
    let is_wish = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-weir-") || name == IDEMPOTENCY_KEY
    };
    if !headers.keys().any(is_wish) {
        return Ok(Wishes::default());
    }
    Ok(Wishes {
        models: models(headers)?,
        route: text(headers, "x-weir-route", "a route's name")?.map(str::to_owned),
        tier: text(headers, "x-weir-tier", "a tier's name")?.map(str::to_owned),
        task: task(headers)?,
        timeout: milliseconds(headers, "x-weir-timeout-ms")?,
        attempt_timeout: milliseconds(headers, "x-weir-attempt-timeout-ms")?,
        no_fallback: no_fallback(headers)?,
        cache: cache(headers)?,
        max_cost: max_cost(headers)?,
        stream_summary: truth(headers, "x-weir-stream-summary")?,
        savings: truth(headers, "x-weir-savings")?,
        idempotency_key: idempotency_key(headers)?,
    })
}

/// The only value of a header, trimmed; empty or repeated is as wrong as unreadable.
pub(super) fn text<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    right: &str,
) -> Result<Option<&'a str>, Box<Refusal>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str().map(str::trim), values.next()) {
        (Ok(text), None) if !text.is_empty() => Ok(Some(text)),
        _ => Err(Refusal::bad_header(name, right).into()),
    }
}

fn models(headers: &HeaderMap) -> Result<Vec<String>, Box<Refusal>> {
    let right = "a comma-separated list of 1 to 16 route or model names";
    let Some(list) = text(headers, "x-weir-models", right)? else {
        return Ok(Vec::new());
    };
    let models: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    match models.len() <= MAX_MODELS && models.iter().all(|name| !name.is_empty()) {
        true => Ok(models),
        false => Err(Refusal::bad_header("x-weir-models", right).into()),
    }
}

fn milliseconds(headers: &HeaderMap, name: &'static str) -> Result<Option<Duration>, Box<Refusal>> {
    let right = "a whole number of milliseconds from 1 to 86400000";
    let Some(text) = text(headers, name, right)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(ms @ 1..=MAX_MS) => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Refusal::bad_header(name, right).into()),
    }
}

fn no_fallback(headers: &HeaderMap) -> Result<bool, Box<Refusal>> {
    match text(headers, "x-weir-fallback", "`on` or `off`")? {
        None | Some("on") => Ok(false),
        Some("off") => Ok(true),
        Some(_) => Err(Refusal::bad_header("x-weir-fallback", "`on` or `off`").into()),
    }
}

fn cache(headers: &HeaderMap) -> Result<CacheWish, Box<Refusal>> {
    let right = "a comma-separated list of `no-cache`, `no-store`, `only-if-cached`, `ttl=SECONDS`";
    let mut wish = CacheWish::default();
    let Some(list) = text(headers, "x-weir-cache", right)? else {
        return Ok(wish);
    };
    for word in list.split(',').map(str::trim) {
        match (word, word.strip_prefix("ttl=").map(str::parse::<u32>)) {
            ("no-cache", _) => wish.no_cache = true,
            ("no-store", _) => wish.no_store = true,
            ("only-if-cached", _) => wish.only_if_cached = true,
            (_, Some(Ok(seconds))) => wish.ttl = Some(Duration::from_secs(u64::from(seconds))),
            _ => return Err(Refusal::bad_header("x-weir-cache", right).into()),
        }
    }
    Ok(wish)
}

fn max_cost(headers: &HeaderMap) -> Result<Option<Nanos>, Box<Refusal>> {
    let (name, right) = ("x-weir-max-cost-usd", "USD above 0 with at most 9 decimals, like 0.05");
    let Some(text) = text(headers, name, right)? else {
        return Ok(None);
    };
    match Nanos::parse(text) {
        Ok(cost) if cost > Nanos::ZERO => Ok(Some(cost)),
        _ => Err(Refusal::bad_header(name, right).into()),
    }
}

fn task(headers: &HeaderMap) -> Result<Option<String>, Box<Refusal>> {
    let (name, right) = ("x-weir-task", Classifier::TASK_NAME_FORM);
    match text(headers, name, right)? {
        None => Ok(None),
        Some(task) if Classifier::is_task_name(task) => Ok(Some(task.to_owned())),
        Some(_) => Err(Refusal::bad_header(name, right).into()),
    }
}

fn truth(headers: &HeaderMap, name: &'static str) -> Result<bool, Box<Refusal>> {
    let right = "`true` or `false`";
    match text(headers, name, right)? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::bad_header(name, right).into()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Box<Refusal>> {
    let (name, right) = (IDEMPOTENCY_KEY, "1 to 255 visible ASCII characters");
    match text(headers, name, right)? {
        None => Ok(None),
        Some(key) if key.len() <= MAX_IDEMPOTENCY_KEY && key.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Some(key.into()))
        }
        Some(_) => Err(Refusal::bad_header(name, right).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> Result<Wishes, String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        read(&headers).map_err(|refusal| refusal.param.unwrap())
    }

    #[test]
    fn reads_every_wish() {
        assert_eq!(with("x-weir-models", "a, b").unwrap().models, ["a", "b"]);
        assert_eq!(with("x-weir-timeout-ms", "1500").unwrap().timeout, Some(Duration::from_millis(1500)));
        assert!(with("x-weir-fallback", "off").unwrap().no_fallback);
        assert_eq!(with("x-weir-max-cost-usd", "0.05").unwrap().max_cost, Some(Nanos(50_000_000)));
        assert!(with("x-weir-stream-summary", "true").unwrap().stream_summary);
        assert!(!with("x-weir-stream-summary", "false").unwrap().stream_summary);
        assert!(with("x-weir-savings", "true").unwrap().savings);
        assert_eq!(with("x-weir-tier", "critical").unwrap().tier.as_deref(), Some("critical"));
        assert_eq!(with("x-weir-task", "legal.advice-2").unwrap().task.as_deref(), Some("legal.advice-2"));
        assert_eq!(with("idempotency-key", "a-1/~").unwrap().idempotency_key.as_deref(), Some("a-1/~"));
        let cache = with("x-weir-cache", "no-cache, ttl=60").unwrap().cache;
        assert!(cache.no_cache && !cache.no_store && cache.ttl == Some(Duration::from_secs(60)));
    }

    #[test]
    fn names_the_header_at_fault() {
        for (name, value) in [
            ("x-weir-models", "a,,b"),
            ("x-weir-models", ""),
            ("x-weir-timeout-ms", "0"),
            ("x-weir-timeout-ms", "-3"),
            ("x-weir-timeout-ms", "99999999999999999999"),
            ("x-weir-attempt-timeout-ms", "soon"),
            ("x-weir-fallback", "no"),
            ("x-weir-cache", "ttl=x"),
            ("x-weir-cache", "maybe"),
            ("x-weir-route", " "),
            ("x-weir-max-cost-usd", "0"),
            ("x-weir-max-cost-usd", "-1"),
            ("x-weir-max-cost-usd", "1e3"),
            ("x-weir-max-cost-usd", "0.0000000001"),
            ("x-weir-max-cost-usd", "99999999999"),
            ("x-weir-stream-summary", "yes"),
            ("x-weir-stream-summary", "TRUE"),
            ("x-weir-savings", "1"),
            ("x-weir-tier", " "),
            ("x-weir-task", "legal advice"),
            ("x-weir-task", &"x".repeat(65)),
            ("idempotency-key", ""),
            ("idempotency-key", "a b"),
            ("idempotency-key", &"x".repeat(256)),
        ] {
            assert_eq!(with(name, value).unwrap_err(), name, "{value}");
        }
    }
}
