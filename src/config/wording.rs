//! How values, lists of names, near misses are worded in a fault.

use std::collections::BTreeMap;

use serde_json::Value;

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be suggested for the other. Lower values
/// begin to suggest words that share only a beginning.
const ALIKE: f64 = 0.84;

/// The longest text that a fault repeats.
const LONGEST_SHOWN: usize = 60;

/// Beginnings by which well-known services mark their secrets.
const SECRET_MARKS: [&str; 11] =
    ["sk-", "sk_", "sk.", "pk-", "rk_", "xai-", "gsk_", "AIza", "eyJ", "Bearer ", "-----BEGIN"];

/// The known name nearest to `name`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase();
            let score = strsim::jaro_winkler(&folded, &other);
            // Contained names, like `timeout` in `answer_timeout`, are often meant without being alike.
            let long = folded.len() >= 4 && other.len() >= 4;
            let contained = long && (other.contains(&folded) || folded.contains(&other));
            (if contained { score.max(ALIKE) } else { score }, candidate)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// ``Did you mean `x`?``, else what is known; `what` is the plural of what the names name.
pub(crate) fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("Did you mean {}?", quoted(near));
    }
    let mut names: Vec<&str> = known.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(24);
    names.truncate(24);
    match (names.as_slice(), more) {
        ([], _) => format!("There are no {what}."),
        (names, 0) => format!("The {what} are: {}.", listed(names)),
        (names, more) => format!("The {what} are: {} (and {more} more).", listed(names)),
    }
}

/// Names in backquotes, with commas.
pub(crate) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A name in backquotes, its line ends escaped, its length bounded, redacted where it looks like a secret.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", safe(name))
}

fn safe(text: &str) -> String {
    if looks_secret(text) {
        return "[redacted]".to_owned();
    }
    let mut shown: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a text looks like a secret that was put in the wrong place: it begins like one, or it
/// has a long unbroken run of letters mixed with digits.
pub(crate) fn looks_secret(text: &str) -> bool {
    let text = text.trim();
    if SECRET_MARKS.iter().any(|mark| text.starts_with(mark)) {
        return true;
    }
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= 24
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

/// A value with its type, like ``the text `fast` `` or `a table`; tables and arrays are never shown whole.
pub(crate) fn shown(value: &Value, secret: bool) -> String {
    match value {
        Value::String(_) if secret => "the text [redacted]".to_owned(),
        Value::Number(_) if secret => "the number [redacted]".to_owned(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(truth) => format!("{truth}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Null => "nothing".to_owned(),
    }
}

/// The names of a map, for [`suggestion`].
pub(crate) fn names<T>(map: &BTreeMap<String, T>) -> impl Iterator<Item = &str> + Clone {
    map.keys().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let known = ["listen", "admin_listen", "max_body", "answer_timeout"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("max-body", known), Some("max_body"));
        assert_eq!(nearest("MAX_BODY", known), Some("max_body"));
        assert_eq!(nearest("timeout", known), Some("answer_timeout"));
        assert_eq!(nearest("zebra", known), None);
    }

    #[test]
    fn without_a_near_name_all_are_listed() {
        assert_eq!(suggestion("zebra", ["b", "a"], "routes"), "The routes are: `a`, `b`.");
        assert_eq!(suggestion("zebra", [], "routes"), "There are no routes.");
    }

    #[test]
    fn what_looks_like_a_secret_is_redacted() {
        assert_eq!(shown(&json!("sk-canary"), false), "the text `[redacted]`");
        let hex = "a1".repeat(32);
        assert_eq!(quoted(&hex), "`[redacted]`");
        assert_eq!(shown(&json!("plain"), true), "the text [redacted]");
        assert_eq!(quoted("claude-sonnet-4-5"), "`claude-sonnet-4-5`");
        assert_eq!(quoted("a\nb"), "`a\\nb`");
    }
}
