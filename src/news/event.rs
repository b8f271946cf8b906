//! The kinds of news, in words as well as in fields.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::base::{account::Period, money::Nanos};

/// Something that happened. None of it holds a secret, or text of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Spending passed a share of a limit.
    Budget {
        /// The budget.
        budget: Arc<str>,
        /// Whose share; empty where there are none.
        holder: Arc<str>,
        /// The period of the limit.
        period: Period,
        /// The share, 0 to 1.
        fraction: f64,
        /// What is spent now.
        spent: Nanos,
        /// The limit.
        limit: Nanos,
    },
    /// A target's breaker opened, or closed.
    Breaker {
        /// The target; `PROVIDER/*`: all models that only clients name.
        model: Arc<str>,
        /// Its provider.
        provider: Arc<str>,
        /// Whether it opened.
        open: bool,
        /// Why.
        cause: String,
    },
    /// A provider's breaker of connections opened, or closed.
    Connections {
        /// The provider.
        provider: Arc<str>,
        /// Whether it opened.
        open: bool,
        /// Why.
        cause: String,
    },
    /// Something happened to a provider's key.
    Credential {
        /// The provider.
        provider: Arc<str>,
        /// The key's place in the configuration, never the key.
        credential: Arc<str>,
        /// The provider's own name of the model that it is about; `*`: all.
        model: String,
        /// Whether the configuration names that model.
        configured: bool,
        /// What.
        fate: Fate,
        /// Why.
        cause: &'static str,
        /// How long it is left alone; zero where it is back.
        rest: Duration,
    },
    /// A provider does not know a configured model, or knows it again.
    Model {
        /// The target.
        model: Arc<str>,
        /// Its provider.
        provider: Arc<str>,
        /// Whether it is unknown.
        retired: bool,
    },
    /// All targets of a route are down, or one is back.
    Route {
        /// The route.
        route: Arc<str>,
        /// Whether all are down.
        down: bool,
        /// Those that are down, each with the reason.
        targets: Vec<(Arc<str>, &'static str)>,
        /// The route that its requests go on to.
        fallback: Option<Arc<str>>,
    },
}

/// What may happen to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The provider refuses it.
    Out,
    /// It has no money left.
    Rests,
    /// It is used as before.
    Back,
}

/// The longest name that goes into an alert: clients may pin models of any name.
const LONGEST_NAME: usize = 200;

impl Event {
    /// The name of its kind: `event` in the alert, a label in the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Budget { .. } => "budget_alert",
            Self::Breaker { open: true, .. } => "breaker_open",
            Self::Breaker { open: false, .. } => "breaker_close",
            Self::Connections { open: true, .. } => "provider_unreachable",
            Self::Connections { open: false, .. } => "provider_reachable",
            Self::Credential { fate: Fate::Out, .. } => "credential_out",
            Self::Credential { fate: Fate::Rests, .. } => "credential_rest",
            Self::Credential { fate: Fate::Back, .. } => "credential_back",
            Self::Model { retired: true, .. } => "model_retired",
            Self::Model { retired: false, .. } => "model_back",
            Self::Route { down: true, .. } => "all_down",
            Self::Route { down: false, .. } => "all_down_over",
        }
    }

    /// What it is about. Of several that are about the same the last one tells how things are. There are only as many as
    /// the configuration has names for.
    pub fn subject(&self) -> String {
        match self {
            Self::Budget { budget, holder, period, fraction, .. } => {
                format!("budget\n{budget}\n{holder}\n{period}\n{fraction}")
            }
            Self::Breaker { model, .. } => format!("breaker\n{model}"),
            Self::Connections { provider, .. } => format!("connections\n{provider}"),
            // All models that only clients name are one.
            Self::Credential { provider, credential, model, configured, .. } => {
                let model = if *configured || model == "*" { model } else { "" };
                format!("credential\n{provider}\n{credential}\n{model}")
            }
            Self::Model { model, .. } => format!("model\n{model}"),
            Self::Route { route, .. } => format!("route\n{route}"),
        }
    }

    /// Its fields.
    pub fn fields(&self) -> Value {
        match self {
            Self::Budget { budget, holder, period, fraction, spent, limit } => json!({
                "budget": budget, "holder": holder, "window": period.as_str(), "fraction": fraction,
                "spent_usd": spent, "limit_usd": limit,
            }),
            Self::Breaker { model, provider, cause, .. } => {
                json!({ "model": cut(model), "provider": provider, "cause": cause })
            }
            Self::Connections { provider, cause, .. } => json!({ "provider": provider, "cause": cause }),
            Self::Credential { provider, credential, model, cause, rest, .. } => json!({
                "provider": provider, "credential": credential, "model": cut(model), "cause": cause,
                "seconds": rest.as_secs(),
            }),
            Self::Model { model, provider, .. } => json!({ "model": model, "provider": provider }),
            Self::Route { route, targets, fallback, .. } => json!({
                "route": route,
                "targets": targets.iter().map(|(model, why)| json!({ "model": model, "why": why }))
                    .collect::<Vec<_>>(),
                "fallback": fallback,
            }),
        }
    }

    /// The same as a sentence for people.
    pub fn text(&self) -> String {
        match self {
            Self::Budget { budget, holder, period, fraction, spent, limit } => {
                let whose = if holder.is_empty() { String::new() } else { format!(" of {holder}") };
                let share = fraction * 100.0;
                format!(
                    "Budget {budget}{whose} has reached {share:.0} % of its {period} limit: ${spent} of ${limit}."
                )
            }
            Self::Breaker { model, provider, open: true, cause } => {
                format!("Model {} at {provider} is left alone: {cause}.", cut(model))
            }
            Self::Breaker { model, provider, open: false, cause } => {
                format!("Model {} at {provider} is used again: {cause}.", cut(model))
            }
            Self::Connections { provider, open: true, cause } => {
                format!("Provider {provider} cannot be reached and is left alone: {cause}.")
            }
            Self::Connections { provider, open: false, cause } => {
                format!("Provider {provider} can be reached again: {cause}.")
            }
            Self::Credential { provider, credential, model, fate, cause, rest, .. } => {
                let key = format!("Key {credential} of {provider}{}", for_model(model));
                let minutes = rest.as_secs().div_ceil(60);
                match fate {
                    Fate::Out => format!(
                        "{key} is out: the provider refused it twice in a row ({cause}). Replace it, or reload once \
                         it is good again; one try is made in {minutes} min."
                    ),
                    Fate::Rests => format!("{key} has no money left ({cause}): it rests for {minutes} min."),
                    Fate::Back => format!("{key} is used again."),
                }
            }
            Self::Model { model, provider, retired: true } => format!(
                "Provider {provider} does not know model {model}: it may be retired, or its upstream_model is wrong."
            ),
            Self::Model { model, provider, retired: false } => {
                format!("Provider {provider} knows model {model} again.")
            }
            Self::Route { route, down: true, targets, fallback } => {
                let all: Vec<String> =
                    targets.iter().map(|(model, why)| format!("{model} ({why})")).collect();
                let then = match fallback {
                    Some(next) => format!("Its requests go on to route {next}."),
                    None => "No route stands behind it.".to_owned(),
                };
                format!("Every target of route {route} is down: {}. {then}", all.join(", "))
            }
            Self::Route { route, down: false, .. } => format!("Route {route} has a target again."),
        }
    }
}

fn for_model(model: &str) -> String {
    if model == "*" { String::new() } else { format!(" for model {}", cut(model)) }
}

/// The beginning of a name.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_sentence_beside_its_fields() {
        let usd = |text: &str| Nanos::parse(text).unwrap();
        let budget = Event::Budget {
            budget: "company".into(),
            holder: "bot".into(),
            period: Period::Daily,
            fraction: 0.5,
            spent: usd("5.1"),
            limit: usd("10"),
        };
        assert_eq!(budget.text(), "Budget company of bot has reached 50 % of its daily limit: $5.1 of $10.");
        assert_eq!(budget.fields()["limit_usd"], "10");
        let cause = "5 failures in a row, the last one timeout";
        let open =
            |open| Event::Breaker { model: "m".into(), provider: "p".into(), open, cause: cause.into() };
        assert_eq!(open(true).text(), format!("Model m at p is left alone: {cause}."));
        assert_eq!((open(true).name(), open(false).name()), ("breaker_open", "breaker_close"));
        assert_eq!(open(true).subject(), open(false).subject());
        let down = Event::Route {
            route: "r".into(),
            down: true,
            targets: vec![("a".into(), "open"), ("b".into(), "resting")],
            fallback: Some("s".into()),
        };
        assert_eq!(
            down.text(),
            "Every target of route r is down: a (open), b (resting). Its requests go on to route s."
        );
        assert_eq!(down.fields()["targets"][1], json!({ "model": "b", "why": "resting" }));
    }

    #[test]
    fn names_of_clients_make_neither_subjects_nor_long_texts() {
        let made = |model: &str, configured| Event::Credential {
            provider: "p".into(),
            credential: "api_keys[0]".into(),
            model: model.to_owned(),
            configured,
            fate: Fate::Out,
            cause: "forbidden",
            rest: Duration::from_secs(900),
        };
        let of = |model: &str| made(model, false);
        assert_eq!(of("a").subject(), of("b").subject());
        assert_ne!(made("a", true).subject(), made("b", true).subject());
        assert_ne!(made("a", true).subject(), of("a").subject());
        assert_ne!(of("a").subject(), of("*").subject());
        assert!(of(&"é".repeat(9999)).text().len() < 500);
        assert!(of("*").text().starts_with("Key api_keys[0] of p is out: "));
    }
}
