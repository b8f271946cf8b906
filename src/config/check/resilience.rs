//! The numbers of breakers, retries, hedges, alerts.

use std::time::Duration;

use super::{
    super::{Breaker, Config, Retry, Span, path::KeyPath},
    Report,
};

/// Nothing about a target's health lasts longer than this.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// More parts of a window than this are no use.
const MOST_BUCKETS: usize = 100;

/// So many samples are kept of a target's times.
const MOST_SAMPLES: usize = 256;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    check_breaker(&config.breaker, &mut Table { path: KeyPath::of(&["breaker"]), report });
    check_retry(&config.retry, &mut Table { path: KeyPath::of(&["retry"]), report });
    let alerts = &mut Table { path: KeyPath::of(&["alerts"]), report };
    alerts.span("min_interval", config.alerts.min_interval, false);
}

fn check_breaker(breaker: &Breaker, table: &mut Table<'_, '_>) {
    table.span("window", breaker.window, true);
    table.count("buckets", breaker.buckets, MOST_BUCKETS);
    for (key, count) in [
        ("failures_in_a_row", breaker.failures_in_a_row),
        ("failures_in_a_row_when_busy", breaker.failures_in_a_row_when_busy),
        ("min_calls", breaker.min_calls),
        ("sure_calls", breaker.sure_calls),
        ("probe_successes", breaker.probe_successes),
    ] {
        table.count(key, count as usize, u32::MAX as usize);
    }
    for (key, share) in [
        ("min_success", breaker.min_success),
        ("sure_success", breaker.sure_success),
        ("open_jitter", breaker.open_jitter),
        ("limit_jitter", breaker.limit_jitter),
        ("degraded_below", breaker.degraded_below),
        ("low_quota", breaker.low_quota),
    ] {
        table.share(key, share);
    }
    if !(breaker.slow_start_from > 0.0 && breaker.slow_start_from <= 1.0) {
        table.fault("slow_start_from", breaker.slow_start_from, "Write a share above 0, up to 1, like 0.1.");
    }
    table.at_least("busy_above", breaker.busy_above, 0.0);
    table.at_least("slow_factor", breaker.slow_factor, 1.0);
    table.at_least("max_slow", breaker.max_slow, f64::MIN_POSITIVE);
    table.at_least("score_prior", breaker.score_prior, f64::MIN_POSITIVE);
    for (key, span) in [
        ("slow_floor", breaker.slow_floor),
        ("forgive_after", breaker.forgive_after),
        ("last_resort_every", breaker.last_resort_every),
        ("slow_start", breaker.slow_start),
        ("limit_min", breaker.limit_min),
        ("model_rest", breaker.model_rest),
        ("unreachable_after", breaker.unreachable_after),
        ("latency_decay", breaker.latency_decay),
    ] {
        table.span(key, span, false);
    }
    table.span("probe_lease", breaker.probe_lease, true);
    table.span("open_min", breaker.open_min, true);
    table.span("unnamed_limit_min", breaker.unnamed_limit_min, true);
    for (least, key, span) in [
        (breaker.open_min, "open_max", breaker.open_max),
        (breaker.limit_min, "limit_max", breaker.limit_max),
        (breaker.unnamed_limit_min, "unnamed_limit_max", breaker.unnamed_limit_max),
    ] {
        table.most(key, span, least);
    }
}

fn check_retry(retry: &Retry, table: &mut Table<'_, '_>) {
    table.count("max_attempts", retry.max_attempts as usize, u32::MAX as usize);
    table.span("backoff_min", retry.backoff_min, false);
    table.most("backoff_max", retry.backoff_max, retry.backoff_min);
    table.share("budget_share", retry.budget_share);
    table.at_least("budget_per_second", retry.budget_per_second, 0.0);
    table.share("hedge_share", retry.hedge_share);
    table.share("hedge_max_failures", retry.hedge_max_failures);
    for (key, burst) in [("budget_burst", retry.budget_burst), ("hedge_burst", retry.hedge_burst)] {
        table.at_least(key, burst, 0.0);
        if burst > 0.0 && burst < 1.0 {
            table.fault(key, burst, "Less than one is never a whole try: write 1 or more, or 0 for none.");
        }
    }
    table.count("hedge_min_samples", retry.hedge_min_samples, MOST_SAMPLES);
    table.span("hedge_floor", retry.hedge_floor, true);
    table.span("hedge_rest", retry.hedge_rest, false);
}

/// A table whose numbers are checked.
struct Table<'a, 'b> {
    path: KeyPath,
    report: &'a mut Report<'b>,
}

impl Table<'_, '_> {
    fn fault(&mut self, key: &str, number: impl std::fmt::Display, remedy: &str) {
        self.report.fault(&self.path.key(key), format!("{number} does not fit here"), remedy);
    }

    /// A share, 0 to 1.
    fn share(&mut self, key: &str, share: f64) {
        if !(0.0..=1.0).contains(&share) {
            self.fault(key, share, "Write a share from 0 to 1, like 0.5.");
        }
    }

    /// A number that is neither below `least` nor endless.
    fn at_least(&mut self, key: &str, number: f64, least: f64) {
        if !(number.is_finite() && number >= least) {
            let remedy = match least {
                0.0 => "Write 0 or more.",
                1.0 => "Write 1 or more.",
                _ => "Write a number above 0.",
            };
            self.fault(key, number, remedy);
        }
    }

    /// A whole number from 1 on.
    fn count(&mut self, key: &str, count: usize, most: usize) {
        if count == 0 {
            self.fault(key, count, "Write 1 or more.");
        } else if count > most {
            self.fault(key, count, &format!("Write {most} or less."));
        }
    }

    /// A span of a day at most.
    fn span(&mut self, key: &str, span: Span, above_zero: bool) {
        if span.0 > LONGEST {
            self.fault(key, span, "Write `24h` or less.");
        } else if above_zero && span.0.is_zero() {
            self.fault(key, span, "Write a span of time above 0.");
        }
    }

    /// A span that is the most of something.
    fn most(&mut self, key: &str, span: Span, least: Span) {
        self.span(key, span, false);
        if span < least {
            self.fault(key, span, &format!("The least is {least}: write that or more."));
        }
    }
}
