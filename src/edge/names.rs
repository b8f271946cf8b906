//! The names of the headers that answers bear, made at compile time: making one reads it letter by letter.

use axum::http::HeaderName;

macro_rules! names {
    ($($constant:ident $text:literal),+ $(,)?) => {
        $(#[doc = concat!("`", $text, "`.")] pub const $constant: HeaderName = HeaderName::from_static($text);)+
    };
}

names! {
    ACCEL_BUFFERING "x-accel-buffering",
    ATTEMPTS "x-weir-attempts",
    CACHE "x-weir-cache",
    COMPLEXITY "x-weir-complexity",
    COST "x-weir-cost-usd",
    DAILY_REMAINING "x-weir-budget-daily-remaining-usd",
    DEGRADED "x-weir-degraded",
    DROPPED "x-weir-dropped",
    ESCALATED "x-weir-escalated",
    FALLBACKS "x-weir-fallbacks",
    LIMIT_REQUESTS "x-ratelimit-limit-requests",
    LIMIT_TOKENS "x-ratelimit-limit-tokens",
    MAX_OUTPUT "x-weir-max-output",
    MODEL "x-weir-model",
    MONTHLY_REMAINING "x-weir-budget-monthly-remaining-usd",
    OVERHEAD "x-weir-overhead-ms",
    PROVIDER "x-weir-provider",
    REMAINING_REQUESTS "x-ratelimit-remaining-requests",
    REMAINING_TOKENS "x-ratelimit-remaining-tokens",
    REPLAYED "x-weir-replayed",
    REQUEST_ID "x-request-id",
    RESET_REQUESTS "x-ratelimit-reset-requests",
    RESET_TOKENS "x-ratelimit-reset-tokens",
    ROUTE "x-weir-route",
    SAVED "x-weir-saved-usd",
    SKIPPED "x-weir-skipped",
    TASK "x-weir-task",
    TIER "x-weir-tier",
}
