//! Where the ledger is kept, for how long.

use std::time::Duration;

use super::{
    super::{Config, ledger, path::KeyPath, wording::quoted},
    Report,
};

/// How long an answer may be kept to be given again.
const LONGEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often it may be written down how targets did.
const MOST_OFTEN: Duration = Duration::from_secs(1);

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    check_url(&KeyPath::of(&["ledger", "url"]), &config.ledger.url, report);
    if config.ledger.idempotency_ttl.0 > LONGEST_KEPT {
        let path = KeyPath::of(&["ledger", "idempotency_ttl"]);
        report.fault(&path, "answers are kept for a day at most", "Write `24h` or less.");
    }
    if config.ledger.idempotency_ttl.0.is_zero() {
        let path = KeyPath::of(&["ledger", "idempotency_ttl"]);
        let remedy = "Write how long answers are kept, like `24h`, or switch `ledger.idempotency` off.";
        report.fault(&path, "an answer that is kept for no time can never be given again", remedy);
    }
    let health_every = config.ledger.health_every.0;
    if !health_every.is_zero() && health_every < MOST_OFTEN {
        let path = KeyPath::of(&["ledger", "health_every"]);
        report.fault(&path, "each time is a write to the disk", "Write `1s` or more, or `0s` for never.");
    }
    if config.ledger.max_queue == 0 {
        let path = KeyPath::of(&["ledger", "max_queue"]);
        report.fault(&path, "no row could ever be written", "Write 1 or more; the default is 65536.");
    }
}

fn check_url(path: &KeyPath, url: &str, report: &mut Report<'_>) {
    let remedy = "Write `sqlite:PATH`, or `sqlite::memory:` for a ledger that ends with the process.";
    if ["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme)) {
        // Not repeated: it may hold a password.
        report.fault(path, "a ledger in Postgres comes later", remedy);
        return;
    }
    match ledger::Place::parse(url) {
        None if url.contains('@') => report.fault(path, "this is not where a ledger can be", remedy),
        None => report.fault(path, format!("{} is not where a ledger can be", quoted(url)), remedy),
        Some(_) => {}
    }
}
