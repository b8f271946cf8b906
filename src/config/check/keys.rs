//! Virtual keys: names, secrets, grants.

use std::collections::BTreeSet;

use crate::base::secret::Secret;

use super::{
    super::{
        Config, Key,
        path::KeyPath,
        wording::{quoted, suggestion},
    },
    Report,
    names::AUTO,
};

/// The longest name of a key.
const LONGEST: usize = 64;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    let mut secrets: Vec<(&str, Secret)> = Vec::new();
    for (at, key) in config.keys.iter().enumerate() {
        let path = KeyPath::of(&["keys"]).index(at);
        check_name(&path.key("name"), &key.name, report);
        if !names.insert(&key.name) {
            let problem = format!("another key is called {} too", quoted(&key.name));
            report.fault(&path.key("name"), problem, "Give each key a name of its own.");
        }
        check_secret(&path, key, &mut secrets, report);
        check_routes(&path, key, report);
        check_models(&path, key, report);
    }
}

fn check_name(path: &KeyPath, name: &str, report: &mut Report<'_>) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-/".contains(&byte);
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(allowed) {
        let remedy = format!("Use 1 to {LONGEST} letters, digits, or any of . _ : - /");
        report.fault(path, format!("{} cannot name a key", quoted(name)), remedy);
    }
}

fn check_secret<'a>(
    path: &KeyPath,
    key: &'a Key,
    secrets: &mut Vec<(&'a str, Secret)>,
    report: &mut Report<'_>,
) {
    match (&key.secret, &key.hash) {
        (None, None) => {
            let remedy = "Give `secret = \"env:NAME\"`, or `hash = \"sha256:...\"` from `weir keys new`.";
            report.fault(path, "the key has neither `secret` nor `hash`", remedy);
        }
        (Some(_), Some(_)) => {
            report.fault(path, "the key has both `secret` and `hash`", "Keep one of the two.");
        }
        (None, Some(hash)) => {
            if !is_hash(hash) {
                // Not repeated: it may be the key itself in the wrong place.
                let remedy = "Write `sha256:` and 64 hexadecimal digits, as `weir keys new` prints it.";
                report.fault(&path.key("hash"), "this is not the hash of a key", remedy);
            }
        }
        (Some(source), None) => match source.resolve() {
            Ok(Some(secret)) => {
                if let Some((other, _)) = secrets.iter().find(|(_, known)| *known == secret) {
                    let problem = format!("the key {} has the same secret", quoted(other));
                    report.fault(&path.key("secret"), problem, "Give each key a secret of its own.");
                }
                secrets.push((&key.name, secret));
            }
            Ok(None) => {
                let problem = format!("the key is off: {source} gives no value");
                report.warn(&path.key("secret"), problem, "Set it to switch the key on.");
            }
            Err(error) => report.fault(&path.key("secret"), error, "Let Weir's user read the file."),
        },
    }
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn check_routes(path: &KeyPath, key: &Key, report: &mut Report<'_>) {
    for (at, route) in key.routes.iter().flatten().enumerate() {
        let mut known = report.names("routes");
        known.push(AUTO);
        if !known.contains(&route.as_str()) {
            let remedy = suggestion(route, known, "routes");
            let place = path.key("routes").index(at);
            report.fault(&place, format!("there is no route {}", quoted(route)), remedy);
        }
    }
}

fn check_models(path: &KeyPath, key: &Key, report: &mut Report<'_>) {
    for (at, model) in key.models.iter().flatten().enumerate() {
        let known = report.names("models");
        let pinned = model.split_once('/').is_some_and(|(provider, upstream)| {
            !upstream.is_empty() && report.names("providers").contains(&provider)
        });
        if !pinned && !known.contains(&model.as_str()) {
            let remedy = suggestion(model, known, "models");
            let place = path.key("models").index(at);
            report.fault(&place, format!("there is no model {}", quoted(model)), remedy);
        }
    }
}
