//! `auto`: its tiers, the routes of tasks with those of languages, who rates requests.

use std::time::Duration;

use super::{
    super::{
        Classifier, ClassifierKind, Config, Keywords, LlmClassifier, Sticky, path::KeyPath, wording::quoted,
    },
    Report,
    chains::refer,
    names::AUTO,
};

/// The longest that a client may be kept waiting for a number.
const LONGEST_RATING: Duration = Duration::from_secs(30);
/// Nothing is remembered longer than this.
const LONGEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Nor more of it: some 200 MB.
const MOST_KEPT: usize = 1_000_000;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let path = KeyPath::of(&["classifier"]);
    let classifier = &config.classifier;
    check_tiers(&path, classifier, report);
    for (task, route) in &classifier.tasks {
        let place = path.key("tasks").key(task);
        if !Classifier::is_task_name(task) {
            let problem = format!("{} cannot name a task", quoted(task));
            report.fault(&place, problem, format!("Use {}.", Classifier::TASK_NAME_FORM));
        }
        refer(&place, route, "route", report);
    }
    for (language, route) in &classifier.languages {
        let place = path.key("languages").key(language);
        if !(language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase())) {
            let problem = format!("{} is no language code", quoted(language));
            report.fault(&place, problem, "Write the two letters of ISO 639-1, like `zh` or `de`.");
        }
        refer(&place, route, "route", report);
    }
    if let Some(model) = &classifier.baseline {
        refer(&path.key("baseline"), model, "model", report);
    }
    check_calibration(&path.key("calibration"), classifier, report);
    check_keywords(&path.key("keywords"), &classifier.keywords, report);
    check_llm(&path.key("llm"), config, report);
    check_sticky(&path.key("sticky"), &classifier.sticky, report);
}

fn check_tiers(path: &KeyPath, classifier: &Classifier, report: &mut Report<'_>) {
    let tiers = &classifier.tiers;
    let place = path.key("tiers");
    for (at, tier) in tiers.iter().enumerate() {
        let place = place.index(at);
        refer(&place.key("route"), &tier.route, "route", report);
        if !(1..=10).contains(&tier.min) {
            let problem = format!("no request is {} hard", tier.min);
            report.fault(&place.key("min"), problem, "Complexity goes from 1 to 10.");
        } else if tiers[..at].iter().any(|before| before.min == tier.min) {
            let problem = format!("another tier begins at {} too", tier.min);
            report.fault(&place.key("min"), problem, "Let each tier begin at a complexity of its own.");
        }
    }
    let begins = tiers.iter().any(|tier| tier.min == 1);
    if !tiers.is_empty() && !begins && !report.is_incomplete(&["classifier", "tiers"]) {
        let remedy = "Let one begin at 1, like `{ min = 1, route = \"ultra_budget\" }`.";
        report.fault(&place, "no tier serves the easiest requests", remedy);
    }
    let alone = !classifier.tasks.is_empty() || !classifier.languages.is_empty();
    if tiers.is_empty() && alone && !report.is_incomplete(&["classifier", "tiers"]) {
        let remedy = "Give `classifier.tiers`: without them `auto` is not served.";
        report.warn(&place, "tasks and languages count only for `auto`", remedy);
    }
}

fn check_calibration(path: &KeyPath, classifier: &Classifier, report: &mut Report<'_>) {
    let Some(file) = &classifier.calibration else { return };
    if !file.is_file() {
        let problem = format!("there is no file {}", quoted(&file.display().to_string()));
        let remedy = "Name a file that `weir calibrate` wrote; a relative path starts where Weir is started.";
        report.fault(path, problem, remedy);
    } else if classifier.kind == ClassifierKind::Keywords {
        let remedy = "Set `kind = \"builtin\"`, or leave it out.";
        report.warn(path, "what was fitted is the built-in classifier, which rates nothing here", remedy);
    }
}

fn check_keywords(path: &KeyPath, keywords: &Keywords, report: &mut Report<'_>) {
    let is_complexity = |number: u8| (1..=10).contains(&number);
    if let Some(base) = keywords.base.filter(|base| !is_complexity(*base)) {
        let problem = format!("no request is {base} hard");
        report.fault(&path.key("base"), problem, "Complexity goes from 1 to 10.");
    }
    for (at, rule) in keywords.rules.iter().enumerate() {
        let place = path.key("rules").index(at);
        if rule.words.is_empty() || rule.words.iter().any(|word| word.trim().is_empty()) {
            let remedy = "List words or phrases, like `words = [\"prove\", \"derive\"]`.";
            report.fault(&place.key("words"), "the rule has nothing to look for", remedy);
        }
        if let Some(set) = rule.set.filter(|set| !is_complexity(*set)) {
            let problem = format!("no request is {set} hard");
            report.fault(&place.key("set"), problem, "Complexity goes from 1 to 10.");
        }
        if (rule.add == 0) == rule.set.is_none() {
            let remedy = "Give either `add`, like 2 or -1, or `set`, from 1 to 10.";
            report.fault(&place, "the rule does nothing, or two things", remedy);
        }
    }
}

fn check_llm(path: &KeyPath, config: &Config, report: &mut Report<'_>) {
    let LlmClassifier { model, deadline, cache_entries } = &config.classifier.llm;
    let place = path.key("model");
    let pinned =
        model.split_once('/').is_some_and(|(provider, _)| report.names("providers").contains(&provider));
    let remedy = "Name a cheap route or model that is not `auto`.";
    match &**model {
        "" if config.classifier.kind == ClassifierKind::Llm => {
            report.fault(&place, "`kind = \"llm\"` needs a model to ask", remedy);
        }
        AUTO => report.fault(&place, "to choose a model it would have to choose a model first", remedy),
        "" => {}
        name if report.names("models").contains(&name) || pinned => {}
        name => refer(&place, name, "route", report),
    }
    if deadline.0.is_zero() || deadline.0 > LONGEST_RATING {
        let remedy = "Write a span above 0 and up to `30s`, like `1500ms`.";
        report.fault(&path.key("deadline"), format!("{deadline} does not fit here"), remedy);
    }
    check_entries(&path.key("cache_entries"), *cache_entries, report);
}

fn check_sticky(path: &KeyPath, sticky: &Sticky, report: &mut Report<'_>) {
    if sticky.enabled && sticky.entries == 0 {
        let remedy = "Write 1 or more, or `enabled = false`.";
        report.fault(&path.key("entries"), "nothing could be remembered", remedy);
    }
    check_entries(&path.key("entries"), sticky.entries, report);
    if sticky.ttl.0.is_zero() || sticky.ttl.0 > LONGEST_KEPT {
        let remedy = "Write a span above 0 and up to `24h`.";
        report.fault(&path.key("ttl"), format!("{} does not fit here", sticky.ttl), remedy);
    }
}

fn check_entries(path: &KeyPath, entries: usize, report: &mut Report<'_>) {
    if entries > MOST_KEPT {
        let remedy = format!("Write {MOST_KEPT} or less.");
        report.fault(path, format!("{entries} would take too much memory"), remedy);
    }
}
