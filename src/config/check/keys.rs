//! Virtual keys: names, secrets, grants, tags.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use crate::base::{secret::Secret, tag};

use super::{
    super::{
        Config, Key,
        path::KeyPath,
        wording::{quoted, suggestion},
    },
    Report,
    names::AUTO,
};

/// The longest name of a key or a budget.
const LONGEST: usize = 64;

/// What the name of a key or a budget looks like, for messages.
pub const KEY_NAME_FORM: &str = "1 to 64 letters, digits, or any of . _ : - /, other than . and ..";

/// How the names of keys begin under which Weir's own calls are counted.
pub const OWN_KEYS: &str = "weir:";

/// The key under which ratings by a model are counted.
pub const CLASSIFIER_KEY: &str = "weir:classifier";

/// Whether a key or a budget may have this name.
pub fn is_key_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-/".contains(&byte);
    // A path of nothing but dots would lead elsewhere than to the key.
    let dots = matches!(text, "." | "..");
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(allowed) && !dots
}

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    let mut secrets: Vec<(&str, Secret)> = Vec::new();
    for (at, key) in config.keys.iter().enumerate() {
        let path = KeyPath::of(&["keys"]).index(at);
        if !names.insert(&key.name) {
            let problem = format!("another key is called {} too", quoted(&key.name));
            report.fault(&path.key("name"), problem, "Give each key a name of its own.");
        }
        check_secret(&path, key, &mut secrets, report);
        for fault in faults_of(key, &Known::of(report)) {
            let path = path.key(&fault.field);
            let path = match &fault.part {
                None => path,
                Some(KeyPart::Index(at)) => path.index(*at),
                Some(KeyPart::Name(name)) => path.key(name),
            };
            report.fault(&path, fault.problem, fault.remedy);
        }
    }
}

/// What is wrong with the name of a key or a budget, and what would be right.
pub(super) fn name_fault(name: &str, kind: &str) -> Option<(String, String)> {
    (!is_key_name(name))
        .then(|| (format!("{} cannot name a {kind}", quoted(name)), format!("Use {KEY_NAME_FORM}.")))
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

/// A fault of a key, wherever the key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The field at fault, like `routes`.
    pub field: Cow<'static, str>,
    /// The part of the field at fault: a place in its list, or a name in its table.
    pub part: Option<KeyPart>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

/// A part of a key's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// A place in a list.
    Index(usize),
    /// A name in a table.
    Name(String),
}

impl KeyFault {
    /// A fault of a field as a whole.
    pub fn new(
        field: impl Into<Cow<'static, str>>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), part: None, problem: problem.into(), remedy: remedy.into() }
    }

    fn at(self, part: KeyPart) -> Self {
        Self { part: Some(part), ..self }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            None => write!(f, "{}: {}. {}", self.field, self.problem, self.remedy),
            Some(KeyPart::Index(at)) => write!(f, "{}[{at}]: {}. {}", self.field, self.problem, self.remedy),
            Some(KeyPart::Name(name)) => {
                write!(f, "{}.{}: {}. {}", self.field, quoted(name), self.problem, self.remedy)
            }
        }
    }
}

/// What is wrong with a key that is made at run time: its name, its grants, its limits, its tags. Its secret is
/// not looked at.
pub fn key_faults(config: &Config, key: &Key) -> Vec<KeyFault> {
    let known = Known {
        routes: config.routes.keys().map(String::as_str).chain([AUTO]).collect(),
        models: config.models.keys().map(String::as_str).collect(),
        providers: config.providers.keys().map(String::as_str).collect(),
    };
    faults_of(key, &known)
}

/// The names that a key can be granted.
struct Known<'a> {
    routes: Vec<&'a str>,
    models: Vec<&'a str>,
    providers: Vec<&'a str>,
}

impl<'a> Known<'a> {
    fn of(report: &'a Report<'_>) -> Self {
        let mut routes = report.names("routes");
        routes.push(AUTO);
        Self { routes, models: report.names("models"), providers: report.names("providers") }
    }
}

fn faults_of(key: &Key, known: &Known<'_>) -> Vec<KeyFault> {
    let mut faults = Vec::new();
    if let Some((problem, remedy)) = name_fault(&key.name, "key") {
        faults.push(KeyFault::new("name", problem, remedy));
    }
    if key.name.starts_with(OWN_KEYS) {
        let problem = format!("names that begin with `{OWN_KEYS}` are Weir's own");
        faults.push(KeyFault::new("name", problem, "Take another name."));
    }
    for (at, route) in key.routes.iter().flatten().enumerate() {
        if !known.routes.contains(&route.as_str()) {
            let remedy = suggestion(route, known.routes.iter().copied(), "routes");
            let fault = KeyFault::new("routes", format!("there is no route {}", quoted(route)), remedy);
            faults.push(fault.at(KeyPart::Index(at)));
        }
    }
    for (at, model) in key.models.iter().flatten().enumerate() {
        let pinned = model
            .split_once('/')
            .is_some_and(|(provider, upstream)| !upstream.is_empty() && known.providers.contains(&provider));
        if !pinned && !known.models.contains(&model.as_str()) {
            let remedy = suggestion(model, known.models.iter().copied(), "models");
            let fault = KeyFault::new("models", format!("there is no model {}", quoted(model)), remedy);
            faults.push(fault.at(KeyPart::Index(at)));
        }
    }
    if i64::try_from(key.requests_per_month).is_err() {
        let remedy = "Write 0 for no quota.";
        faults.push(KeyFault::new("requests_per_month", "it is too large", remedy));
    }
    faults.extend(tag_faults(key));
    faults
}

fn tag_faults(key: &Key) -> Vec<KeyFault> {
    let fault = |name: &str, problem: String, form: &str| {
        KeyFault::new("tags", problem, format!("Use {form}.")).at(KeyPart::Name(name.to_owned()))
    };
    let mut faults = Vec::new();
    if key.tags.len() > tag::MOST {
        let problem = format!("a key has at most {} tags", tag::MOST);
        faults.push(KeyFault::new("tags", problem, "Keep those that reports or budgets need."));
    }
    for (name, value) in &key.tags {
        if !tag::is_name(name) {
            faults.push(fault(name, "this cannot name a tag".into(), tag::NAME_FORM));
        }
        if !tag::is_value(value) {
            faults.push(fault(name, format!("{} cannot be a tag's value", quoted(value)), tag::VALUE_FORM));
        }
    }
    faults
}
