//! Models with their providers, routes with their targets, fallbacks.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::{
    super::{
        Config, HedgeAfter, Model, Order, QualityCheck, Route, RouteTarget, Span, Weights,
        path::KeyPath,
        wording::{quoted, suggestion},
    },
    Report,
    resilience::LONGEST,
};

/// Fields of a body that are the client's alone.
const NOT_DEFAULTS: [&str; 7] =
    ["input", "messages", "model", "models", "prompt", "stream", "stream_options"];

/// The most characters that an answer may have to have.
const MOST_CHARS: u32 = 10_000;

/// How many targets may start at once.
const PARALLEL: RangeInclusive<usize> = 2..=8;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for (name, model) in &config.models {
        check_model(&KeyPath::of(&["models", name]), model, report);
    }
    for (name, route) in &config.routes {
        check_route(&KeyPath::of(&["routes", name]), route, report);
    }
    for cycle in cycles(config) {
        let path = KeyPath::of(&["routes", cycle[0], "fallback"]);
        let way = cycle.iter().chain(cycle.first()).copied().collect::<Vec<_>>().join(" -> ");
        let problem = format!("the fallbacks go in a circle: {way}");
        report.fault(&path, problem, "Let one of these routes fall back to another, or to none.");
    }
}

fn check_model(path: &KeyPath, model: &Model, report: &mut Report<'_>) {
    refer(&path.key("provider"), &model.provider, "provider", report);
    if let Some(route) = &model.fallback {
        refer(&path.key("fallback"), route, "route", report);
    }
    for (key, limit) in
        [("context_window", model.context_window), ("max_output_tokens", model.max_output_tokens)]
    {
        if limit == Some(0) {
            report.fault(&path.key(key), "0 tokens are no use", "Write how many, or leave it out: unknown.");
        }
    }
    if model.first_byte_timeout.is_some_and(|span| span.0.is_zero()) {
        let remedy = "Write a span of time, or leave it out: the provider's.";
        report.fault(&path.key("first_byte_timeout"), "no model answers in no time", remedy);
    }
    if let Some(quality) = model.quality.filter(|quality| !(0.0..=1.0).contains(quality)) {
        report.fault(
            &path.key("quality"),
            format!("{quality} is not from 0 to 1"),
            "Write a share, like 0.85.",
        );
    }
    let tiers = model.price.iter().flat_map(|price| &price.tiers).enumerate();
    for (at, _) in tiers.filter(|(_, tier)| tier.above == 0) {
        let place = path.key("price").key("tiers").index(at).key("above");
        let remedy = "Write the prompt size in tokens beyond which the tier holds.";
        report.fault(&place, "every prompt is longer than 0 tokens", remedy);
    }
    if model.upstream_model.as_deref() == Some("") {
        let remedy = "Write the provider's name for it, or leave it out: the same name.";
        report.fault(&path.key("upstream_model"), "the name is empty", remedy);
    }
}

fn check_route(path: &KeyPath, route: &Route, report: &mut Report<'_>) {
    for (at, target) in route.targets.iter().enumerate() {
        let place = path.key("targets").index(at);
        let place = match target {
            RouteTarget::Name(_) => place,
            RouteTarget::Weighted(weighted) => {
                check_weight(&place.key("weight"), weighted.weight, report);
                place.key("model")
            }
        };
        refer(&place, target.model(), "model", report);
    }
    if let Some(next) = &route.fallback {
        refer(&path.key("fallback"), next, "route", report);
    }
    for (reason, next) in &route.fallback_on {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        refer(&path.key("fallback_on").key(reason.as_str().unwrap_or_default()), next, "route", report);
    }
    check_weights(path, route, report);
    if route.targets.is_empty() && route.fallback.is_none() {
        report.fault(path, "the route leads nowhere", "Give it `targets`, or a `fallback` route.");
    }
    if route.max_attempts == Some(0) {
        let remedy = "Write 1 or more, or leave it out: as many as the chain has targets.";
        report.fault(&path.key("max_attempts"), "0 tries answer nothing", remedy);
    }
    check_race(path, route, report);
    check_cascade(path, route, report);
    for key in NOT_DEFAULTS.iter().filter(|key| route.defaults.contains_key(**key)) {
        let remedy = "Defaults fill what a client left out, like `max_tokens` or `temperature`.";
        report.fault(&path.key("defaults").key(key), "this field is the client's to give", remedy);
    }
    let weighs = |target: &RouteTarget| target.weight() != 1.0;
    if route.order != Order::Weighted && route.targets.iter().any(weighs) {
        let problem = "the targets have weights that count only with `order = \"weighted\"`";
        report.warn(&path.key("order"), problem, "Set `order = \"weighted\"`, or leave the weights out.");
    }
}

/// Tries beside each other.
fn check_race(path: &KeyPath, route: &Route, report: &mut Report<'_>) {
    if route.hedge_after == HedgeAfter::Time(Span::secs(0)) {
        let remedy = "To start several targets at once, always, write `parallel = 2`; else a span above 0.";
        report.fault(&path.key("hedge_after"), "a hedge that waits for nothing is none", remedy);
    }
    if matches!(route.hedge_after, HedgeAfter::Time(span) if span.0 > LONGEST) {
        let remedy = "Write at most 24h, or leave it out.";
        report.fault(&path.key("hedge_after"), "no try is silent for that long", remedy);
    }
    if let Some(parallel) = route.parallel.filter(|parallel| !PARALLEL.contains(parallel)) {
        let remedy = "Write 2 to 8, or leave it out: one after the other.";
        report.fault(&path.key("parallel"), format!("{parallel} targets do not start at once"), remedy);
    }
    if route.hedge_non_stream && route.hedge_after == HedgeAfter::Never {
        let remedy = "Set `hedge_after`, or leave it out.";
        report.warn(&path.key("hedge_non_stream"), "nothing is hedged without `hedge_after`", remedy);
    }
}

/// Where answers go that fail their checks.
fn check_cascade(path: &KeyPath, route: &Route, report: &mut Report<'_>) {
    let (on, to) = (path.key("escalate_on"), path.key("escalate_to"));
    match &route.escalate_to {
        None if !route.escalate_on.is_empty() => {
            let remedy = "Name a stronger route in `escalate_to`, or leave `escalate_on` out.";
            report.fault(&on, "answers that fail have nowhere to go", remedy);
        }
        Some(next) if path.last_key() == Some(next.as_str()) => {
            let remedy = "Name another route: the same one would answer no better.";
            report.fault(&to, "the route escalates to itself", remedy);
        }
        Some(next) => {
            refer(&to, next, "route", report);
            if route.escalate_on.is_empty() {
                let remedy = "Say which checks decide, like `escalate_on = [\"empty\", \"refusal\"]`.";
                report.fault(&to, "nothing is ever escalated without `escalate_on`", remedy);
            }
        }
        None => {}
    }
    if route.min_answer_chars > MOST_CHARS {
        let remedy =
            format!("Write at most {MOST_CHARS}: so much of every answer is kept in memory to be counted.");
        report.fault(&path.key("min_answer_chars"), "no answer needs to be that long", remedy);
    }
    if route.min_answer_chars == 0 && route.escalate_on.contains(&QualityCheck::TooShort) {
        let remedy = "Set `min_answer_chars`, or leave `too_short` out.";
        report.fault(&on, "no answer is too short for 0 characters", remedy);
    }
}

/// What `balanced` weighs.
fn check_weights(path: &KeyPath, route: &Route, report: &mut Report<'_>) {
    let Weights { cost, latency, quality } = route.weights;
    for (key, weight) in [("cost", cost), ("latency", latency), ("quality", quality)] {
        if !(weight.is_finite() && weight >= 0.0) {
            let place = path.key("weights").key(key);
            report.fault(&place, format!("nothing can weigh {weight}"), "Write 0 or more.");
        }
    }
}

fn check_weight(path: &KeyPath, weight: f64, report: &mut Report<'_>) {
    if !(weight.is_finite() && weight > 0.0) {
        let remedy = "Write a number above 0, or take the target out of the route.";
        report.fault(path, format!("a target cannot weigh {weight}"), remedy);
    }
}

/// Checks that the model, route or provider is there.
pub(super) fn refer(path: &KeyPath, name: &str, kind: &str, report: &mut Report<'_>) {
    let known = report.names(&format!("{kind}s"));
    if known.contains(&name) {
        return;
    }
    let remedy = if kind == "model" && report.names("routes").contains(&name) {
        "This is a route: targets are models; name a route as `fallback`.".to_owned()
    } else {
        suggestion(name, known.iter().copied(), &format!("{kind}s"))
    };
    report.fault(path, format!("there is no {kind} {}", quoted(name)), remedy);
}

/// The circles of fallbacks, each once, begun at the name that sorts first. A route has at most one fallback, so
/// a walk along them either ends or comes back.
fn cycles(config: &Config) -> BTreeSet<Vec<&str>> {
    let mut found = BTreeSet::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in config.routes.keys() {
        let mut walk: Vec<&str> = Vec::new();
        let mut at = Some(start.as_str());
        while let Some(name) = at.filter(|name| !done.contains(name)) {
            if let Some(back) = walk.iter().position(|earlier| *earlier == name) {
                let mut cycle = walk.split_off(back);
                let first = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
                cycle.rotate_left(first);
                done.extend(&cycle);
                found.insert(cycle);
                break;
            }
            walk.push(name);
            at = config.routes.get(name).and_then(|route| route.fallback.as_deref());
        }
        done.extend(walk);
    }
    found
}
