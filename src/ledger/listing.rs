//! How keys are listed: what they may do, never their secrets or hashes.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::KeyRow;
use crate::config::{Config, Key};

/// All keys as the admin API lists them: those of the ledger, the newest first, then those of the configuration.
pub fn listing(config: &Config, made: &[KeyRow]) -> Value {
    let mut made: Vec<&KeyRow> = made.iter().collect();
    made.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
    let made = made.into_iter().map(shown);
    let configured = config.keys.iter().map(|key| {
        let rest = json!({ "source": "config", "created": null, "revoked": null, "budget": null });
        merged(key, rest)
    });
    json!({ "data": made.chain(configured).collect::<Vec<_>>(), "next": null })
}

/// One key of the ledger as the admin API shows it.
pub fn shown(row: &KeyRow) -> Value {
    let limits = row.settings.budgets.iter().flat_map(|budget| {
        [
            ("daily", budget.daily),
            ("monthly", budget.monthly),
            ("total", budget.total),
            ("per_request", budget.per_request),
        ]
    });
    let limits: Map<String, Value> =
        limits.filter_map(|(name, limit)| Some((name.into(), limit?.to_string().into()))).collect();
    let rest = json!({
        "source": "ledger",
        "created": time(row.created),
        "revoked": row.revoked.map(time),
        "budget": (!limits.is_empty()).then_some(limits),
    });
    merged(&row.key(), rest)
}

fn merged(key: &Key, rest: Value) -> Value {
    // Field by field: a field that is added to keys must not be shown by oversight.
    let mut shown = json!({
        "name": key.name,
        "routes": key.routes,
        "models": key.models,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "max_concurrent": key.max_concurrent,
        "requests_per_month": key.requests_per_month,
        "tags": key.tags,
    });
    if let (Some(shown), Value::Object(rest)) = (shown.as_object_mut(), rest) {
        shown.extend(rest);
    }
    shown
}

/// A time in milliseconds since 1970, as RFC 3339 has it.
fn time(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    // The latest that can be written, for a clock that is far off.
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = SystemTime::UNIX_EPOCH.checked_add(since).map_or(latest, |time| time.min(latest));
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::KeySettings;

    #[test]
    fn lists_what_keys_may_do_without_their_secrets() {
        let config: Config = serde_json::from_value(json!({
            "keys": [{ "name": "fixed", "secret": "sk-canary", "rpm": 5 }],
        }))
        .unwrap();
        let row = |name: &str, created| KeyRow {
            name: name.into(),
            hash: "sha256:canary".into(),
            settings: KeySettings::default(),
            created,
            revoked: (name == "gone").then_some(created + 1),
        };
        let list = listing(&config, &[row("old", 1000), row("gone", 5_000_000)]);
        let names: Vec<&str> =
            list["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["gone", "old", "fixed"]);
        assert_eq!(list["data"][0]["revoked"], "1970-01-01T01:23:20.001Z");
        assert_eq!(list["data"][2]["source"], "config");
        assert_eq!(list["next"], Value::Null);
        assert!(!list.to_string().contains("canary"), "{list}");
    }

    #[test]
    fn any_time_can_be_written() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            assert!(time(ms).ends_with('Z'));
        }
    }
}
