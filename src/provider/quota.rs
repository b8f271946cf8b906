//! What an answer says is left of its provider's own rate limits.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

use crate::base::calendar;

/// How long an answer's word on what is left counts where it does not say when the limit is full again.
const USUAL: Duration = Duration::from_secs(60);
/// How long a limit counts as used up where the answer does not say when it is full again.
const UNSAID: Duration = Duration::from_secs(1);

/// The headers of one limit.
struct Names {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

macro_rules! names {
    ($($before:literal $after:literal),* $(,)?) => {
        [$(Names {
            limit: concat!($before, "limit", $after),
            remaining: concat!($before, "remaining", $after),
            reset: concat!($before, "reset", $after),
        }),*]
    };
}

/// OpenAI, Azure, Groq, xAI; Mistral; Cerebras; Together, OpenRouter; Hugging Face.
const USUAL_NAMES: [Names; 8] = names![
    "x-ratelimit-" "-requests",
    "x-ratelimit-" "-tokens",
    "x-ratelimit-" "-req-minute",
    "x-ratelimit-" "-tokens-minute",
    "x-ratelimit-" "-requests-day",
    "x-ratelimit-" "-minute",
    "x-ratelimit-" "",
    "ratelimit-" "",
];

/// Anthropic.
const ANTHROPIC_NAMES: [Names; 4] = names![
    "anthropic-ratelimit-requests-" "",
    "anthropic-ratelimit-tokens-" "",
    "anthropic-ratelimit-input-tokens-" "",
    "anthropic-ratelimit-output-tokens-" "",
];

/// What is left of a credential's limits for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quota {
    /// The limit with the smallest share left.
    pub left: Option<Left>,
    /// How long nothing is left of one of them.
    pub spent_for: Option<Duration>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// As a share of the limit, 0 to 1.
    pub share: f64,
    /// When it is full again; a minute where the provider does not say it.
    pub resets_in: Duration,
}

/// Whether an answer may tell anything of limits.
pub fn is_told(headers: &HeaderMap) -> bool {
    let names = ["x-ratelimit-", "ratelimit-", "anthropic-ratelimit-"];
    let one = |name: &HeaderName| names.iter().any(|before| name.as_str().starts_with(before));
    headers.keys().any(one)
}

/// Reads the headers of an answer, whatever its status. `now` is what moments are counted from where the answer has
/// no `date`.
pub fn read(headers: &HeaderMap, now: SystemTime) -> Quota {
    let mut quota = Quota::default();
    // Where none is there, none of the many names is looked for.
    if !is_told(headers) {
        return quota;
    }
    for names in USUAL_NAMES.iter().chain(&ANTHROPIC_NAMES) {
        // Azure says -1 where it does not know.
        let Some(remaining) = number(headers, names.remaining) else { continue };
        let limit = number(headers, names.limit);
        if limit == Some(0.0) {
            // No limit at all rather than one that lets nothing through.
            continue;
        }
        let reset = text(headers, names.reset).and_then(|text| reset_after(text, served_at(headers, now)));
        if remaining == 0.0 && reset != Some(Duration::ZERO) {
            quota.spent_for = quota.spent_for.max(Some(reset.unwrap_or(UNSAID)));
        }
        let Some(limit) = limit else { continue };
        let left = Left { share: (remaining / limit).min(1.0), resets_in: reset.unwrap_or(USUAL) };
        if quota.left.is_none_or(|least| left.share < least.share) {
            quota.left = Some(left);
        }
    }
    quota
}

/// When the answer was sent, by the clock that its dates are from.
pub(super) fn served_at(headers: &HeaderMap, now: SystemTime) -> SystemTime {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now)
}

/// How long until a reset: a duration as Go writes it, seconds, a moment in RFC 3339, in seconds or milliseconds
/// since 1970. A moment that is over gives zero.
pub(super) fn reset_after(text: &str, now: SystemTime) -> Option<Duration> {
    /// Numbers from here on are moments: as seconds ahead they would be 30 years.
    const MOMENT: f64 = 1e9;
    /// Moments from here on are in milliseconds: as seconds they would be in the year 5138.
    const MOMENT_MS: f64 = 1e11;
    let since = |seconds: f64| {
        let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        Some(moment.duration_since(now).unwrap_or_default())
    };
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            MOMENT_MS.. => since(number / 1000.0),
            MOMENT.. => since(number),
            0.0.. => Duration::try_from_secs_f64(number).ok(),
            _ => None,
        };
    }
    go_duration(text).or_else(|| since(calendar::moment_ms(text)? as f64 / 1000.0))
}

/// A duration as Go writes it: `20m52.666s`, `9ms`, `1h0m0s`, `0s`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[letters..];
        total += number * unit;
    }
    Duration::try_from_secs_f64(total).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// A number from 0 on.
fn number(headers: &HeaderMap, name: &'static str) -> Option<f64> {
    text(headers, name)?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn quota(headers: &[(&'static str, &str)]) -> Quota {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let now = httpdate::parse_http_date("Wed, 19 Aug 2026 14:38:35 GMT").unwrap();
        read(&headers.iter().map(pair).collect(), now)
    }

    /// Share, seconds to its reset, seconds for which a limit is used up.
    fn told(headers: &[(&'static str, &str)]) -> (Option<(f64, f64)>, Option<f64>) {
        let quota = quota(headers);
        let left = quota.left.map(|left| (left.share, left.resets_in.as_secs_f64()));
        (left, quota.spent_for.map(|span| span.as_secs_f64()))
    }

    #[test]
    fn reads_what_providers_send() {
        let cases: [(&[(&str, &str)], _); 11] = [
            (&[], (None, None)),
            (
                &[
                    ("x-ratelimit-limit-requests", "10000"),
                    ("x-ratelimit-remaining-requests", "9000"),
                    ("x-ratelimit-reset-requests", "8.64s"),
                    ("x-ratelimit-limit-tokens", "200000"),
                    ("x-ratelimit-remaining-tokens", "20000"),
                    ("x-ratelimit-reset-tokens", "1m16ms"),
                ],
                (Some((0.1, 60.016)), None),
            ),
            // Azure resets in plain seconds; a sanitized recording says nothing.
            (
                &[
                    ("x-ratelimit-limit-tokens", "100"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "7"),
                ],
                (Some((0.0, 7.0)), Some(7.0)),
            ),
            (&[("x-ratelimit-remaining-tokens", "X-RATELIMIT-XXX")], (None, None)),
            (&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-limit-requests", "5")], (None, None)),
            // Mistral does not say when.
            (
                &[("x-ratelimit-limit-req-minute", "4"), ("x-ratelimit-remaining-req-minute", "0")],
                (Some((0.0, 60.0)), Some(1.0)),
            ),
            // Together.
            (
                &[("x-ratelimit-limit", "2"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")],
                (Some((0.0, 1.0)), Some(1.0)),
            ),
            // Anthropic, by the clock of its own `date`.
            (
                &[
                    ("date", "Tue, 10 Mar 2026 22:26:50 GMT"),
                    ("anthropic-ratelimit-requests-limit", "10"),
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    ("anthropic-ratelimit-requests-reset", "2026-03-10T22:26:57Z"),
                    ("anthropic-ratelimit-output-tokens-limit", "10"),
                    ("anthropic-ratelimit-output-tokens-remaining", "0"),
                    ("anthropic-ratelimit-output-tokens-reset", "2026-03-10T22:26:40Z"),
                ],
                (Some((0.0, 7.0)), Some(7.0)),
            ),
            // OpenRouter, in milliseconds since 1970; without a limit there is no share.
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1787150317500")], (None, Some(2.5))),
            // No limit at all.
            (&[("ratelimit-limit", "0"), ("ratelimit-remaining", "0")], (None, None)),
            // Full again already.
            (
                &[
                    ("x-ratelimit-limit-requests", "5"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "0s"),
                ],
                (Some((0.0, 0.0)), None),
            ),
        ];
        for (headers, expected) in cases {
            assert_eq!(told(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn reads_go_durations() {
        let millis = |text| go_duration(text).map(|delay| delay.as_millis());
        assert_eq!(millis("1h2m3.5s"), Some(3_723_500));
        assert_eq!(millis("0s"), Some(0));
        assert_eq!(millis("1500us"), Some(1));
        for bad in ["", "5", "s", "5x", "1.2.3s", "-1s", "1m 2s", "é"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    #[test]
    fn recorded_answers_leave_no_known_limit_unread() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/dev");
        let mut read = 0;
        for case in ["anthropic", "openai", "mistral", "together", "xai", "huggingface"] {
            // The recordings are not part of the project.
            for entry in fs::read_dir(dir.join(case)).into_iter().flatten() {
                let text = fs::read_to_string(entry.unwrap().path()).unwrap();
                let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
                let Some(headers) = recorded["response"]["headers"].as_object() else { continue };
                let pairs: HeaderMap = headers
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
                    })
                    .collect();
                // Some recordings have placeholders in the place of numbers.
                let number =
                    |text: &serde_json::Value| text.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
                let says =
                    headers.iter().any(|(name, text)| name.contains("ratelimit-remaining") && number(text));
                let quota = super::read(&pairs, SystemTime::UNIX_EPOCH);
                assert!(!says || quota.left.is_some(), "{headers:?}");
                read += usize::from(quota.left.is_some());
            }
        }
        assert!(read > 20 || !dir.exists(), "{read}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,24}", number in any::<f64>()) {
            for text in [text, number.to_string(), format!("{number}s")] {
                let _ = reset_after(&text, SystemTime::UNIX_EPOCH);
                if let Ok(value) = HeaderValue::from_str(&text) {
                    let mut headers = HeaderMap::new();
                    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
                        headers.insert(name, value.clone());
                    }
                    let quota = super::read(&headers, SystemTime::UNIX_EPOCH);
                    prop_assert!(quota.left.is_none_or(|left| (0.0..=1.0).contains(&left.share)));
                }
            }
        }
    }
}
