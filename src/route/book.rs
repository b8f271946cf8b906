//! A configuration's routes, compiled for look-up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config::{Capabilities, Config, FallbackReason, HedgeAfter, Model, Order, Provider, Route, Weights},
    metrics::{DIRECT, OTHER},
    price::{Catalogue, Price},
    quality::Checks,
};

/// A model at its provider: what a chain consists of.
#[derive(Debug, PartialEq)]
pub struct Target {
    /// Its name in the configuration; `provider/model` for one that a client pinned.
    pub name: Arc<str>,
    /// The name of its provider.
    pub provider: Arc<str>,
    /// The provider's own name for it.
    pub upstream_model: Arc<str>,
    /// Whether it stands in the configuration; metrics count any other as `other`.
    pub configured: bool,
    /// What its tokens cost, where known.
    pub price: Option<Arc<Price>>,
    /// What it can do, where known.
    pub capabilities: Capabilities,
    /// How good its answers are, 0 to 1, where the configuration says so.
    pub quality: Option<f64>,
    /// Tokens of question and answer together, where known.
    pub context_window: Option<u64>,
    /// Tokens of an answer, where known.
    pub max_output_tokens: Option<u64>,
    /// Text put before the system prompt.
    pub system_prefix: Option<Arc<str>>,
    /// How long its first token may take, where it differs from the provider's.
    pub first_byte_timeout: Option<Duration>,
    /// Repeat tries before moving on.
    pub retries: u32,
    /// The route behind it when a client names it directly.
    pub fallback: Option<Arc<str>>,
}

impl Target {
    /// Its label in metrics; clients cannot make new ones.
    pub fn label(&self) -> &str {
        if self.configured { &self.name } else { OTHER }
    }
}

/// A route as the chain builder needs it.
#[derive(Debug)]
pub struct RouteEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its targets that are on, each with its weight.
    pub targets: Vec<(Arc<Target>, f64)>,
    /// How they are ordered.
    pub order: Order,
    /// What `order = "balanced"` weighs.
    pub weights: Weights,
    /// The route behind it.
    pub fallback: Option<Arc<str>>,
    /// Other routes behind it, by the reason of the last failure.
    pub fallback_on: Vec<(FallbackReason, Arc<str>)>,
    /// The most tries of a request that enters here, where configured.
    pub max_attempts: Option<u32>,
    /// How tries may run beside each other.
    pub race: Race,
    /// Where answers go that fail their checks.
    pub cascade: Option<Cascade>,
    /// The fewest characters of an answer in words.
    pub least: usize,
    /// Fields put in where the client said nothing, as JSON.
    pub defaults: Arc<[(String, String)]>,
}

/// How the tries of a request may run beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// How many start at once.
    pub parallel: usize,
    /// When another one starts beside one that is silent.
    pub hedge_after: HedgeAfter,
    /// Whether that holds for requests that are no streams too.
    pub hedge_non_stream: bool,
}

/// What becomes of whole answers that fail their checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// The checks that decide.
    pub on: Checks,
    /// The route whose own targets answer then.
    pub to: Arc<str>,
}

impl Cascade {
    /// What a route says, if it says it whole.
    fn of(route: &Route) -> Option<Self> {
        let on: Checks = route.escalate_on.iter().copied().collect();
        let to = route.escalate_to.as_deref().filter(|_| !on.is_empty())?;
        Some(Self { on, to: to.into() })
    }
}

impl RouteEntry {
    /// Whether a target is one of its own, rather than of a route behind it.
    pub fn has(&self, target: &Target) -> bool {
        self.targets.iter().any(|(own, _)| own.name == target.name)
    }
}

impl Default for Race {
    fn default() -> Self {
        Self { parallel: 1, hedge_after: HedgeAfter::Never, hedge_non_stream: false }
    }
}

impl Race {
    /// Whether another try may start beside one that is silent.
    pub fn hedges(&self, stream: bool) -> bool {
        self.hedge_after != HedgeAfter::Never && (stream || self.hedge_non_stream)
    }
}

/// All routes and targets by name.
#[derive(Debug, Default)]
pub struct Book {
    pub(super) routes: BTreeMap<Arc<str>, Arc<RouteEntry>>,
    pub(super) targets: BTreeMap<Arc<str>, Arc<Target>>,
    pub(super) providers: BTreeMap<Arc<str>, ProviderEntry>,
    /// The most tries of a request where its route says nothing.
    pub(super) max_attempts: usize,
    /// How metrics name what is no route.
    pub(super) direct: Arc<str>,
}

/// What the chain builder knows of a provider.
#[derive(Debug)]
pub(super) struct ProviderEntry {
    /// Whether it is on.
    pub(super) on: bool,
    settings: Provider,
}

impl ProviderEntry {
    /// A target for a model that does not stand in the configuration.
    pub(super) fn pinned(&self, name: &str, provider: &Arc<str>, upstream: &str) -> Target {
        let known = Catalogue::shipped().of_upstream(upstream, &self.settings).unwrap_or_default();
        Target {
            name: name.into(),
            provider: Arc::clone(provider),
            upstream_model: upstream.into(),
            configured: false,
            price: known.price.map(Arc::new),
            capabilities: known.capabilities,
            quality: None,
            context_window: known.context_window,
            max_output_tokens: known.max_output_tokens,
            system_prefix: None,
            first_byte_timeout: None,
            retries: 0,
            fallback: None,
        }
    }
}

impl Book {
    /// Compiles a checked configuration; targets of a provider that `is_on` denies are left out of the routes.
    pub fn compile(config: &Config, is_on: impl Fn(&str) -> bool) -> Self {
        let targets: BTreeMap<Arc<str>, Arc<Target>> = config
            .models
            .iter()
            .map(|(name, model)| (name.as_str().into(), Arc::new(target(name, model, config))))
            .collect();
        let routes = config.routes.iter().map(|(name, route)| {
            let listed = route.targets.iter().filter_map(|listed| {
                let target = targets.get(listed.model())?;
                is_on(&target.provider).then(|| (Arc::clone(target), listed.weight()))
            });
            let entry = RouteEntry {
                name: name.as_str().into(),
                targets: listed.collect(),
                order: route.order,
                weights: route.weights,
                fallback: route.fallback.as_deref().map(Into::into),
                fallback_on: route
                    .fallback_on
                    .iter()
                    .map(|(reason, next)| (*reason, next.as_str().into()))
                    .collect(),
                max_attempts: route.max_attempts,
                race: Race {
                    parallel: route.parallel.unwrap_or(1),
                    hedge_after: route.hedge_after,
                    hedge_non_stream: route.hedge_non_stream,
                },
                cascade: Cascade::of(route),
                least: route.min_answer_chars as usize,
                defaults: route
                    .defaults
                    .iter()
                    .map(|(name, json)| (name.clone(), json.to_string()))
                    .collect(),
            };
            (name.as_str().into(), Arc::new(entry))
        });
        let routes = routes.collect();
        let providers = config.providers.iter().map(|(name, settings)| {
            (name.as_str().into(), ProviderEntry { on: is_on(name), settings: settings.clone() })
        });
        let providers = providers.collect();
        Self {
            routes,
            targets,
            providers,
            max_attempts: config.retry.max_attempts as usize,
            direct: DIRECT.into(),
        }
    }

    /// All routes, by name.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.routes.values()
    }

    /// The configured target of that name.
    pub fn target(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.get(name)
    }

    /// All configured targets, by name.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.values()
    }
}

fn target(name: &str, model: &Model, config: &Config) -> Target {
    let provider = config.providers.get(&model.provider);
    let known = provider.map(|provider| Catalogue::shipped().of(name, model, provider)).unwrap_or_default();
    Target {
        name: name.into(),
        provider: model.provider.as_str().into(),
        upstream_model: model.upstream_model.as_deref().unwrap_or(name).into(),
        configured: true,
        price: known.price.map(Arc::new),
        capabilities: known.capabilities,
        quality: model.quality,
        context_window: known.context_window,
        max_output_tokens: known.max_output_tokens,
        system_prefix: model.system_prefix.as_deref().map(Into::into),
        first_byte_timeout: model.first_byte_timeout.map(|span| span.0),
        retries: model.retries,
        fallback: model.fallback.as_deref().map(Into::into),
    }
}
