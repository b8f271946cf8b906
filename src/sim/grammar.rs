//! The grammar of faults: `status=429,retry-after=7`, `reset-after=3,rate=0.2` ...

use std::{str::FromStr, time::Duration};

use super::fault::{Ending, Fault, RetryAfter, UsageLie};
use crate::config::Span;

const KNOWN: &str = "status=N, hang, hang-after=K, reset, reset-after=K, end-after=K, error-after=K, garbage, \
    truncated, unknown-model, context-length, bad-key, insufficient-quota, empty, refusal, broken-json, blocked, \
    retry-after=S, retry-after-date=S, retry-after-ms=MS, drip=MS, no-usage, zero-usage, usage-times=N, \
    redacted-thinking, first_token=SPAN, tps=N, tokens=N, rate=SHARE, first=N";

impl FromStr for Fault {
    type Err = String;

    /// Reads the grammar; an empty text is no fault.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut fault = Self::default();
        if text.trim().is_empty() {
            return Ok(fault);
        }
        for term in text.split([',', '&']).map(str::trim) {
            let (name, value) = match term.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (term, None),
            };
            if let Some(ending) = ending(name, value)? {
                put(&mut fault.ending, ending, "how the answer ends")?;
            } else {
                fault.detail(name, value)?;
            }
        }
        let refuses = matches!(fault.ending, Some(Ending::Status(_) | Ending::InsufficientQuota));
        if (fault.retry_after.is_some() || fault.retry_after_ms.is_some()) && !refuses {
            return Err("`retry-after` needs `status=N` or `insufficient-quota` beside it".to_owned());
        }
        Ok(fault)
    }
}

impl Fault {
    fn detail(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match name {
            "retry-after" => put(&mut self.retry_after, RetryAfter::Seconds(whole(name, value)?), name),
            "retry-after-date" => {
                // Past a year the date would leave what HTTP dates can say.
                let ahead = whole(name, value)?;
                if ahead > 31_536_000 {
                    return Err(format!("`{name}` is seconds ahead, at most a year, not {ahead}"));
                }
                put(&mut self.retry_after, RetryAfter::Date(ahead), name)
            }
            "retry-after-ms" => put(&mut self.retry_after_ms, whole(name, value)?, name),
            "drip" => put(&mut self.drip, Duration::from_millis(whole::<u32>(name, value)?.into()), name),
            "no-usage" => bare(name, value).and_then(|()| put(&mut self.usage, UsageLie::Absent, name)),
            "zero-usage" => bare(name, value).and_then(|()| put(&mut self.usage, UsageLie::Zero, name)),
            "usage-times" => put(&mut self.usage, UsageLie::Times(whole(name, value)?), name),
            "redacted-thinking" => {
                self.redacted = true;
                bare(name, value)
            }
            "first_token" => {
                let span = Span::parse(given(name, value)?).map_err(|error| format!("`{name}`: {error}"))?;
                put(&mut self.pace.first_token, span.0, name)
            }
            "tps" => put(&mut self.pace.tokens_per_second, decimal(name, value, 1e9)?, name),
            "tokens" => put(&mut self.pace.tokens, whole(name, value)?, name)
                .and_then(|()| at_most(name, self.pace.tokens, 1_000_000)),
            "rate" => put(&mut self.rate, decimal(name, value, 1.0)?, name),
            "first" => put(&mut self.first, whole(name, value)?, name),
            _ => Err(format!("`{name}` is not a fault; known are {KNOWN}")),
        }
    }
}

fn ending(name: &str, value: Option<&str>) -> Result<Option<Ending>, String> {
    let plain = match name {
        "status" => {
            let status: u16 = whole(name, value)?;
            if !(300..=599).contains(&status) {
                return Err(format!("`status` is from 300 to 599, not {status}"));
            }
            return Ok(Some(Ending::Status(status)));
        }
        "hang-after" => return Ok(Some(Ending::HangAfter(whole(name, value)?))),
        "reset-after" => return Ok(Some(Ending::ResetAfter(whole(name, value)?))),
        "end-after" => return Ok(Some(Ending::EndAfter(whole(name, value)?))),
        "error-after" => return Ok(Some(Ending::ErrorAfter(whole(name, value)?))),
        "hang" => Ending::Hang,
        "reset" => Ending::Reset,
        "garbage" => Ending::Garbage,
        "truncated" => Ending::Truncated,
        "unknown-model" => Ending::UnknownModel,
        "context-length" => Ending::ContextLength,
        "bad-key" => Ending::BadKey,
        "insufficient-quota" => Ending::InsufficientQuota,
        "empty" => Ending::Empty,
        "refusal" => Ending::Refusal,
        "broken-json" => Ending::BrokenJson,
        "blocked" => Ending::Blocked,
        _ => return Ok(None),
    };
    bare(name, value)?;
    Ok(Some(plain))
}

fn put<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("a fault says {what} only once")),
    }
}

fn given<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| format!("`{name}` needs a value, like `{name}=3`"))
}

fn bare(name: &str, value: Option<&str>) -> Result<(), String> {
    match value {
        None => Ok(()),
        Some(_) => Err(format!("`{name}` takes no value")),
    }
}

fn whole<T: FromStr>(name: &str, value: Option<&str>) -> Result<T, String> {
    let value = given(name, value)?;
    value.parse().map_err(|_| format!("`{name}` needs a whole number in its range, not `{value}`"))
}

fn decimal(name: &str, value: Option<&str>, most: f64) -> Result<f64, String> {
    let value = given(name, value)?;
    let number = value.parse().ok().filter(|number: &f64| (0.0..=most).contains(number));
    number.ok_or_else(|| format!("`{name}` needs a number from 0 to {most}, not `{value}`"))
}

fn at_most(name: &str, value: Option<u32>, most: u32) -> Result<(), String> {
    match value {
        Some(value) if value > most => Err(format!("`{name}` is at most {most}, not {value}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::{super::fault::Pace, *};

    #[test]
    fn reads_what_the_table_says() {
        let fault: Fault = "status=429,retry-after=7,retry-after-ms=1500,rate=0.3,first=2".parse().unwrap();
        assert_eq!(fault.ending, Some(Ending::Status(429)));
        assert_eq!(fault.retry_after, Some(RetryAfter::Seconds(7)));
        assert_eq!((fault.retry_after_ms, fault.rate, fault.first), (Some(1500), Some(0.3), Some(2)));
        let slow: Fault = "first_token=2s & tps=50".parse().unwrap();
        assert_eq!(slow.pace.first_token, Some(Duration::from_secs(2)));
        assert_eq!("  ".parse(), Ok(Fault::default()));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("bogus", "known are status=N"),
            ("status", "needs a value"),
            ("status=200", "300 to 599"),
            ("status=abc", "whole number"),
            ("hang=3", "takes no value"),
            ("hang,reset", "only once"),
            ("rate=1.5", "0 to 1"),
            ("rate=NaN", "0 to 1"),
            ("retry-after=3", "needs `status=N`"),
            ("retry-after-date=99999999999", "a year"),
            ("first_token=soon", "span of time"),
            ("tokens=99999999", "at most"),
            ("hang,", "known are"),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    fn endings() -> impl Strategy<Value = Ending> {
        prop_oneof![
            (300_u16..=599).prop_map(Ending::Status),
            any::<u32>().prop_map(Ending::HangAfter),
            any::<u32>().prop_map(Ending::ResetAfter),
            any::<u32>().prop_map(Ending::EndAfter),
            any::<u32>().prop_map(Ending::ErrorAfter),
            Just(Ending::Hang),
            Just(Ending::Reset),
            Just(Ending::Garbage),
            Just(Ending::Truncated),
            Just(Ending::UnknownModel),
            Just(Ending::ContextLength),
            Just(Ending::BadKey),
            Just(Ending::InsufficientQuota),
            Just(Ending::Empty),
            Just(Ending::Refusal),
            Just(Ending::BrokenJson),
            Just(Ending::Blocked),
        ]
    }

    prop_compose! {
        fn faults()(
            ending in option::of(endings()), after in option::of((any::<bool>(), 0_u64..1_000_000)),
            after_ms in option::of(any::<u64>()), drip in option::of(0_u64..1_000_000),
            lie in option::of(prop_oneof![Just(UsageLie::Absent), Just(UsageLie::Zero), any::<u32>().prop_map(UsageLie::Times)]),
            first_ms in option::of(0_u64..10_000_000), tps in option::of(0.0..1e6_f64), tokens in option::of(0_u32..=1_000_000),
            rate in option::of(0.0..=1.0_f64), first in option::of(any::<u64>()), redacted in any::<bool>(),
        ) -> Fault {
            let refuses = matches!(ending, Some(Ending::Status(_) | Ending::InsufficientQuota));
            Fault {
                ending,
                retry_after: after.filter(|_| refuses).map(|(date, secs)| if date { RetryAfter::Date(secs) } else { RetryAfter::Seconds(secs) }),
                retry_after_ms: after_ms.filter(|_| refuses),
                drip: drip.map(Duration::from_millis),
                usage: lie,
                redacted,
                pace: Pace { first_token: first_ms.map(Duration::from_millis), tokens_per_second: tps, tokens },
                rate,
                first,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(fault in faults()) {
            prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
            }
        }

        #[test]
        fn near_misses_are_read_or_refused(text in "((status|hang|reset-after|rate|first|tps|drip|no-usage)=?[0-9.e-]{0,4}[,&]?){0,4}") {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
            }
        }
    }
}
