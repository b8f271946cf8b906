//! Which fault a request gets: its model's name decides, then the control endpoint, then the settings.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{
    dice::Dice,
    fault::{Fault, Pace},
    settings::SimSettings,
};
use crate::config::Span;

/// How many model names the counts and orders are kept for.
const NAMES: usize = 10_000;

/// What `POST /sim/control` says; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// A fault from now on; `""`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The time to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Span>,
    /// Tokens a second after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The share of requests that show the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Only for requests that name this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A fault with the count of requests that it was asked for.
struct Switch {
    fault: Arc<Fault>,
    asked: AtomicU64,
}

/// What was ordered for one model or for all.
#[derive(Default)]
struct Standing {
    fault: Option<Arc<Switch>>,
    pace: Pace,
}

#[derive(Default)]
struct Orders {
    all: Standing,
    by_model: BTreeMap<String, Standing>,
}

/// What a request gets.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// The fault that it shows; the default one is none.
    pub(crate) fault: Arc<Fault>,
    /// How fast its answer is.
    pub(crate) pace: Pace,
}

/// Decides for each request.
pub(crate) struct Chooser {
    seed: u64,
    pace: Pace,
    switch: Switch,
    orders: Mutex<Orders>,
    named: Mutex<HashMap<String, u64>>,
    none: Arc<Fault>,
}

impl Switch {
    fn new(fault: Fault) -> Self {
        Self { fault: Arc::new(fault), asked: AtomicU64::new(0) }
    }
}

impl Chooser {
    pub(crate) fn new(settings: &SimSettings) -> Self {
        Self {
            seed: settings.seed,
            pace: settings.pace(),
            switch: Switch::new(settings.fault.clone()),
            orders: Mutex::default(),
            named: Mutex::default(),
            none: Arc::default(),
        }
    }

    /// What request number `seq` for `model` gets; `counts` is false for one that only lists models.
    ///
    /// # Errors
    /// Says what is wrong with the fault in the model's name.
    pub(crate) fn choose(&self, model: Option<&str>, seq: u64, counts: bool) -> Result<Chosen, String> {
        let (base, named) = split(model.unwrap_or_default());
        let mut pace = self.pace;
        let ordered = {
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let here = orders.by_model.get(base);
            pace = orders.all.pace.or(pace);
            pace = here.map_or(pace, |here| here.pace.or(pace));
            here.and_then(|here| here.fault.clone()).or_else(|| orders.all.fault.clone())
        };
        let fault = match (named, &ordered) {
            (Some(text), _) => {
                let fault: Fault = text.parse()?;
                let asked =
                    if fault.first.is_some() && counts { self.asked(model.unwrap_or_default()) } else { 0 };
                self.shows(&fault, seq, asked, counts).then(|| Arc::new(fault))
            }
            (None, Some(switch)) => self.switched(switch, seq, counts),
            (None, None) => self.switched(&self.switch, seq, counts),
        };
        let fault = fault.unwrap_or_else(|| Arc::clone(&self.none));
        Ok(Chosen { pace: fault.pace.or(pace), fault })
    }

    fn switched(&self, switch: &Switch, seq: u64, counts: bool) -> Option<Arc<Fault>> {
        let asked = if counts { switch.asked.fetch_add(1, Ordering::Relaxed) } else { 0 };
        self.shows(&switch.fault, seq, asked, counts).then(|| Arc::clone(&switch.fault))
    }

    fn shows(&self, fault: &Fault, seq: u64, asked: u64, counts: bool) -> bool {
        let in_time = fault.first.is_none_or(|first| counts && asked < first);
        let drawn = || Dice::of(self.seed, &[b"fault", &seq.to_le_bytes()]).unit();
        in_time && fault.rate.is_none_or(|rate| drawn() < rate)
    }

    /// How often this name was asked for before.
    fn asked(&self, name: &str) -> u64 {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMES && !named.contains_key(name) {
            named.clear();
        }
        let count = named.entry(name.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    /// Takes an order.
    ///
    /// # Errors
    /// Says what is wrong with it; nothing is changed then.
    pub(crate) fn order(&self, order: Order) -> Result<(), String> {
        let in_range =
            |value: Option<f64>, most: f64| value.is_none_or(|value| (0.0..=most).contains(&value));
        if !in_range(order.rate, 1.0) || !in_range(order.tokens_per_second, 1e9) {
            return Err("`rate` is from 0 to 1, `tokens_per_second` 0 or more".to_owned());
        }
        let fault = order.fault.as_deref().map(str::parse::<Fault>).transpose()?;
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = match order.model {
            None => &mut orders.all,
            Some(model) => {
                if orders.by_model.len() >= NAMES && !orders.by_model.contains_key(&model) {
                    return Err(format!("there are orders for {NAMES} models already"));
                }
                orders.by_model.entry(model).or_default()
            }
        };
        if let Some(mut fault) = fault {
            fault.rate = order.rate.or(fault.rate);
            standing.fault = Some(Arc::new(Switch::new(fault)));
        } else if let (Some(rate), Some(switch)) = (order.rate, &standing.fault) {
            let fault = Fault { rate: Some(rate), ..(*switch.fault).clone() };
            standing.fault = Some(Arc::new(Switch::new(fault)));
        } else if order.rate.is_some() {
            return Err("`rate` needs a `fault`, in this order or one before".to_owned());
        }
        let pace = Pace {
            first_token: order.first_token.map(|span| span.0),
            tokens_per_second: order.tokens_per_second,
            tokens: None,
        };
        standing.pace = pace.or(standing.pace);
        Ok(())
    }

    /// Forgets every order and every count.
    pub(crate) fn reset(&self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = Orders::default();
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.switch.asked.store(0, Ordering::Relaxed);
    }

    /// The orders that stand, the one for all models first.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let shown = |model: Option<&String>, standing: &Standing| Order {
            fault: standing.fault.as_ref().map(|switch| switch.fault.to_string()),
            first_token: standing.pace.first_token.map(Span),
            tokens_per_second: standing.pace.tokens_per_second,
            rate: None,
            model: model.cloned(),
        };
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let by_model = orders.by_model.iter().map(|(model, standing)| shown(Some(model), standing));
        std::iter::once(shown(None, &orders.all)).chain(by_model).collect()
    }
}

/// A model's name and the fault after its first `?`.
pub(crate) fn split(model: &str) -> (&str, Option<&str>) {
    match model.split_once('?') {
        Some((base, fault)) => (base, Some(fault)),
        None => (model, None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn chooser(fault: &str) -> Chooser {
        Chooser::new(&SimSettings { fault: fault.parse().unwrap(), ..SimSettings::default() })
    }

    fn shown(chooser: &Chooser, model: &str, seq: u64) -> String {
        chooser.choose(Some(model), seq, true).unwrap().fault.to_string()
    }

    #[test]
    fn the_name_goes_before_the_order_before_the_settings() {
        let chooser = chooser("status=500");
        assert_eq!(shown(&chooser, "a", 0), "status=500");
        chooser.order(Order { fault: Some("hang".to_owned()), ..Order::default() }).unwrap();
        assert_eq!(shown(&chooser, "a", 1), "hang");
        let only = Order { fault: Some(String::new()), model: Some("b".to_owned()), ..Order::default() };
        chooser.order(only).unwrap();
        assert_eq!(shown(&chooser, "b", 2), "");
        assert_eq!(shown(&chooser, "b?empty", 3), "empty");
        chooser.reset();
        assert_eq!(shown(&chooser, "b", 4), "status=500");
        assert!(chooser.choose(Some("b?bogus"), 5, true).unwrap_err().contains("bogus"));
    }

    #[test]
    fn rates_and_first_requests_are_kept() {
        let chooser = chooser("status=500,rate=0.3");
        let hits = (0..1000).filter(|seq| !shown(&chooser, "a", *seq).is_empty()).count();
        assert!((250..350).contains(&hits), "{hits}");
        let first = (0..5).filter(|seq| !shown(&chooser, "a?hang,first=2", *seq).is_empty()).count();
        assert_eq!(first, 2);
        chooser.order(Order { fault: Some("reset,first=1".to_owned()), ..Order::default() }).unwrap();
        assert!(chooser.choose(None, 0, false).unwrap().fault.ending.is_none());
        assert_eq!(shown(&chooser, "a", 0), "reset,first=1");
        assert_eq!(shown(&chooser, "a", 1), "");
    }

    #[test]
    fn paces_add_up() {
        let chooser = chooser("");
        let span = Some(Span(Duration::from_millis(200)));
        chooser.order(Order { first_token: span, ..Order::default() }).unwrap();
        let order = Order { tokens_per_second: Some(50.0), model: Some("a".to_owned()), ..Order::default() };
        chooser.order(order).unwrap();
        let pace = chooser.choose(Some("a?tps=10"), 0, true).unwrap().pace;
        assert_eq!(
            (pace.first_token, pace.tokens_per_second),
            (Some(Duration::from_millis(200)), Some(10.0))
        );
        assert_eq!(chooser.choose(Some("a"), 0, true).unwrap().pace.tokens_per_second, Some(50.0));
        assert_eq!(chooser.choose(Some("b"), 0, true).unwrap().pace.tokens_per_second, Some(0.0));
    }

    #[test]
    fn bad_orders_change_nothing() {
        let chooser = chooser("");
        for order in [
            Order { rate: Some(2.0), ..Order::default() },
            Order { rate: Some(0.5), ..Order::default() },
            Order { fault: Some("bogus".to_owned()), ..Order::default() },
        ] {
            chooser.order(order).unwrap_err();
        }
        assert_eq!(serde_json::to_string(&chooser.orders()).unwrap(), "[{}]");
    }
}
