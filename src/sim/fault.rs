//! The faults that a simulated answer can have.

use std::{fmt, time::Duration};

use crate::config::Span;

/// What goes wrong with an answer, and for how many of them.
///
/// Written as terms with commas (or `&`) between: at most one *ending*, and any of the others.
///
/// | ending | the answer |
/// |---|---|
/// | `status=N` | is an error, N from 300 to 599; with `retry-after=S`, `retry-after-date=S` (S seconds ahead) and `retry-after-ms=MS` |
/// | `hang`, `hang-after=K` | never comes; or stalls after K content chunks |
/// | `reset`, `reset-after=K` | is a broken connection before a head, or after K content chunks |
/// | `end-after=K` | ends cleanly after K content chunks, without a finish or `[DONE]` |
/// | `error-after=K` | has an error event after K content chunks, under 200 |
/// | `garbage`, `truncated` | is not in the protocol's format; or stops half-way |
/// | `unknown-model`, `context-length`, `bad-key`, `insufficient-quota` | is that error, as the protocol's own provider words it |
/// | `empty`, `refusal`, `broken-json` | is well-formed and useless |
/// | `blocked` | is not made: the prompt does not pass the provider's filter |
///
/// | other | meaning |
/// |---|---|
/// | `drip=MS` | each frame comes byte by byte, one each MS milliseconds |
/// | `no-usage`, `zero-usage`, `usage-times=N` | usage is left out, zero, or N times the truth |
/// | `first_token=2s`, `tps=50`, `tokens=400` | another pace, or that many tokens in the answer |
/// | `redacted-thinking` | Anthropic's thinking comes encrypted, asked for or not |
/// | `rate=0.3` | three in ten requests |
/// | `first=N` | only the first N requests (listing models is not counted) |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// How the answer goes wrong, if it does.
    pub ending: Option<Ending>,
    /// A `retry-after` header of an error.
    pub retry_after: Option<RetryAfter>,
    /// A `retry-after-ms` header of an error.
    pub retry_after_ms: Option<u64>,
    /// The time between two bytes of a frame.
    pub drip: Option<Duration>,
    /// What is untrue about the usage.
    pub usage: Option<UsageLie>,
    /// Whether thinking comes encrypted.
    pub redacted: bool,
    /// A pace other than the usual one.
    pub pace: Pace,
    /// The share of requests that show the fault; all where unset.
    pub rate: Option<f64>,
    /// How many requests show it before it is over.
    pub first: Option<u64>,
}

/// How an answer goes wrong; see [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described in the table of `Fault`")]
pub enum Ending {
    Status(u16),
    Hang,
    HangAfter(u32),
    Reset,
    ResetAfter(u32),
    EndAfter(u32),
    ErrorAfter(u32),
    Garbage,
    Truncated,
    UnknownModel,
    ContextLength,
    BadKey,
    InsufficientQuota,
    Empty,
    Refusal,
    BrokenJson,
    Blocked,
}

/// When an error says to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In so many seconds.
    Seconds(u64),
    /// At an HTTP date so many seconds ahead.
    Date(u64),
}

/// What is untrue about the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageLie {
    /// There is none.
    Absent,
    /// Every figure is 0.
    Zero,
    /// Every figure is so many times the truth.
    Times(u32),
}

/// How fast and how long an answer is; what is unset is as elsewhere said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// The time to the first token.
    pub first_token: Option<Duration>,
    /// Tokens a second after it; 0: all at once.
    pub tokens_per_second: Option<f64>,
    /// The tokens in an answer's text.
    pub tokens: Option<u32>,
}

impl Pace {
    /// This pace where it says something, else the `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            first_token: self.first_token.or(other.first_token),
            tokens_per_second: self.tokens_per_second.or(other.tokens_per_second),
            tokens: self.tokens.or(other.tokens),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status={status}"),
            Self::Hang => f.write_str("hang"),
            Self::HangAfter(chunks) => write!(f, "hang-after={chunks}"),
            Self::Reset => f.write_str("reset"),
            Self::ResetAfter(chunks) => write!(f, "reset-after={chunks}"),
            Self::EndAfter(chunks) => write!(f, "end-after={chunks}"),
            Self::ErrorAfter(chunks) => write!(f, "error-after={chunks}"),
            Self::Garbage => f.write_str("garbage"),
            Self::Truncated => f.write_str("truncated"),
            Self::UnknownModel => f.write_str("unknown-model"),
            Self::ContextLength => f.write_str("context-length"),
            Self::BadKey => f.write_str("bad-key"),
            Self::InsufficientQuota => f.write_str("insufficient-quota"),
            Self::Empty => f.write_str("empty"),
            Self::Refusal => f.write_str("refusal"),
            Self::BrokenJson => f.write_str("broken-json"),
            Self::Blocked => f.write_str("blocked"),
        }
    }
}

impl fmt::Display for Fault {
    /// The text that reads back as this fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = [
            self.ending.map(|ending| ending.to_string()),
            self.retry_after.map(|after| match after {
                RetryAfter::Seconds(seconds) => format!("retry-after={seconds}"),
                RetryAfter::Date(seconds) => format!("retry-after-date={seconds}"),
            }),
            self.retry_after_ms.map(|ms| format!("retry-after-ms={ms}")),
            self.drip.map(|drip| format!("drip={}", drip.as_millis())),
            self.usage.map(|lie| match lie {
                UsageLie::Absent => "no-usage".to_owned(),
                UsageLie::Zero => "zero-usage".to_owned(),
                UsageLie::Times(times) => format!("usage-times={times}"),
            }),
            self.redacted.then(|| "redacted-thinking".to_owned()),
            self.pace.first_token.map(|span| format!("first_token={}", Span(span))),
            self.pace.tokens_per_second.map(|tps| format!("tps={tps}")),
            self.pace.tokens.map(|tokens| format!("tokens={tokens}")),
            self.rate.map(|rate| format!("rate={rate}")),
            self.first.map(|first| format!("first={first}")),
        ];
        f.write_str(&terms.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}
