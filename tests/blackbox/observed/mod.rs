//! What operators see: the metrics page, a real Prometheus over it, alert rules, the dashboard.

mod names;
mod prometheus;
mod traffic;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::support::{settings::HEALTHY, weir::Weir};

use names::{listed, on_page};
use prometheus::Prometheus;
use traffic::Traffic;

/// A file of `config/`.
fn shipped(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap()
}

/// Every query of the dashboard with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/weir.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let all = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        targets.map(move |target| (text(&panel["title"]), text(&target["expr"])))
    });
    all.collect()
}

/// A query of the dashboard as Grafana would send it for a short time.
fn filled_in(query: &str) -> String {
    query.replace("$__rate_interval", "20s").replace("$__range", "30s")
}

#[test]
fn rules_and_configuration_are_sound() {
    for (check, file) in [
        (["check", "config"], "prometheus/prometheus.yml"),
        (["check", "rules"], "prometheus/alerts.yml"),
        (["test", "rules"], "prometheus/alerts_test.yml"),
    ] {
        let done = prometheus::tool("promtool").args(check).arg(shipped(file)).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{check:?} {file}:\n{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_alert_is_tested_and_has_its_place_in_the_guide() {
    let (rules, tests) = (read("prometheus/alerts.yml"), read("prometheus/alerts_test.yml"));
    let guide = std::fs::read_to_string(shipped("../docs/operations.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 12, "{alerts:?}");
    for alert in alerts {
        let fires = format!("- alertname: {alert}\n");
        assert!(tests.contains(&fires), "no scenario lets {alert} fire");
        let place = format!("runbook_url: \"docs/operations.md#{}\"", alert.to_lowercase());
        assert!(rules.contains(&place), "{place}");
        // Where the guide is, it has a chapter for each.
        if let Ok(guide) = &guide {
            let chapter = format!("\n## {alert}\n");
            assert!(guide.contains(&chapter), "docs/operations.md does not say what {alert} means");
        }
    }
}

#[test]
fn queries_name_only_what_is_listed() {
    let metrics = listed();
    let rules = read("prometheus/alerts.yml");
    let labels: BTreeSet<&str> =
        metrics.values().flatten().map(String::as_str).chain(["le", "instance"]).collect();
    let queries = queries();
    assert!(queries.len() > 40, "{queries:?}");
    for query in queries.iter().map(|(_, query)| query.as_str()).chain([rules.as_str()]) {
        for name in names::named(query) {
            assert!(
                metrics.contains_key(name) || name == "weir_",
                "{name} is not in docs/metrics.md: {query}"
            );
        }
        for label in names::grouped_by(query) {
            assert!(labels.contains(label), "no metric has the label {label}: {query}");
        }
    }
}

#[tokio::test]
async fn the_page_shows_every_metric_that_is_listed() {
    let traffic = Traffic::start().await;
    // What happens beside the requests (grades, health checks, the webhook) takes its time.
    for round in 0..40 {
        traffic.round(round).await;
        if on_page(&page(&traffic.weir).await).len() >= listed().len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(on_page(&page(&traffic.weir).await), listed());
}

#[tokio::test]
async fn what_a_reload_takes_away_leaves_the_page() {
    let model = |name: &str| {
        format!("[models.{name}]\nprovider = \"p\"\n[routes.r-{name}]\ntargets = [\"{name}\"]\n")
    };
    let stays = [HEALTHY, "[providers.p]\nprotocol = \"sim\"\n", &model("stays")].concat();
    let both = [&*stays, "[providers.gone]\nprotocol = \"sim\"\n", &model("leaves")].concat();
    let weir = Weir::start(&both).await;
    weir.client().send("POST", "/admin/targets/leaves/open", "").await;
    let before = page(&weir).await;
    let told = [
        "weir_breaker_state{model=\"leaves\",provider=\"p\"} 2",
        "weir_route_targets_up{route=\"r-leaves\"} 0",
        "weir_provider_enabled{provider=\"gone\"} 1",
    ];
    assert!(told.iter().all(|line| before.contains(line)), "{before}");
    weir.write_config(&stays);
    assert!(weir.client().send("POST", "/admin/reload", "").await.status.is_success());
    let after = page(&weir).await;
    for line in told.map(|line| line.split_once(' ').unwrap().0) {
        assert!(!after.contains(line), "{line} is still there:\n{after}");
    }
    assert!(after.contains("weir_route_targets_up{route=\"r-stays\"} 1"), "{after}");
}

async fn page(weir: &Weir) -> String {
    weir.client().get("/metrics").await.text()
}

#[tokio::test]
async fn a_real_prometheus_answers_every_query() {
    let traffic = Traffic::start().await;
    let prometheus = Prometheus::start(traffic.weir.address()).await;
    let queries: Vec<(String, String)> =
        queries().into_iter().map(|(title, query)| (title, filled_in(&query))).collect();
    let mut silent = Vec::new();
    // A rate needs two looks at what has grown in between.
    for round in 0..60 {
        traffic.round(round).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        if round < 8 {
            continue;
        }
        silent.clear();
        for (title, query) in &queries {
            let values = prometheus.query(query).await;
            if !values.iter().any(|value| value.is_finite()) {
                silent.push(format!("{title}: {query}: {values:?}"));
            }
        }
        if silent.is_empty() {
            break;
        }
    }
    assert!(silent.is_empty(), "nothing is shown by\n{}", silent.join("\n"));
    the_rules_see(&traffic, &prometheus).await;
}

/// What the traffic suffers from, as alert rules.
const STIRRED: [&str; 7] = [
    "WeirBreakerOpen",
    "WeirBudgetSpent",
    "WeirCredentialRejected",
    "WeirDegradedAnswers",
    "WeirProviderErrors",
    "WeirRouteDown",
    "WeirSuccessRateLow",
];

/// The rules are evaluated, each of their series is there, those are stirred that should be.
async fn the_rules_see(traffic: &Traffic, prometheus: &Prometheus) {
    let count = read("prometheus/alerts.yml").matches("- alert: ").count();
    let mut stirred = BTreeSet::new();
    for round in 0..60 {
        let rules = prometheus.rules().await;
        assert_eq!(rules.len(), count);
        for rule in &rules {
            assert_eq!((&*rule.health, &*rule.error), ("ok", ""), "{}", rule.name);
        }
        let active = rules.iter().filter(|rule| rule.state != "inactive");
        stirred.extend(active.map(|rule| rule.name.clone()));
        if STIRRED.iter().all(|name| stirred.contains(*name)) {
            break;
        }
        traffic.round(1000 + round).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for name in STIRRED {
        assert!(stirred.contains(name), "{name} is not in {stirred:?}");
    }
    for name in ["WeirDown", "WeirOverheadHigh", "WeirLedgerFailing", "WeirLedgerQueueGrowing"] {
        assert!(!stirred.contains(name), "{name} is in {stirred:?}");
    }
    for rule in prometheus.rules().await {
        for selector in names::selectors(&rule.query) {
            let found = prometheus.query(selector).await;
            assert!(!found.is_empty(), "{}: there is no {selector}", rule.name);
        }
    }
}
