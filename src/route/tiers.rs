//! Which route stands behind the model name `auto`.

use std::{collections::BTreeMap, sync::Arc};

use crate::config::Classifier;

use super::book::{Book, RouteEntry};

/// The name that asks for a route to be chosen.
pub const AUTO: &str = "auto";

/// Other names of tiers, for those who think in the weight of their work.
const ALIASES: [(&str, &str); 3] = [("critical", "premium"), ("balanced", "standard"), ("bulk", "budget")];

/// The routes behind `auto`.
#[derive(Debug)]
pub struct Tiers {
    /// Each with the complexity from which it serves, the hardest first.
    tiers: Vec<(u8, Arc<RouteEntry>)>,
    tasks: BTreeMap<Arc<str>, Arc<RouteEntry>>,
    languages: BTreeMap<Arc<str>, Arc<RouteEntry>>,
}

/// What is known of a request when its route is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nature<'a> {
    /// The tier that the client named.
    pub tier: Option<&'a Arc<RouteEntry>>,
    /// The task, by the client or else by the classifier.
    pub task: &'a str,
    /// The language, where it was looked for.
    pub language: Option<&'a str>,
    /// How hard it is, 1 to 10.
    pub complexity: u8,
}

/// The choice.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The route.
    pub route: Arc<RouteEntry>,
    /// The tier; `None` where a task or a language has a route of its own.
    pub tier: Option<Arc<str>>,
}

impl Tiers {
    /// The tiers of a checked configuration; `None` where there are none.
    pub fn compile(config: &Classifier, book: &Book) -> Option<Self> {
        let route = |name: &str| book.routes.get(name).cloned();
        let named = |routes: &BTreeMap<String, String>| {
            let routes = routes.iter().filter_map(|(name, to)| Some((name.as_str().into(), route(to)?)));
            routes.collect()
        };
        let tiers = config.tiers.iter().filter_map(|tier| Some((tier.min, route(&tier.route)?)));
        let mut tiers: Vec<(u8, Arc<RouteEntry>)> = tiers.collect();
        tiers.sort_by_key(|(min, _)| std::cmp::Reverse(*min));
        (!tiers.is_empty()).then(|| Self {
            tiers,
            tasks: named(&config.tasks),
            languages: named(&config.languages),
        })
    }

    /// The tier that a client names.
    pub fn named(&self, name: &str) -> Option<&Arc<RouteEntry>> {
        let find = |name: &str| self.tiers.iter().map(|(_, route)| route).find(|route| *route.name == *name);
        find(name).or_else(|| find(ALIASES.into_iter().find(|(alias, _)| *alias == name)?.1))
    }

    /// The names of all tiers, the hardest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().map(|(_, route)| &*route.name)
    }

    /// The complexity from which the tier of this name serves; 0: there is none.
    pub fn least(&self, name: &str) -> u8 {
        self.tiers.iter().find(|(_, route)| *route.name == *name).map_or(0, |(min, _)| *min)
    }

    /// The route of this name, if it stands behind `auto`.
    pub fn route(&self, name: &str) -> Option<&Arc<RouteEntry>> {
        let tiers = self.tiers.iter().map(|(_, route)| route);
        let all = tiers.chain(self.tasks.values()).chain(self.languages.values());
        all.into_iter().find(|route| *route.name == *name)
    }

    /// Whether a language can decide.
    pub fn minds_language(&self) -> bool {
        !self.languages.is_empty()
    }

    /// Whether the configuration names the task.
    pub fn has_task(&self, task: &str) -> bool {
        self.tasks.contains_key(task)
    }

    /// The route for a request: the tier that its client named, else the route of its task, of its language, else
    /// the tier for its complexity.
    pub fn pick(&self, nature: &Nature<'_>) -> Pick {
        let tier =
            |route: &Arc<RouteEntry>| Pick { route: Arc::clone(route), tier: Some(Arc::clone(&route.name)) };
        if let Some(route) = nature.tier {
            return tier(route);
        }
        let of_language = || self.languages.get(nature.language?);
        if let Some(route) = self.tasks.get(nature.task).or_else(of_language) {
            return Pick { route: Arc::clone(route), tier: None };
        }
        let fits = |(min, _): &&(u8, Arc<RouteEntry>)| *min <= nature.complexity;
        let (_, route) = self
            .tiers
            .iter()
            .find(fits)
            .or_else(|| self.tiers.last())
            .expect("tiers are compiled only if there is one");
        tier(route)
    }

    /// The tiers above the one of this name, the easiest first: where it lacks what a request needs.
    pub fn above(&self, name: &str) -> impl Iterator<Item = Pick> {
        let at = self.tiers.iter().position(|(_, route)| *route.name == *name).unwrap_or(0);
        self.tiers[..at]
            .iter()
            .rev()
            .map(|(_, route)| Pick { route: Arc::clone(route), tier: Some(Arc::clone(&route.name)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn tiers() -> Tiers {
        let route = || serde_json::json!({ "targets": ["m"] });
        let config: Config = serde_json::from_value(serde_json::json!({
            "providers": { "p": {} },
            "models": { "m": { "provider": "p" } },
            "routes": { "premium": route(), "middle": route(), "low": route(), "code": route(), "kimi": route() },
            "classifier": {
                "tiers": [
                    { "min": 1, "route": "low" }, { "min": 8, "route": "premium" }, { "min": 4, "route": "middle" },
                ],
                "tasks": { "code_generation": "code", "legal": "premium" },
                "languages": { "zh": "kimi" },
            },
        }))
        .unwrap();
        let book = Book::compile(&config, |_| true);
        assert!(Tiers::compile(&Classifier::default(), &book).is_none());
        Tiers::compile(&config.classifier, &book).unwrap()
    }

    #[test]
    fn complexity_falls_into_the_highest_tier_that_it_reaches() {
        let tiers = tiers();
        let by = |complexity| tiers.pick(&Nature { complexity, ..Nature::default() }).route.name.to_string();
        let picked: Vec<String> = (0..=10).map(by).collect();
        let expected = [vec!["low"; 4], vec!["middle"; 4], vec!["premium"; 3]].concat();
        assert_eq!(picked, expected);
        assert_eq!(tiers.names().collect::<Vec<_>>(), ["premium", "middle", "low"]);
        let above: Vec<Pick> = tiers.above("low").collect();
        assert_eq!(above.iter().map(|pick| &*pick.route.name).collect::<Vec<_>>(), ["middle", "premium"]);
        assert_eq!((tiers.above("premium").count(), tiers.above("code").count()), (0, 0));
    }

    #[test]
    fn the_tier_goes_before_the_task_before_the_language() {
        let tiers = tiers();
        let picked = |tier: Option<&str>, task, language| {
            let tier = tier.map(|name| tiers.named(name).unwrap());
            let pick = tiers.pick(&Nature { tier, task, language, complexity: 5 });
            (pick.route.name.to_string(), pick.tier.map(|tier| tier.to_string()))
        };
        let tier = |name: &str| (name.to_owned(), Some(name.to_owned()));
        assert_eq!(picked(Some("low"), "code_generation", Some("zh")), tier("low"));
        assert_eq!(picked(Some("critical"), "chat", None), tier("premium"));
        assert_eq!(picked(None, "code_generation", Some("zh")), ("code".into(), None));
        assert_eq!(picked(None, "legal", None), ("premium".into(), None));
        assert_eq!(picked(None, "unheard_of", Some("zh")), ("kimi".into(), None));
        assert_eq!(picked(None, "chat", Some("de")), tier("middle"));
        for unknown in ["bulk", "balanced", "code", "auto", ""] {
            assert!(tiers.named(unknown).is_none(), "{unknown}");
        }
    }
}
