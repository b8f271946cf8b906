//! The numbers of the cache; who shares what it keeps.

use std::time::Duration;

use super::{
    super::{CacheScope, Config, Size, Span, path::KeyPath, wording::quoted},
    Report,
};

/// No answer is worth keeping for longer.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Less than this keeps nothing worth the name.
const SMALLEST: Size = Size::mib(1);

/// A kept answer is in memory in one piece.
const LARGEST_ANSWER: Size = Size::mib(64);

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let cache = &config.cache;
    let path = |key: &str| KeyPath::of(&["cache", key]);
    if cache.ttl.0.is_zero() {
        let remedy = "Write how long answers are kept, like `1h`, or switch `cache.enabled` off.";
        report.fault(&path("ttl"), "an answer that is kept for no time can never be given again", remedy);
    }
    for (key, span) in [("ttl", cache.ttl), ("stale_if_error", cache.stale_if_error)] {
        if span.0 > LONGEST {
            let remedy = format!("Write `{}` or less.", Span(LONGEST));
            report.fault(&path(key), "answers are not kept for that long", remedy);
        }
    }
    if cache.max_bytes < SMALLEST {
        report.fault(&path("max_bytes"), "this is too little to keep answers", "Write `1MiB` or more.");
    }
    // With what surrounds it, it has to find room.
    if cache.max_answer.bytes() > cache.max_bytes.bytes() / 3 * 2 || cache.max_answer > LARGEST_ANSWER {
        let problem =
            "one answer may not take more than two thirds of `cache.max_bytes`, nor more than 64MiB";
        report.fault(&path("max_answer"), problem, "Write a smaller size, like `512KiB`.");
    }
    match CacheScope::parse(&cache.scope) {
        None => {
            let problem = format!("{} is nobody who could share answers", quoted(&cache.scope));
            report.fault(&path("scope"), problem, "Write `key`, `tag:NAME` or `global`.");
        }
        Some(CacheScope::Tag(name)) if config.auth.client_tags.contains(&name) => {
            let problem = format!("clients set the tag {} themselves (auth.client_tags)", quoted(&name));
            report.fault(&path("scope"), problem, "Name a tag that only keys have.");
        }
        Some(_) => {}
    }
}
