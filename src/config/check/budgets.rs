//! Budgets: names, scopes, limits, what becomes of requests that do not fit.

use std::collections::BTreeSet;

use crate::base::{account::AccountKey, calendar::Zone, money::Nanos};

use super::{
    super::{
        Budget, Config, Judge, Scope,
        path::KeyPath,
        wording::{nearest, quoted, suggestion},
    },
    Report,
    chains::refer,
    keys::{CLASSIFIER_KEY, OWN_KEYS, name_fault},
};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    for (at, budget) in config.budgets.iter().enumerate() {
        let path = KeyPath::of(&["budgets"]).index(at);
        if let Some((problem, remedy)) = name_fault(&budget.name, "budget") {
            report.fault(&path.key("name"), problem, remedy);
        }
        if budget.name == AccountKey::REQUESTS_PER_MONTH {
            let remedy = "The monthly quotas of keys are kept under it: take another name.";
            report.fault(&path.key("name"), "the name is taken", remedy);
        }
        if !names.insert(&budget.name) {
            let problem = format!("another budget is called {} too", quoted(&budget.name));
            report.fault(&path.key("name"), problem, "Give each budget a name of its own.");
        }
        check_scope(&path.key("scope"), &budget.scope, config, report);
        check_limits(&path, budget, report);
        check_zone(&path.key("timezone"), &budget.timezone, report);
        check_downgrade(&path, budget, report);
        check_outputs(&path, budget, report);
    }
}

fn check_scope(path: &KeyPath, text: &str, config: &Config, report: &mut Report<'_>) {
    let Some(scope) = Scope::parse(text) else {
        let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
        let kind_of = |form: &'static str| form.split(':').next().unwrap_or(form);
        let near = nearest(kind, Scope::FORMS.map(kind_of));
        let near = near.and_then(|near| Scope::FORMS.into_iter().find(|form| kind_of(form) == near));
        let remedy = match near {
            Some(form) => format!("Did you mean {}?", quoted(form)),
            None => suggestion(kind, Scope::FORMS, "scopes"),
        };
        report.fault(path, format!("{} is not a scope", quoted(text)), remedy);
        return;
    };
    match scope {
        Scope::Global | Scope::EachKey => {}
        Scope::Route(name) => refer(path, &name, "route", report),
        Scope::Model(name) => refer(path, &name, "model", report),
        Scope::Provider(name) => refer(path, &name, "provider", report),
        Scope::Key(name) => {
            if name.starts_with(OWN_KEYS) {
                let own = [CLASSIFIER_KEY, Judge::NAME];
                if !own.contains(&name.as_str()) {
                    let problem = format!("Weir has no key of its own called {}", quoted(&name));
                    report.fault(path, problem, suggestion(&name, own, "own keys"));
                }
                return;
            }
            let known: Vec<&str> = config.keys.iter().map(|key| key.name.as_str()).collect();
            if !known.contains(&name.as_str()) {
                let problem = format!("no key here is called {}", quoted(&name));
                let near = nearest(&name, known).map(|near| format!(" Did you mean {}?", quoted(near)));
                let remedy = "It counts once a key of that name is made at run time.";
                report.warn(path, problem, format!("{remedy}{}", near.unwrap_or_default()));
            }
        }
        Scope::Tag(key, _) => {
            if config.auth.client_tags.contains(&key) {
                let problem = format!("clients may set the tag {} themselves", quoted(&key));
                let remedy = "Count by a tag that only keys have, or take it out of `auth.client_tags`.";
                report.fault(path, problem, remedy);
            }
        }
    }
}

fn check_limits(path: &KeyPath, budget: &Budget, report: &mut Report<'_>) {
    let limits = [
        ("daily", budget.daily),
        ("monthly", budget.monthly),
        ("total", budget.total),
        ("per_request", budget.per_request),
    ];
    if limits.iter().all(|(_, limit)| limit.is_none()) {
        let remedy = "Give `daily`, `monthly`, `total` or `per_request`, in USD.";
        report.fault(path, "the budget has no limit", remedy);
    }
    for (key, _) in limits.iter().filter(|(_, limit)| limit.is_some_and(|limit| limit <= Nanos::ZERO)) {
        let remedy = "Write USD above 0, like 10.00, or leave it out: no such limit.";
        report.fault(&path.key(key), "nothing could ever be spent", remedy);
    }
}

fn check_zone(path: &KeyPath, name: &str, report: &mut Report<'_>) {
    if Zone::parse(name).is_err() {
        let names = Zone::names();
        let remedy = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("Did you mean {}?", quoted(near)),
            None => "Write a name like `UTC` or `Europe/Amsterdam`.".to_owned(),
        };
        report.fault(path, format!("there is no time zone {}", quoted(name)), remedy);
    }
}

fn check_downgrade(path: &KeyPath, budget: &Budget, report: &mut Report<'_>) {
    match budget.cheaper() {
        None => {
            let problem = format!("{} is not what can be done", quoted(&budget.on_exceeded));
            report.fault(&path.key("on_exceeded"), problem, "Write `reject` or `downgrade:ROUTE`.");
        }
        Some(None) => {
            if budget.downgrade_from.is_some() {
                let remedy = "Set `on_exceeded = \"downgrade:ROUTE\"`, or leave it out.";
                report.fault(&path.key("downgrade_from"), "there is no route to downgrade to", remedy);
            }
        }
        Some(Some(route)) => refer(&path.key("on_exceeded"), route, "route", report),
    }
    let shares = budget.alert_at.iter().enumerate();
    let shares = shares.map(|(at, share)| (path.key("alert_at").index(at), *share));
    let from = budget.downgrade_from.map(|share| (path.key("downgrade_from"), share));
    for (place, share) in shares.chain(from) {
        if !(0.0..=1.0).contains(&share) {
            report.fault(&place, format!("{share} is not from 0 to 1"), "Write a share, like 0.8.");
        }
    }
}

fn check_outputs(path: &KeyPath, budget: &Budget, report: &mut Report<'_>) {
    if budget.min_output == 0 {
        let remedy = "Write 1 or more: an answer of no tokens is none.";
        report.fault(&path.key("min_output"), "0 tokens answer nothing", remedy);
    }
    if budget.default_max_output < budget.min_output {
        let problem = format!("it is less than `min_output`, {}", budget.min_output);
        let remedy = "Raise it, or lower `min_output`.";
        report.fault(&path.key("default_max_output"), problem, remedy);
    }
}
