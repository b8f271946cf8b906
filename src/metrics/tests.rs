//! Tests of what the metrics page shows.

use std::collections::BTreeMap;

use super::{
    money::{MoneyMetrics, Standing},
    *,
};
use crate::{
    base::{account::Period, money::Nanos},
    config::QualityCheck,
};

/// Metrics that have counted everything once.
fn all() -> Metrics {
    let metrics = Metrics::new().unwrap();
    let target = metrics.target("a", "p");
    target.attempt(Outcome::Ok, Duration::ZERO);
    let labels =
        RequestLabels { route: "r", model: "a", provider: "p", status: 200, cache: "hit", stream: true };
    metrics.request(&labels, Duration::ZERO, Some(Duration::ZERO));
    metrics.fallback("r", "a", "b", Outcome::Timeout);
    metrics.retry("p", Outcome::Timeout);
    metrics.reload(true);
    metrics.provider("p", true);
    metrics.credential("p", "api_keys[0]").state(0);
    metrics.rate_limited("a", "p", Duration::ZERO);
    metrics.classified("top", "general");
    metrics.rated("rated");
    metrics.escalated("r", QualityCheck::Empty, "kept");
    metrics.graded("a", "graded");
    metrics.alerts().sent("all_down");
    metrics.cache().degraded("r", true);
    let health = metrics.health();
    health.hedge("r", "won");
    health.check("p", "up");
    health.targets_up("r", 1);
    let gauges = health.target("a", "p");
    gauges.transition("open");
    gauges.quality(1.0);
    gauges.show(0, 1.0);
    let (money, one) = (MoneyMetrics::new(&metrics).unwrap(), Nanos(1));
    money.cost("a", "p", one);
    money.unpriced("a", "p");
    money.saved("cache", one);
    money.fallback_cost("r", one);
    money.refused("b", "reject");
    money.overrun("b");
    money.alert("b", Period::Daily);
    let standing = Standing { budget: "b", period: Period::Daily, limit: one, spent: one, held: one };
    money.standings([standing].into_iter());
    metrics
}

/// The metrics of a page by name: type, labels.
fn on_page(page: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let found = types.map(|(name, kind)| {
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with("_bucket{"))
        };
        let series = page.lines().find(of_name);
        let labels = series.and_then(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
        let labels = labels
            .into_iter()
            .flat_map(|labels| labels.split("\","))
            .filter_map(|label| label.split_once('='));
        let mut labels: Vec<String> =
            labels.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect();
        labels.sort_unstable();
        (name.to_owned(), (kind.to_owned(), labels))
    });
    found.collect()
}

/// The same as `docs/metrics.md` has it.
fn on_record() -> BTreeMap<String, (String, Vec<String>)> {
    let table = include_str!("../../docs/metrics.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let found = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let mut labels: Vec<String> =
            cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        labels.sort_unstable();
        (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels))
    });
    found.collect()
}

#[test]
fn the_reference_names_every_metric() {
    let (page, record) = (on_page(&String::from_utf8(all().page()).unwrap()), on_record());
    assert!(record.len() > 50, "{record:?}");
    assert_eq!(page, record);
}

#[test]
fn what_a_reload_took_away_is_forgotten() {
    let metrics = all();
    metrics.forget();
    let page = on_page(&String::from_utf8(metrics.page()).unwrap());
    for name in ["breaker_state", "health_score", "route_targets_up", "credential_state", "provider_enabled"]
    {
        assert!(!page.contains_key(&format!("weir_{name}")), "{name}");
    }
    assert!(page.contains_key("weir_breaker_transitions_total"));
}

#[test]
fn the_page_shows_what_was_counted() {
    let metrics = Metrics::new().unwrap();
    let target = metrics.target("a", "p");
    target.attempt(Outcome::ServerError, Duration::from_millis(3));
    target.usage(None);
    let labels =
        RequestLabels { route: "r", model: "a", provider: "p", status: 200, cache: "bypass", stream: true };
    metrics.request(&labels, Duration::from_secs(1), Some(Duration::from_micros(20)));
    // One that got no answer says nothing of what Weir itself takes.
    metrics.request(&RequestLabels { status: 499, ..labels }, Duration::from_secs(9), None);
    let page = String::from_utf8(metrics.page()).unwrap();
    for line in [
        r#"weir_upstream_attempts_total{model="a",outcome="server_error",provider="p"} 1"#,
        r#"weir_usage_missing_total{model="a"} 1"#,
        r#"weir_requests_total{cache="bypass",model="a",provider="p",route="r",status="200",stream="true"} 1"#,
        "weir_overhead_seconds_count 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[test]
fn a_budget_begins_with_no_refusals() {
    let metrics = Metrics::new().unwrap();
    let money = MoneyMetrics::new(&metrics).unwrap();
    money.budget("b");
    money.refused("b", "reject");
    let page = String::from_utf8(metrics.page()).unwrap();
    for (action, count) in [("reject", 1), ("downgrade", 0), ("skip", 0)] {
        let line = format!("weir_budget_refusals_total{{action=\"{action}\",budget=\"b\"}} {count}\n");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}

#[test]
fn first_tokens_step_by_no_more_than_the_alert_asks_for() {
    assert!(FIRST_TOKEN.windows(2).all(|pair| pair[1] <= 2.0 * pair[0]), "{FIRST_TOKEN:?}");
}

#[test]
fn every_outcome_has_its_own_counter() {
    for (i, outcome) in Outcome::ALL.iter().enumerate() {
        assert_eq!(*outcome as usize, i);
    }
}

#[test]
fn what_was_not_sent_took_no_time() {
    let metrics = Metrics::new().unwrap();
    metrics.target("a", "p").attempt(Outcome::Unsupported, Duration::from_micros(9));
    let page = String::from_utf8(metrics.page()).unwrap();
    for line in [
        r#"weir_upstream_attempts_total{model="a",outcome="unsupported",provider="p"} 1"#,
        r#"weir_upstream_duration_seconds_count{model="a",provider="p"} 0"#,
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[test]
fn names_with_quotes_and_line_ends_cannot_break_the_page() {
    let metrics = Metrics::new().unwrap();
    metrics.fallback("a\"} 1\nevil 2", "x", "y", Outcome::Timeout);
    let page = String::from_utf8(metrics.page()).unwrap();
    assert!(!page.lines().any(|line| line.starts_with("evil")));
}
