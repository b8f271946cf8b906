//! Fingerprints of the parts of a configuration that answers depend on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::config::{Config, Provider};

use super::key::{Epoch, Parts};

/// The fingerprint of everything that a client can name.
#[derive(Debug, Default)]
pub struct Epochs {
    routes: BTreeMap<String, Epoch>,
    models: BTreeMap<String, Epoch>,
    providers: BTreeMap<String, Epoch>,
}

impl Epochs {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let each = |names: Vec<&String>, start: fn(&mut Reach<'_>, &str)| {
            let epoch = |name: &String| {
                let mut reach = Reach::new(config);
                start(&mut reach, name);
                (name.clone(), reach.parts.finish())
            };
            names.into_iter().map(epoch).collect()
        };
        Self {
            routes: each(config.routes.keys().collect(), |reach, name| reach.route(name)),
            models: each(config.models.keys().collect(), |reach, name| {
                reach.model(name);
                reach.behind(name);
            }),
            providers: each(config.providers.keys().collect(), |reach, name| reach.provider(name)),
        }
    }

    /// That of a route.
    pub fn route(&self, name: &str) -> Epoch {
        self.routes.get(name).copied().unwrap_or_default()
    }

    /// That of a model which is named directly.
    pub fn model(&self, name: &str) -> Epoch {
        self.models.get(name).copied().unwrap_or_default()
    }

    /// That of a provider, to which a model is pinned.
    pub fn provider(&self, name: &str) -> Epoch {
        self.providers.get(name).copied().unwrap_or_default()
    }
}

/// Everything that can be reached from a name, each once.
struct Reach<'a> {
    config: &'a Config,
    parts: Parts,
    seen: BTreeSet<(&'static str, &'a str)>,
}

impl<'a> Reach<'a> {
    fn new(config: &'a Config) -> Self {
        Self { config, parts: Parts::default(), seen: BTreeSet::new() }
    }

    fn route(&mut self, name: &str) {
        let Some((name, route)) = self.config.routes.get_key_value(name) else { return };
        if !self.seen.insert(("route", name)) {
            return;
        }
        self.put("route", name, route);
        route.targets.iter().for_each(|target| self.model(target.model()));
        route.fallback.iter().chain(route.fallback_on.values()).for_each(|next| self.route(next));
    }

    fn model(&mut self, name: &str) {
        let Some((name, model)) = self.config.models.get_key_value(name) else { return };
        if self.seen.insert(("model", name)) {
            self.put("model", name, model);
            self.provider(&model.provider);
        }
    }

    /// What stands behind a model that a client names.
    fn behind(&mut self, name: &str) {
        if let Some(next) = self.config.models.get(name).and_then(|model| model.fallback.as_ref()) {
            self.route(next);
        }
    }

    fn provider(&mut self, name: &str) {
        let Some((name, provider)) = self.config.providers.get_key_value(name) else { return };
        if self.seen.insert(("provider", name)) {
            // Which key pays says nothing of the answer.
            self.put("provider", name, &Provider { api_keys: None, ..provider.clone() });
            // Written down, these say where they come from at most.
            for header in provider.headers.values() {
                let value = header.resolve().ok().flatten();
                self.parts.put(value.as_ref().map_or(b"", |value| value.expose().as_bytes()));
            }
        }
    }

    fn put(&mut self, kind: &str, name: &str, settings: &impl Serialize) {
        self.parts.put(kind.as_bytes());
        self.parts.put(name.as_bytes());
        let json = serde_json::to_vec(settings).expect("settings are plain data");
        self.parts.put(&json);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Value {
        json!({
            "providers": { "p": { "base_url": "http://p/v1" }, "q": { "base_url": "http://q/v1", "headers": { "beta": "a" } } },
            "models": { "a": { "provider": "p" }, "b": { "provider": "q", "fallback": "last" } },
            "routes": {
                "one": { "targets": ["a"], "fallback": "two" }, "two": { "targets": ["b"] },
                "last": { "targets": ["a"] },
            },
        })
    }

    fn epochs(config: &Value) -> [(&'static str, Epoch); 6] {
        let epochs = Epochs::of(&serde_json::from_value(config.clone()).unwrap());
        [
            ("one", epochs.route("one")),
            ("two", epochs.route("two")),
            ("last", epochs.route("last")),
            ("a", epochs.model("a")),
            ("b", epochs.model("b")),
            ("q", epochs.provider("q")),
        ]
    }

    #[test]
    fn a_change_counts_for_what_depends_on_it() {
        let before = epochs(&config());
        for (pointer, value, changed) in [
            ("/providers/q/base_url", json!("http://r/v1"), vec!["one", "two", "b", "q"]),
            ("/providers/p/base_url", json!("http://r/v1"), vec!["one", "last", "a", "b"]),
            ("/routes/two", json!({ "targets": ["b"], "defaults": { "seed": 1 } }), vec!["one", "two"]),
            ("/routes/last", json!({ "targets": ["b"] }), vec!["last", "b"]),
            ("/models/a", json!({ "provider": "p", "upstream_model": "x" }), vec!["one", "last", "a", "b"]),
            (
                "/providers/q",
                json!({ "base_url": "http://q/v1", "headers": { "beta": "a" }, "api_keys": ["env:OTHER"] }),
                vec![],
            ),
            ("/providers/q/headers/beta", json!("b"), vec!["one", "two", "b", "q"]),
        ] {
            let mut after = config();
            *after.pointer_mut(pointer).unwrap() = value;
            let after = epochs(&after);
            let differ = before.iter().zip(&after).filter(|(before, after)| before != after);
            assert_eq!(differ.map(|(before, _)| before.0).collect::<Vec<_>>(), changed, "{pointer}");
        }
    }
}
