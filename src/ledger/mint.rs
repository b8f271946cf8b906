//! Makes keys at run time: from what was asked for, as JSON, to a row of the ledger.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{KeyRow, KeySettings};
use crate::{
    base::{money::Nanos, secret::Secret},
    config::{Budget, Config, KeyFault, key_faults},
    keys,
};

/// The fields of a wanted key.
const FIELDS: [&str; 9] =
    ["name", "routes", "models", "rpm", "tpm", "max_concurrent", "requests_per_month", "tags", "budget"];

/// The fields of its budget.
const LIMITS: [&str; 4] = ["daily", "monthly", "total", "per_request"];

/// A key that somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What it is to be called.
    pub name: String,
    /// What it is to be allowed.
    pub settings: KeySettings,
}

/// A key that was made: its row, and the secret to be shown once.
#[derive(Clone, Debug)]
pub struct Minted {
    /// For the ledger.
    pub row: KeyRow,
    /// For whoever asked; it is kept nowhere.
    pub secret: Secret,
}

impl Wanted {
    /// Reads a JSON object with the fields of `[[keys]]`, save its secret, and `budget`: an object of `daily`,
    /// `monthly`, `total` and `per_request`, each in USD. Null is absent.
    ///
    /// # Errors
    /// The first field that is unknown or not as it should be.
    pub fn parse(body: &[u8]) -> Result<Self, KeyFault> {
        let whole =
            |problem: String| KeyFault::new("body", problem, "Send a JSON object like {\"name\": \"bot\"}");
        let fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| whole(format!("this is no JSON object ({error})")))?;
        let (mut name, mut settings) = (None, KeySettings::default());
        let mut budget = Map::new();
        for (field, value) in fields {
            if value.is_null() {
                continue;
            }
            match field.as_str() {
                "name" => name = Some(read::<String>("name", value, "a text")?),
                "routes" => settings.routes = Some(read("routes", value, "a list of texts")?),
                "models" => settings.models = Some(read("models", value, "a list of texts")?),
                "rpm" => settings.rpm = read("rpm", value, NUMBER)?,
                "tpm" => settings.tpm = read("tpm", value, NUMBER)?,
                "max_concurrent" => settings.max_concurrent = read("max_concurrent", value, NUMBER)?,
                "requests_per_month" => {
                    settings.requests_per_month = read("requests_per_month", value, NUMBER)?;
                }
                "tags" => settings.tags = read("tags", value, "an object of texts")?,
                "budget" => budget = read("budget", value, "an object of amounts")?,
                _ => return Err(unknown(field, &FIELDS)),
            }
        }
        let name =
            name.ok_or_else(|| KeyFault::new("name", "it is missing", "Say what the key is called."))?;
        settings.budgets = own_budget(&name, budget)?.into_iter().collect();
        Ok(Self { name, settings })
    }

    /// Makes the key, with a new secret. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// What the configuration says against it: names that it does not know, or that are taken by a budget.
    pub fn mint(self, config: &Config, now: i64) -> Result<Minted, Vec<KeyFault>> {
        let keys::Generated { secret, hash } = keys::generate();
        let row = KeyRow { name: self.name, hash, settings: self.settings, created: now, revoked: None };
        let mut faults = key_faults(config, &row.key());
        for own in &row.settings.budgets {
            if config.budgets.iter().any(|budget| budget.name == own.name) {
                let problem = format!("the configuration has a budget called `{}`", own.name);
                faults.push(KeyFault::new("budget", problem, "Give the key another name."));
            }
        }
        if faults.is_empty() { Ok(Minted { row, secret }) } else { Err(faults) }
    }
}

const NUMBER: &str = "a whole number, 0 for no limit";

fn read<T: DeserializeOwned>(field: &'static str, value: Value, right: &str) -> Result<T, KeyFault> {
    // What serde says is not repeated: it may hold what was sent.
    serde_json::from_value(value).map_err(|_| wrong(field, right))
}

fn wrong(field: impl Into<std::borrow::Cow<'static, str>>, right: &str) -> KeyFault {
    KeyFault::new(field, "this cannot be read", format!("Write {right}."))
}

fn unknown(field: String, known: &[&str]) -> KeyFault {
    let shown: String = field.chars().take(64).collect();
    KeyFault::new(shown, "there is no such field", format!("Known are {}.", known.join(", ")))
}

/// The budget of a key's own; `None` if it sets no limit.
fn own_budget(key: &str, limits: Map<String, Value>) -> Result<Option<Budget>, KeyFault> {
    let name = format!("key:{key}");
    let mut budget = Budget { scope: name.clone(), ..Budget::named(name) };
    let mut any = false;
    for (field, value) in limits {
        if value.is_null() {
            continue;
        }
        let place = match field.as_str() {
            "daily" => &mut budget.daily,
            "monthly" => &mut budget.monthly,
            "total" => &mut budget.total,
            "per_request" => &mut budget.per_request,
            _ => return Err(unknown(format!("budget.{field}"), &LIMITS)),
        };
        let path = format!("budget.{field}");
        let amount: Nanos = serde_json::from_value(value).map_err(|_| wrong(path.clone(), Nanos::FORM))?;
        if amount <= Nanos::ZERO {
            return Err(KeyFault::new(path, "it is not above 0", "Leave it out for no limit."));
        }
        (*place, any) = (Some(amount), true);
    }
    Ok(any.then_some(budget))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &Value) -> Result<Wanted, KeyFault> {
        Wanted::parse(value.to_string().as_bytes())
    }

    #[test]
    fn reads_every_field() {
        let wanted = parse(&serde_json::json!({
            "name": "bot", "routes": ["r"], "models": null, "rpm": 1, "tpm": 2, "max_concurrent": 3,
            "requests_per_month": 4, "tags": { "team": "a" }, "budget": { "daily": 1.5, "total": "9", "monthly": null },
        }))
        .unwrap();
        let KeySettings { routes, models, rpm, tpm, max_concurrent, requests_per_month, tags, budgets } =
            wanted.settings;
        assert_eq!((wanted.name.as_str(), routes, models), ("bot", Some(vec!["r".into()]), None));
        assert_eq!((rpm, tpm, max_concurrent, requests_per_month), (1, 2, 3, 4));
        assert_eq!(tags["team"], "a");
        let [budget] = &budgets[..] else { panic!("{budgets:?}") };
        assert_eq!((budget.name.as_str(), budget.scope.as_str()), ("key:bot", "key:bot"));
        assert_eq!((budget.daily, budget.monthly), (Some(Nanos(1_500_000_000)), None));
        assert_eq!(budget.total, Some(Nanos(9_000_000_000)));
        assert!(
            parse(&serde_json::json!({ "name": "bot", "budget": {} })).unwrap().settings.budgets.is_empty()
        );
    }

    #[test]
    fn names_the_field_at_fault() {
        for (field, body) in [
            ("body", "[]"),
            ("body", "{"),
            ("name", "{}"),
            ("name", r#"{"name":7}"#),
            ("rpm", r#"{"name":"a","rpm":-1}"#),
            ("tpm", r#"{"name":"a","tpm":"many"}"#),
            ("tags", r#"{"name":"a","tags":{"a":1}}"#),
            ("routes", r#"{"name":"a","routes":"r"}"#),
            ("secret", r#"{"name":"a","secret":"sk-mine"}"#),
            ("budget.daily", r#"{"name":"a","budget":{"daily":0}}"#),
            ("budget.daily", r#"{"name":"a","budget":{"daily":"1.0000000001"}}"#),
            ("budget.weekly", r#"{"name":"a","budget":{"weekly":1}}"#),
        ] {
            let fault = Wanted::parse(body.as_bytes()).unwrap_err();
            assert_eq!(fault.field, field, "{body}");
            assert!(!fault.to_string().contains("sk-mine"));
        }
    }

    #[test]
    fn a_made_key_suits_the_configuration() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "providers": { "p": {} },
            "models": { "m": { "provider": "p" } },
            "routes": { "r": { "targets": ["m"] } },
            "budgets": [{ "name": "key:taken", "daily": 1 }],
        }))
        .unwrap();
        let mint = |value: Value| parse(&value).unwrap().mint(&config, 7);
        let made = mint(serde_json::json!({ "name": "a", "routes": ["r"], "models": ["m", "p/x"] })).unwrap();
        assert_eq!((made.row.created, made.row.revoked), (7, None));
        assert_eq!(made.row.hash, keys::hash_text(made.secret.expose()));
        assert!(!format!("{made:?}").contains("sk-weir-"));
        for (field, value) in [
            ("name", serde_json::json!({ "name": "a b" })),
            ("routes", serde_json::json!({ "name": "a", "routes": ["s"] })),
            ("models", serde_json::json!({ "name": "a", "models": ["q/x"] })),
            ("tags", serde_json::json!({ "name": "a", "tags": { "a b": "x" } })),
            ("budget", serde_json::json!({ "name": "taken", "budget": { "daily": 1 } })),
        ] {
            let faults = mint(value).unwrap_err();
            assert_eq!(faults.iter().map(|fault| &*fault.field).collect::<Vec<_>>(), [field]);
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..80), field in 0..FIELDS.len(), json in "[\\[\\]{}\":,0-9.e-]{0,12}") {
            let _ = Wanted::parse(&body);
            let _ = Wanted::parse(format!("{{\"name\":\"a\",\"{}\":{json}}}", FIELDS[field]).as_bytes());
        }
    }
}
