//! The names of providers, models, routes.

use super::{
    super::{Config, path::KeyPath, wording::quoted},
    Report,
};

/// The longest name; names go into headers, logs, metric labels.
const LONGEST: usize = 128;

/// The name that asks for a classified route.
pub(super) const AUTO: &str = "auto";

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for name in config.providers.keys() {
        let path = KeyPath::of(&["providers", name]);
        plain(&path, name, report);
        if name.contains('/') {
            let remedy = "Clients write `provider/model`, so the name must end before the first slash.";
            report.fault(&path, "a provider's name has no slash", remedy);
        }
    }
    for name in config.models.keys() {
        let path = KeyPath::of(&["models", name]);
        plain(&path, name, report);
        not_auto(&path, name, report);
    }
    for name in config.routes.keys() {
        let path = KeyPath::of(&["routes", name]);
        plain(&path, name, report);
        not_auto(&path, name, report);
        if config.models.contains_key(name) {
            let problem = format!("{} names a model too", quoted(name));
            report.fault(&path, problem, "Clients name either in `model`: give the route another name.");
        }
    }
}

fn plain(path: &KeyPath, name: &str, report: &mut Report<'_>) {
    let allowed = |byte: u8| (0x20..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\'' | b'`' | b'\\');
    let trimmed = name.trim() == name;
    if name.is_empty() || name.len() > LONGEST || !trimmed || !name.bytes().all(allowed) {
        let remedy = format!(
            "A name goes into headers, logs and metrics: 1 to {LONGEST} printable ASCII characters without \
             quotes, backslashes or outer spaces."
        );
        report.fault(path, "the name cannot be used", remedy);
    }
}

fn not_auto(path: &KeyPath, name: &str, report: &mut Report<'_>) {
    if name == AUTO {
        let remedy = "`auto` is what clients write to have the route chosen: take another name.";
        report.fault(path, "the name is taken", remedy);
    }
}
