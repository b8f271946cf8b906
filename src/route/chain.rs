//! From what a client names to the targets that are tried, in order.

use std::{ops::Deref, slice, sync::Arc};

use crate::{config::FallbackReason, metrics};

use super::{
    book::{Book, Cascade, Race, RouteEntry, Target},
    fit::Missing,
    order::{Rank, arrange},
};

/// How a client's words name the start of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedBy<'a> {
    /// By `model` in the body: a route, a model, or `provider/model`.
    Name(&'a str),
    /// By a route's name alone (`x-weir-route`).
    Route(&'a str),
    /// By the client's own list (`x-weir-models`, or `models` in the body).
    List(&'a [String]),
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A route.
    Route(Arc<RouteEntry>),
    /// A configured model, named directly.
    Model(Arc<Target>),
    /// A model pinned to its provider, with no fallback, beside the name that pins it.
    Pinned(Arc<Target>, Arc<str>),
}

impl Wanted {
    /// The route's or the model's name.
    fn name(&self) -> &Arc<str> {
        match self {
            Self::Route(route) => &route.name,
            Self::Model(target) | Self::Pinned(target, _) => &target.name,
        }
    }

    /// Whether a target is one of its own, rather than of a route behind it.
    pub fn has(&self, target: &Target) -> bool {
        match self {
            Self::Route(route) => route.has(target),
            Self::Model(own) | Self::Pinned(own, _) => own.name == target.name,
        }
    }
}

/// A name that stands for nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// The targets of one request, in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The route at the entry; a model's own name where one was named directly.
    pub route: Arc<str>,
    /// Every entry, each once: `route`, and the others where the client lists several. Budgets of all of them apply.
    pub routes: Entries,
    /// Whether `route` is a route of the configuration.
    pub configured: bool,
    /// The entry as metrics name it: `direct` where it is no route, since clients must not make new labels.
    pub label: Arc<str>,
    /// The targets, each once.
    pub targets: Vec<Arc<Target>>,
    /// The first target that may be tried: those before it have no budget left.
    pub start: usize,
    /// What comes instead of the rest where a route's last target failed for a reason of its own.
    pub turns: Vec<Turn>,
    /// Targets that were taken out because they lack what the request needs.
    pub skipped: Vec<(Arc<Target>, Missing)>,
    /// The most tries in all.
    pub max_attempts: usize,
    /// The most tries where the entry says nothing, repeats aside.
    pub most: usize,
    /// How tries may run beside each other.
    pub race: Race,
    /// Where whole answers go that fail their checks.
    pub cascade: Option<Cascade>,
    /// The fewest characters of an answer in words.
    pub least: usize,
    /// Fields of the entry route that apply where the client said nothing.
    pub defaults: Arc<[(String, String)]>,
}

/// Another way on from the end of a route, for one reason.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The last target of the route.
    pub behind: Arc<str>,
    /// For which reason.
    pub reason: FallbackReason,
    /// The targets there.
    pub targets: Vec<Arc<Target>>,
}

impl Book {
    /// What `name` stands for: a route, else a model, else `provider/model`.
    ///
    /// # Errors
    /// The name, where it stands for nothing.
    pub fn find(&self, name: &str) -> Result<Wanted, Unknown> {
        if let Some(route) = self.routes.get(name) {
            return Ok(Wanted::Route(Arc::clone(route)));
        }
        if let Some(target) = self.targets.get(name) {
            return Ok(Wanted::Model(Arc::clone(target)));
        }
        let pinned = self.pin(name).ok_or_else(|| Unknown(name.to_owned()))?;
        Ok(Wanted::Pinned(pinned, name.into()))
    }

    /// The route called `name`.
    ///
    /// # Errors
    /// The name, where there is no such route.
    pub fn route(&self, name: &str) -> Result<Wanted, Unknown> {
        self.routes.get(name).cloned().map(Wanted::Route).ok_or_else(|| Unknown(name.to_owned()))
    }

    /// Everything that `by` names, in order.
    ///
    /// # Errors
    /// The first name that stands for nothing.
    pub fn wanted(&self, by: WantedBy<'_>) -> Result<Vec<Wanted>, Unknown> {
        match by {
            WantedBy::Name(name) => Ok(vec![self.find(name)?]),
            WantedBy::Route(name) => Ok(vec![self.route(name)?]),
            WantedBy::List(names) => names.iter().map(|name| self.find(name)).collect(),
        }
    }

    /// The chain behind what a client wants. A list of several is the client's own: no fallback of ours stands
    /// behind it. `rank` says how targets do, `draw` gives numbers in [0, 1) for weighted routes.
    pub fn chain(
        &self,
        wanted: &[Wanted],
        rank: impl Fn(&Target) -> Rank,
        draw: impl FnMut() -> f64,
    ) -> Chain {
        let own_list = wanted.len() > 1;
        let mut way = Way { book: self, rank, draw, turns: Vec::new() };
        let mut targets = Vec::new();
        for item in wanted {
            match item {
                Wanted::Route(route) => {
                    way.add_route(route, &mut targets);
                    if !own_list {
                        way.add_turns(route, &targets);
                        way.add_fallbacks(route.fallback.as_deref(), &mut targets);
                    }
                }
                Wanted::Model(target) => {
                    if self.providers.get(&target.provider).is_some_and(|provider| provider.on) {
                        add(&mut targets, target);
                    }
                    if !own_list {
                        way.add_fallbacks(target.fallback.as_deref(), &mut targets);
                    }
                }
                Wanted::Pinned(target, _) => add(&mut targets, target),
            }
        }
        let Some(entry) = wanted.first() else { return Chain::empty() };
        let route = match entry {
            Wanted::Route(route) => Some(&**route),
            Wanted::Model(_) | Wanted::Pinned(..) => None,
        };
        let max = route.and_then(|route| route.max_attempts);
        let turns = way.turns;
        let max_attempts = max.map_or_else(|| default_tries(&targets, self.max_attempts), |max| max as usize);
        Chain {
            turns,
            route: Arc::clone(entry.name()),
            routes: Entries::of(wanted),
            configured: route.is_some(),
            label: Arc::clone(route.map_or(&self.direct, |route| &route.name)),
            targets,
            start: 0,
            skipped: Vec::new(),
            max_attempts,
            most: self.max_attempts,
            race: route.filter(|_| !own_list).map(|route| route.race).unwrap_or_default(),
            cascade: route.filter(|_| !own_list).and_then(|route| route.cascade.clone()),
            least: route.map_or(0, |route| route.least),
            defaults: route.map(|route| Arc::clone(&route.defaults)).unwrap_or_default(),
        }
    }

    /// `provider/model`, for a provider that is on; a configured model with that upstream name keeps its settings.
    fn pin(&self, name: &str) -> Option<Arc<Target>> {
        let (provider, model) = name.split_once('/')?;
        let (provider, entry) = self.providers.get_key_value(provider)?;
        if !entry.on || model.is_empty() {
            return None;
        }
        let known = |target: &&Arc<Target>| target.provider == *provider && &*target.upstream_model == model;
        Some(
            self.targets
                .values()
                .find(known)
                .map_or_else(|| Arc::new(entry.pinned(name, provider, model)), Arc::clone),
        )
    }
}

/// A walk along routes.
struct Way<'a, R, D> {
    book: &'a Book,
    rank: R,
    draw: D,
    turns: Vec<Turn>,
}

impl<R: Fn(&Target) -> Rank, D: FnMut() -> f64> Way<'_, R, D> {
    fn add_fallbacks(&mut self, first: Option<&str>, targets: &mut Vec<Arc<Target>>) {
        let mut next = first;
        // A checked configuration has no cycles; the bound holds even for one that is not checked.
        for _ in 0..self.book.routes.len() {
            let Some(route) = next.and_then(|name| self.book.routes.get(name)) else {
                return;
            };
            self.add_route(route, targets);
            self.add_turns(route, targets);
            next = route.fallback.as_deref();
        }
    }

    fn add_route(&mut self, route: &RouteEntry, targets: &mut Vec<Arc<Target>>) {
        if let [(only, _)] = &route.targets[..] {
            // However it does, nothing comes before it.
            return add(targets, only);
        }
        let arranged = arrange(route.order, &route.weights, &route.targets, &self.rank, &mut self.draw);
        arranged.iter().for_each(|target| add(targets, target));
    }

    /// The other ways on from a route whose targets stand at the end of `targets`. They lead along fallbacks alone,
    /// so none leads back here for ever.
    fn add_turns(&mut self, route: &RouteEntry, targets: &[Arc<Target>]) {
        let Some(last) = targets.last() else { return };
        for (reason, next) in &route.fallback_on {
            let mut there = Vec::new();
            let mut next = Some(&**next);
            for _ in 0..self.book.routes.len() {
                let Some(route) = next.and_then(|name| self.book.routes.get(name)) else { break };
                self.add_route(route, &mut there);
                next = route.fallback.as_deref();
            }
            self.turns.push(Turn { behind: Arc::clone(&last.name), reason: *reason, targets: there });
        }
    }
}

impl Chain {
    fn empty() -> Self {
        Self {
            route: "none".into(),
            routes: Entries::default(),
            configured: false,
            label: metrics::DIRECT.into(),
            targets: Vec::new(),
            turns: Vec::new(),
            start: 0,
            skipped: Vec::new(),
            max_attempts: 0,
            most: 0,
            race: Race::default(),
            cascade: None,
            least: 0,
            defaults: Arc::default(),
        }
    }

    /// The chain with nothing behind its first target (`x-weir-fallback: off`).
    pub fn without_fallback(mut self) -> Self {
        self.targets.truncate(1);
        self.turns.clear();
        self.cascade = None;
        self.max_attempts = self.max_attempts.min(default_tries(&self.targets, self.most));
        self
    }

    /// The chain of an answer that has to be better than the last one: only the own targets of `route`, one after the
    /// other, without those that `had` their turn.
    pub fn escalated(mut self, route: &RouteEntry, had: impl Fn(&Target) -> bool) -> Self {
        self.targets.retain(|target| route.has(target) && !had(target));
        self.turns.clear();
        self.race = Race::default();
        self.cascade = None;
        self.max_attempts = self.max_attempts.min(default_tries(&self.targets, self.most));
        self
    }

    /// The chain with this target before the others of its route, `own`, if it is one of them.
    pub fn led_by(mut self, name: &str, own: &RouteEntry) -> Self {
        let count = self.targets.iter().take_while(|target| own.has(target)).count();
        let Some(at) = self.targets[..count].iter().position(|target| &*target.name == name) else {
            return self;
        };
        self.targets[..=at].rotate_right(1);
        // Another way on is behind the last of the route, which may be another one now.
        let last = &self.targets[count - 1].name;
        self.turns
            .iter_mut()
            .filter(|turn| &*turn.behind == name)
            .for_each(|turn| turn.behind = Arc::clone(last));
        self
    }

    /// The chain without the targets that lack what the request needs; those are kept aside.
    pub fn fitting(mut self, fits: impl Fn(&Target) -> Result<(), Missing>) -> Self {
        let by_count = self.max_attempts == default_tries(&self.targets, self.most);
        for turn in &mut self.turns {
            turn.targets.retain(|target| fits(target).is_ok());
        }
        let skipped = &mut self.skipped;
        self.targets.retain(|target| match fits(target) {
            Ok(()) => true,
            Err(missing) => {
                skipped.push((Arc::clone(target), missing));
                false
            }
        });
        if by_count {
            // As many tries as targets: one that is not tried leaves no second try to another.
            self.max_attempts = default_tries(&self.targets, self.most);
        }
        self
    }
}

/// The tries of a chain whose entry says nothing: one a target, at most `most`, with the repeats that targets have.
fn default_tries(targets: &[Arc<Target>], most: usize) -> usize {
    let repeats: usize = targets.iter().map(|target| target.retries as usize).sum();
    targets.len().min(most) + repeats
}

/// The names of entries, each once.
#[derive(Clone, Debug)]
pub enum Entries {
    /// One, as nearly all requests have.
    One(Arc<str>),
    /// Those of a list, or none.
    Several(Arc<[Arc<str>]>),
}

impl Entries {
    /// The names of what is wanted.
    fn of(wanted: &[Wanted]) -> Self {
        if let [only] = wanted {
            return Self::One(Arc::clone(only.name()));
        }
        let mut names: Vec<Arc<str>> = Vec::with_capacity(wanted.len());
        for item in wanted {
            if !names.contains(item.name()) {
                names.push(Arc::clone(item.name()));
            }
        }
        Self::Several(names.into())
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::Several(Arc::default())
    }
}

impl Deref for Entries {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        match self {
            Self::One(name) => slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

fn add(targets: &mut Vec<Arc<Target>>, target: &Arc<Target>) {
    if !targets.iter().any(|known| known.name == target.name) {
        targets.push(Arc::clone(target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_enters_by_each_of_its_names_once() {
        let book = book();
        let list = ["cheap", "a", "best", "cheap"].map(str::to_owned);
        let wanted = book.wanted(WantedBy::List(&list)).unwrap();
        assert_eq!(
            book.chain(&wanted, |_| Rank::default(), || 0.0).routes[..],
            ["cheap", "a", "best"].map(Arc::from)
        );
        let one = book.wanted(WantedBy::Name("best")).unwrap();
        assert_eq!(book.chain(&one, |_| Rank::default(), || 0.0).routes[..], [Arc::from("best")]);
    }

    fn book() -> Book {
        let config = serde_json::from_value(serde_json::json!({
            "providers": { "one": {}, "two": {}, "dead": {} },
            "models": {
                "a": { "provider": "one", "fallback": "cheap" },
                "b": { "provider": "two", "upstream_model": "B-1" },
                "c": { "provider": "one" },
                "d": { "provider": "dead", "fallback": "cheap" },
            },
            "routes": {
                "best": { "targets": ["a", "d", "b"], "fallback": "cheap" },
                "cheap": { "targets": ["b", "c"] },
                "mixed": { "targets": [{ "model": "a", "weight": 3 }, "c"], "order": "weighted" },
                "few": { "targets": ["a", "b"], "max_attempts": 1, "fallback": "cheap" },
            },
        }));
        Book::compile(&config.unwrap(), |provider| provider != "dead")
    }

    fn names(book: &Book, by: WantedBy<'_>) -> Vec<String> {
        let wanted = book.wanted(by).unwrap();
        book.chain(&wanted, |_| Rank::default(), || 0.0)
            .targets
            .iter()
            .map(|target| target.name.to_string())
            .collect()
    }

    #[test]
    fn what_stands_behind_is_not_ones_own() {
        let book = book();
        for (name, own) in [("best", "ab"), ("cheap", "bc"), ("a", "a"), ("one/x", ""), ("two/B-1", "b")] {
            let wanted = book.find(name).unwrap();
            let has: String = book.targets().filter(|t| wanted.has(t)).map(|t| &*t.name).collect();
            assert_eq!(has, own, "{name}");
        }
    }

    #[test]
    fn a_route_goes_on_with_its_fallback_and_tries_nothing_twice() {
        assert_eq!(names(&book(), WantedBy::Name("best")), ["a", "b", "c"]);
        assert_eq!(names(&book(), WantedBy::Route("cheap")), ["b", "c"]);
        assert_eq!(book().wanted(WantedBy::Route("a")).unwrap_err(), Unknown("a".into()));
    }

    #[test]
    fn a_model_goes_on_with_its_own_fallback() {
        assert_eq!(names(&book(), WantedBy::Name("a")), ["a", "b", "c"]);
        assert_eq!(names(&book(), WantedBy::Name("c")), ["c"]);
        assert_eq!(names(&book(), WantedBy::Name("d")), ["b", "c"]);
    }

    #[test]
    fn a_pinned_model_has_no_fallback() {
        assert_eq!(names(&book(), WantedBy::Name("one/anything/else")), ["one/anything/else"]);
        assert_eq!(names(&book(), WantedBy::Name("two/B-1")), ["b"]);
        for unknown in ["nobody/x", "one/", "x", "dead/x", ""] {
            assert!(book().wanted(WantedBy::Name(unknown)).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_clients_list_is_its_own() {
        let list = ["c".to_owned(), "best".to_owned()];
        assert_eq!(names(&book(), WantedBy::List(&list)), ["c", "a", "b"]);
        assert!(book().wanted(WantedBy::List(&["c".to_owned(), "x".to_owned()])).is_err());
    }

    #[test]
    fn the_entry_route_bounds_the_tries() {
        let book = book();
        let chain =
            |name| book.chain(&book.wanted(WantedBy::Name(name)).unwrap(), |_| Rank::default(), || 0.0);
        assert_eq!(chain("few").max_attempts, 1);
        assert_eq!(chain("best").max_attempts, 3);
        assert_eq!(chain("best").without_fallback().targets.len(), 1);
    }

    #[test]
    fn a_target_can_lead_its_own_route_alone() {
        let config = serde_json::from_value(serde_json::json!({
            "providers": { "p": {} },
            "models": { "a": { "provider": "p" }, "b": { "provider": "p" }, "c": { "provider": "p" } },
            "routes": {
                "best": { "targets": ["a", "b"], "fallback": "cheap", "fallback_on": { "timeout": "cheap" } },
                "cheap": { "targets": ["c"] },
            },
        }));
        let book = Book::compile(&config.unwrap(), |_| true);
        let wanted = book.wanted(WantedBy::Name("best")).unwrap();
        let [Wanted::Route(best)] = &wanted[..] else { panic!("best is a route") };
        let led = |name: &str| {
            let chain = book.chain(&wanted, |_| Rank::default(), || 0.0).led_by(name, best);
            let names: String = chain.targets.iter().map(|target| &*target.name).collect();
            (names, chain.turns[0].behind.to_string())
        };
        assert_eq!(led("a"), ("abc".into(), "b".into()));
        assert_eq!(led("b"), ("bac".into(), "a".into()));
        assert_eq!((led("c"), led("x")), (led("a"), led("a")));
    }

    #[test]
    fn weights_decide_the_share() {
        let book = book();
        let wanted = book.wanted(WantedBy::Name("mixed")).unwrap();
        let first = |draw: f64| book.chain(&wanted, |_| Rank::default(), || draw).targets[0].name.to_string();
        assert_eq!([first(0.0), first(0.74), first(0.76), first(0.999)], ["a", "a", "c", "c"]);
    }
}
