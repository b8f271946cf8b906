//! The list of keys as a table for people.

use serde_json::Value;

const HEADS: [&str; 8] = ["NAME", "FROM", "MADE", "REVOKED", "MAY ASK FOR", "LIMITS", "BUDGET (USD)", "TAGS"];

/// The table of a list that the admin API answered.
pub fn of(list: &Value) -> String {
    let keys = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return "There are no keys. Make one with `weir keys new NAME`.\n".into();
    }
    let rows: Vec<[String; 8]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(keys.iter().map(row)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(key: &Value) -> [String; 8] {
    let limits = [
        ("rpm", "a minute"),
        ("tpm", "tokens a minute"),
        ("max_concurrent", "at once"),
        ("requests_per_month", "a month"),
    ];
    let limits = limits.iter().filter_map(|(field, unit)| {
        key[field].as_u64().filter(|limit| *limit > 0).map(|limit| format!("{limit} {unit}"))
    });
    [
        text(&key["name"]),
        text(&key["source"]),
        day(&key["created"]),
        day(&key["revoked"]),
        grants(key),
        joined(limits),
        pairs(&key["budget"], " "),
        pairs(&key["tags"], "="),
    ]
}

fn grants(key: &Value) -> String {
    joined(["routes", "models"].iter().filter_map(|field| {
        let names: Vec<String> = key[field].as_array()?.iter().map(text).collect();
        Some(if names.is_empty() { format!("no {field}") } else { format!("{field} {}", names.join(" ")) })
    }))
}

fn pairs(object: &Value, between: &str) -> String {
    joined(
        object
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}{between}{}", text(value))),
    )
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let text = words.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".into() } else { text }
}

/// The day of a time.
fn day(time: &Value) -> String {
    time.as_str().and_then(|time| time.split('T').next()).unwrap_or("-").to_owned()
}

/// A text without what could move the cursor of a terminal; it may come from a server.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let list = json!({ "data": [
            { "name": "bot", "source": "ledger", "created": "2026-11-21T01:02:03.000Z", "revoked": null,
              "routes": ["a", "b"], "models": [], "rpm": 5, "tpm": 0, "max_concurrent": 2, "requests_per_month": 0,
              "tags": { "team": "x" }, "budget": { "daily": "1.5" } },
            { "name": "longer\u{1b}", "source": "config" },
        ]});
        assert_eq!(
            of(&list),
            "NAME    FROM    MADE        REVOKED  MAY ASK FOR            LIMITS                 BUDGET (USD)  TAGS\n\
             bot     ledger  2026-11-21  -        routes a b, no models  5 a minute, 2 at once  daily 1.5     team=x\n\
             longer  config  -           -        -                      -                      -             -\n"
        );
        assert!(of(&json!({ "data": [] })).contains("weir keys new"));
    }
}
