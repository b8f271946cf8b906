//! The texts that stand in, with the routes that name them.

use super::{
    super::{
        Config,
        path::KeyPath,
        wording::{quoted, suggestion},
    },
    Report,
};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let texts = &config.degraded.texts;
    for (category, text) in texts {
        if text.trim().is_empty() {
            let path = KeyPath::of(&["degraded", "static", category]);
            report.fault(&path, "an empty text tells nobody anything", "Write a sentence, or leave it out.");
        }
    }
    let known: Vec<&str> = texts.keys().map(String::as_str).collect();
    for (name, route) in &config.routes {
        let Some(category) = route.category.as_ref().filter(|category| !texts.contains_key(*category)) else {
            continue;
        };
        let problem = format!("there is no text {} in degraded.static", quoted(category));
        let path = KeyPath::of(&["routes", name, "category"]);
        report.fault(&path, problem, suggestion(category, known.iter().copied(), "texts"));
    }
}
