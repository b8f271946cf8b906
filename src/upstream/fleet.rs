//! The providers of a configuration as running units, which a reload keeps where nothing changed.

mod comeback;
mod vitals;

pub use vitals::Vitals;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    base::{map::NameMap, secret::Secret},
    config::{Config, HealthCheck, Protocol, Provider},
    health::{Hedges, ProviderHealth, RetryBudget, Status, TargetHealth},
    metrics::{DIRECT, Metrics, NONE, OTHER, TargetMetrics},
    news::Bell,
    quality::Rolling,
    route::{Rank, Target},
};

use super::{
    credentials::Standing,
    unit::Unit,
    ward::{Patient, tell_of_provider},
};

/// What tries on a target work with.
#[derive(Debug)]
pub struct Post {
    /// Its provider.
    pub unit: Arc<Unit>,
    /// Its metrics.
    pub metrics: Arc<TargetMetrics>,
    /// Its health.
    pub patient: Arc<Patient>,
    /// How many repeated tries its provider gets.
    pub repeats: Arc<RetryBudget>,
}

/// All units by provider, with the metrics of all targets.
#[derive(Debug, Default)]
pub struct Fleet {
    units: BTreeMap<Arc<str>, Arc<Unit>>,
    targets: BTreeMap<Arc<str>, Arc<TargetMetrics>>,
    others: BTreeMap<Arc<str>, Arc<TargetMetrics>>,
    /// The configured models: name, provider, the provider's own name.
    models: Vec<[Arc<str>; 3]>,
    /// By target; one a provider for models that only clients name, under the provider's name with a slash.
    patients: BTreeMap<Arc<str>, Arc<Patient>>,
    connections: BTreeMap<Arc<str>, Arc<ProviderHealth>>,
    /// The providers without their keys.
    off: Vec<Arc<str>>,
    /// By target: those that it shares a route with, itself too.
    peers: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    repeats: BTreeMap<Arc<str>, Arc<RetryBudget>>,
    /// By configured target, all of the above: a request looks there once.
    posts: NameMap<Arc<str>, Arc<Post>>,
    hedges: Arc<Hedges>,
    /// Whether targets that mostly fail come behind others.
    demotes: bool,
    simulated: bool,
}

impl Fleet {
    /// Builds the units; those of `before` whose settings and keys are the same go on with their connections.
    ///
    /// Where every provider lacks its keys, the simulated provider answers in their place.
    ///
    /// # Errors
    /// Every provider that cannot be built, with the reason.
    pub fn build(
        config: &Config,
        before: Option<&Self>,
        metrics: &Metrics,
        bell: &Bell,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut keys = BTreeMap::new();
        for (name, provider) in &config.providers {
            match provider.resolve_keys() {
                Ok(found) => drop(keys.insert(name.as_str(), found)),
                Err(error) => faults.push(format!("providers.{name}.api_keys: {error}")),
            }
        }
        let off = |found: &Option<Vec<Secret>>| found.as_ref().is_some_and(Vec::is_empty);
        let simulated = !keys.is_empty() && keys.values().all(off);
        if simulated && before.is_some_and(|fleet| !fleet.simulated) {
            // A reload must not turn real answers into made-up ones.
            faults.push("providers: the keys of all of them are unset now".to_owned());
        }
        let mut fleet = Self { simulated, demotes: config.breaker.enabled, ..Self::default() };
        for (name, found) in keys {
            let on = simulated || !off(&found);
            if !on {
                fleet.off.push(name.into());
                continue;
            }
            let settings = &config.providers[name];
            let settings = if simulated { stand_in(settings) } else { settings.clone() };
            match fleet.unit(name, settings, found.unwrap_or_default(), before, (metrics, bell)) {
                Ok(unit) => drop(fleet.units.insert(name.into(), unit)),
                Err(error) => faults.push(format!("providers.{name}: {error}")),
            }
        }
        fleet.add_metrics(config, metrics);
        fleet.add_health(config, before, metrics, bell);
        fleet.add_peers(config);
        if !faults.is_empty() {
            return Err(faults);
        }
        // Who reloads may have paid a bill, or had a key made good.
        fleet.units.values().for_each(|unit| unit.credentials.pardon());
        fleet.name_models();
        fleet.add_posts();
        Ok(fleet)
    }

    fn unit(
        &self,
        name: &str,
        settings: Provider,
        keys: Vec<Secret>,
        before: Option<&Self>,
        (metrics, bell): (&Metrics, &Bell),
    ) -> Result<Arc<Unit>, String> {
        let keys = if self.simulated { Vec::new() } else { keys };
        let before = before.and_then(|fleet| fleet.units.get(name));
        if let Some(same) = before.filter(|unit| unit.is_same(&settings, &keys)) {
            return Ok(Arc::clone(same));
        }
        let mut unit = Unit::new(name, settings, keys, metrics, bell)?;
        if let Some(before) = before {
            unit.inherit(before);
        }
        Ok(Arc::new(unit))
    }

    fn add_metrics(&mut self, config: &Config, metrics: &Metrics) {
        for (name, model) in &config.models {
            let target = metrics.target(name, &model.provider);
            let theirs = model.upstream_model.as_deref().unwrap_or(name);
            self.models.push([name.as_str().into(), model.provider.as_str().into(), theirs.into()]);
            self.targets.insert(name.as_str().into(), Arc::new(target));
        }
        let routes = config.routes.keys().map(String::as_str);
        routes.chain([DIRECT, NONE]).for_each(|route| metrics.route(route));
        for name in self.units.keys() {
            self.others.insert(Arc::clone(name), Arc::new(metrics.target(OTHER, name)));
        }
    }

    fn add_posts(&mut self) {
        let all = self.models.iter().filter_map(|[name, provider, _]| {
            Some((Arc::clone(name), Arc::new(self.look_up(name, provider)?)))
        });
        self.posts = all.collect();
    }

    fn look_up(&self, target: &str, provider: &str) -> Option<Post> {
        Some(Post {
            unit: Arc::clone(self.units.get(provider)?),
            metrics: Arc::clone(self.targets.get(target).or_else(|| self.others.get(provider))?),
            patient: Arc::clone(self.patient_of(target, provider)?),
            repeats: Arc::clone(self.repeats.get(provider)?),
        })
    }

    /// Tells the credentials which models are configured.
    fn name_models(&self) {
        for (provider, unit) in &self.units {
            let own = self.models.iter().filter(|[_, of, _]| of == provider);
            unit.credentials.name_models(own.map(|[_, _, theirs]| Arc::clone(theirs)).collect());
        }
    }

    /// The health of every target; what `before` knew stays known.
    fn add_health(&mut self, config: &Config, before: Option<&Self>, metrics: &Metrics, bell: &Bell) {
        for name in self.units.keys() {
            let known = before.and_then(|fleet| fleet.connections.get(name)).cloned();
            let health = known.unwrap_or_else(|| Arc::new(ProviderHealth::new(&config.breaker)));
            tell_of_provider(bell, name, health.configure(&config.breaker));
            self.connections.insert(Arc::clone(name), health);
            let known = before.and_then(|fleet| fleet.repeats.get(name)).cloned();
            let repeats = known.unwrap_or_else(|| Arc::new(RetryBudget::new(&config.retry)));
            repeats.configure(&config.retry);
            self.repeats.insert(Arc::clone(name), repeats);
        }
        let known = before.map(|fleet| Arc::clone(&fleet.hedges));
        self.hedges = known.unwrap_or_else(|| Arc::new(Hedges::new(&config.retry)));
        self.hedges.configure(&config.retry);
        let configured = config.models.iter().map(|(name, model)| (name.clone(), &*model.provider, &**name));
        let others = self.units.keys().map(|provider| (format!("{provider}/"), &**provider, OTHER));
        let all: Vec<_> = configured.chain(others).collect();
        let mut patients = BTreeMap::new();
        for (name, provider, label) in all {
            let Some(connections) = self.connections.get(provider) else { continue };
            let known = before.and_then(|fleet| fleet.patients.get(&*name));
            let known = known.filter(|patient| *patient.provider == *provider).cloned();
            let patient = known.unwrap_or_else(|| {
                Arc::new(Patient {
                    name: name.as_str().into(),
                    provider: provider.into(),
                    health: TargetHealth::new(&config.breaker),
                    passed: Rolling::default(),
                    grades: Rolling::default(),
                    connections: Arc::clone(connections),
                    gauges: metrics.health().target(label, provider),
                    bell: bell.clone(),
                    retired: AtomicBool::new(false),
                    in_flight: AtomicUsize::default(),
                })
            });
            patient.told(patient.health.configure(&config.breaker));
            patients.insert(Arc::from(name.as_str()), patient);
        }
        self.patients = patients;
    }

    /// A fleet for tests whose news nobody hears.
    #[cfg(test)]
    pub(crate) fn unheard(config: &Config) -> Self {
        let metrics = Metrics::new().unwrap();
        Self::build(config, None, &metrics, &Bell::unheard(&metrics)).unwrap()
    }

    /// The health of a target whose provider is on.
    pub fn patient(&self, target: &Target) -> Option<&Arc<Patient>> {
        self.patient_of(&target.name, &target.provider)
    }

    fn patient_of(&self, target: &str, provider: &str) -> Option<&Arc<Patient>> {
        self.patients.get(target).or_else(|| self.patients.get(format!("{provider}/").as_str()))
    }

    /// What tries on a target work with, if its provider is on.
    pub fn post(&self, target: &Target) -> Option<Arc<Post>> {
        let known = self.posts.get(&target.name).filter(|post| post.unit.name == target.provider);
        match known {
            Some(post) => Some(Arc::clone(post)),
            None => self.look_up(&target.name, &target.provider).map(Arc::new),
        }
    }

    /// Every provider that is on, with the health of its connections.
    pub fn providers(&self) -> impl Iterator<Item = (&Arc<Unit>, &Arc<ProviderHealth>)> {
        self.units.values().filter_map(|unit| Some((unit, self.connections.get(&unit.name)?)))
    }

    /// The health of every target.
    pub fn patients(&self) -> impl Iterator<Item = &Arc<Patient>> {
        self.patients.values()
    }

    /// How many repeated tries the target's provider gets.
    pub fn repeats(&self, target: &Target) -> Option<&Arc<RetryBudget>> {
        self.repeats.get(&target.provider)
    }

    /// How many second tries may start beside a first.
    pub fn hedges(&self) -> &Hedges {
        &self.hedges
    }

    /// How a target does, for the order of a chain.
    pub fn rank(&self, target: &Target, stream: bool) -> Rank {
        let Some(patient) = self.patient(target) else { return Rank::default() };
        let now = Instant::now();
        let standing = patient.health.standing(now);
        let times = standing.times(stream);
        Rank {
            degraded: self.demotes && standing.status == Status::Degraded,
            // Its speed beside the others is put in where they are known.
            health: standing.score(stream, None, self.quota_left(target, now)).h,
            peak: times.peak,
            first_token: times.p50,
        }
    }

    /// Whether the provider is on.
    pub fn is_on(&self, provider: &str) -> bool {
        self.units.contains_key(provider)
    }

    /// Whether the simulated provider stands in for all others.
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// The unit of a target's provider, if it is on.
    pub fn of(&self, target: &Target) -> Option<&Arc<Unit>> {
        self.units.get(&target.provider)
    }

    /// How long the settings let a target take to its first token (`stream`), or to its end; `None` where it is off.
    pub fn patience(&self, target: &Target, stream: bool) -> Option<Duration> {
        self.of(target).map(|unit| unit.patience(target, stream))
    }

    /// Whether a target may be asked now, as far as its provider's credentials and limits say; one whose provider is
    /// off may as well: that is told when it is tried.
    pub fn standing(&self, target: &Target, now: Instant) -> Standing {
        self.of(target).map_or(Standing::Usable, |unit| unit.standing(&target.upstream_model, now))
    }

    /// The share of the provider's own limits that is left for a target, 0 to 1, where its answers tell it.
    pub fn quota_left(&self, target: &Target, now: Instant) -> Option<f64> {
        self.of(target)?.credentials.left(&target.upstream_model, now)
    }

    /// The metrics of a target whose provider is on.
    #[cfg(test)]
    pub(crate) fn metrics_of(&self, target: &Target) -> Option<&Arc<TargetMetrics>> {
        self.targets.get(&target.name).or_else(|| self.others.get(&target.provider))
    }
}

/// The settings of the simulated provider where it stands in for others: it types like a person reads.
fn stand_in(for_whom: &Provider) -> Provider {
    let mut settings = Provider { protocol: Protocol::Sim, ..Provider::default() };
    // It is asked as often, where it can be asked.
    let check = for_whom.health_check.clone();
    settings.health_check = check.map(|check| HealthCheck { path: HealthCheck::default().path, ..check });
    settings.sim.tokens_per_second = 200.0;
    settings
}
