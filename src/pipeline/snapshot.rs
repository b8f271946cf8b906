//! One configuration as requests see it, from their beginning to their end.

use std::{
    collections::HashSet,
    fmt::Display,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use crate::{
    budget::{Bound, Rules},
    cache::epoch::Epochs,
    classify::Classifier,
    config::{self, Config},
    keys::KeyRing,
    ledger::KeyRow,
    metrics::Metrics,
    price::Price,
    route::{Book, Tiers},
    spend::Till,
    upstream::Fleet,
};

/// Everything that follows from one configuration, with the keys that were made at run time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The configuration itself.
    pub config: Arc<Config>,
    /// Routes and targets.
    pub book: Arc<Book>,
    /// Virtual keys: the configured ones, those of the ledger that are not revoked.
    pub keys: KeyRing,
    /// The ledger's keys, revoked ones too.
    pub made: Arc<[KeyRow]>,
    /// Providers at work.
    pub fleet: Arc<Fleet>,
    /// Budgets and quotas, bound to their accounts.
    pub bound: Bound,
    /// The routes behind `auto`; `None` where it is not served.
    pub tiers: Option<Arc<Tiers>>,
    /// What rates requests for `auto`; also where a model does and fails.
    pub classifier: Arc<Classifier>,
    /// What kept answers depend on; `None` where none are kept.
    pub epochs: Option<Arc<Epochs>>,
    /// The price of the model that savings are counted against.
    pub baseline: Option<Arc<Price>>,
    /// The configured keys alone.
    configured: KeyRing,
}

impl Snapshot {
    /// Builds a snapshot; providers that have not changed since `before` go on with their connections, and the
    /// ledger's keys are those of `before`.
    ///
    /// # Errors
    /// Everything that could not be built, each with its key.
    pub fn build(
        config: Config,
        before: Option<&Self>,
        metrics: &Metrics,
        till: &Till,
        made: Arc<[KeyRow]>,
    ) -> Result<Arc<Self>, Vec<String>> {
        let fleet = Fleet::build(&config, before.map(|snapshot| &*snapshot.fleet), metrics, &till.bell)?;
        let book = Book::compile(&config, |provider| fleet.is_on(provider));
        let configured = KeyRing::build(&config.keys)?;
        let classifier = classifier(&config.classifier).map_err(|problem| vec![problem])?;
        let baseline = config.classifier.baseline.as_deref();
        let bare = Self {
            baseline: baseline.and_then(|name| book.target(name)?.price.clone()),
            tiers: Tiers::compile(&config.classifier, &book).map(Arc::new),
            classifier: Arc::new(classifier),
            epochs: config.cache.enabled.then(|| Arc::new(Epochs::of(&config))),
            config: Arc::new(config),
            book: Arc::new(book),
            keys: KeyRing::default(),
            made: Arc::default(),
            fleet: Arc::new(fleet),
            bound: Bound::default(),
            configured,
        };
        let (snapshot, bound) = bare.with_keys(made, till);
        bound.map(|()| Arc::new(snapshot))
    }

    /// The same with these keys of the ledger, and whether their budgets could be bound. Keys themselves cannot fail,
    /// so nothing else that is at fault keeps a revoked key alive.
    pub fn with_keys(&self, made: Arc<[KeyRow]>, till: &Till) -> (Self, Result<(), Vec<String>>) {
        let live: Vec<config::Key> =
            made.iter().filter(|row| row.revoked.is_none()).map(KeyRow::key).collect();
        let mut after = Self { keys: self.configured.with_made(&live), made, ..self.clone() };
        let bound = after.bind(till).map(|bound| after.bound = bound);
        (after, bound)
    }

    /// Binds the budgets of the configuration and of keys, with the quotas of keys.
    fn bind(&self, till: &Till) -> Result<Bound, Vec<String>> {
        let taken = |name: &str| self.config.budgets.iter().any(|budget| budget.name == name);
        let judge = self.config.judge.budget().filter(|budget| !taken(&budget.name));
        let budgets: Vec<_> = self.config.budgets.iter().chain(self.key_budgets()).chain(&judge).collect();
        let rules = Rules::compile(budgets.iter().copied(), self.quotas())?;
        let holders: Vec<&str> = self.keys.iter().map(|key| &**key.name()).collect();
        let bound = till.bind(rules, &holders).map_err(|fault| vec![fault])?;
        budgets.iter().for_each(|budget| till.metrics.budget(&budget.name));
        Ok(bound)
    }

    /// Whether there is no key at all, not even one that is off or revoked: then nobody has closed the door yet.
    pub fn has_no_keys(&self) -> bool {
        self.config.keys.is_empty() && self.made.is_empty()
    }

    /// The budgets of the ledger's keys that are in force, each with the scope `key:NAME` of its key; a configured
    /// budget of the same name goes before.
    pub fn key_budgets(&self) -> impl Iterator<Item = &config::Budget> {
        let taken: HashSet<&str> = self.config.budgets.iter().map(|budget| &*budget.name).collect();
        let configured: HashSet<&str> = self.config.keys.iter().map(|key| &*key.name).collect();
        self.made
            .iter()
            .filter(move |row| row.revoked.is_none() && !configured.contains(&*row.name))
            .flat_map(|row| &row.settings.budgets)
            .filter(move |budget| !taken.contains(&*budget.name))
    }

    /// The keys with a quota, each with its requests a month.
    pub fn quotas(&self) -> impl Iterator<Item = (&str, u64)> {
        let quotas = self.keys.iter().map(|key| (&**key.name(), key.requests_per_month()));
        quotas.filter(|(_, requests)| *requests > 0)
    }
}

/// The longest file that can be a calibration, in bytes.
const LONGEST_CALIBRATION: u64 = 1024 * 1024;

/// What rates requests in this process, with the file that the configuration names for it.
///
/// # Errors
/// That file cannot be read, or it is none of `weir calibrate`.
pub fn classifier(config: &config::Classifier) -> Result<Classifier, String> {
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST_CALIBRATION).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Some(path) = &config.calibration else {
        return Classifier::new(config, None).map_err(|bad| bad.to_string());
    };
    let problem = |why: &dyn Display| format!("classifier.calibration `{}`: {why}", path.display());
    let file = read(path).map_err(|error| problem(&error))?;
    Classifier::new(config, Some(&file)).map_err(|bad| problem(&bad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Budget, ledger::KeySettings};

    #[tokio::test]
    async fn made_keys_bring_their_budgets_with_their_quotas_until_they_are_revoked() {
        // Binding budgets blocks.
        tokio::task::spawn_blocking(keys_bring_what_is_theirs).await.unwrap();
    }

    fn keys_bring_what_is_theirs() {
        let config = serde_json::json!({
            "keys": [{ "name": "fixed", "secret": "sk-fixed", "requests_per_month": 3 }],
            "budgets": [{ "name": "key:taken", "daily": 1 }],
        });
        let row = |name: &str| KeyRow {
            name: name.into(),
            hash: crate::keys::generate().hash,
            settings: KeySettings {
                requests_per_month: 9,
                budgets: vec![Budget::named(format!("key:{name}"))],
                ..KeySettings::default()
            },
            created: 1,
            revoked: (name == "gone").then_some(2),
        };
        let metrics = Metrics::new().unwrap();
        let till = Till::in_memory(&metrics);
        let config = serde_json::from_value(config).unwrap();
        let bare = Snapshot::build(config, None, &metrics, &till, Arc::default()).unwrap();
        let made: Arc<[KeyRow]> = ["bot", "gone", "fixed", "taken"].map(row).into();
        let (full, _) = bare.with_keys(made, &till);
        let names: Vec<&str> = full.key_budgets().map(|budget| &*budget.name).collect();
        assert_eq!(names, ["key:bot"]);
        let mut quotas: Vec<(&str, u64)> = full.quotas().collect();
        quotas.sort_unstable();
        assert_eq!(quotas, [("bot", 9), ("fixed", 3), ("taken", 9)]);
        // A reload keeps them.
        let after =
            Snapshot::build((*full.config).clone(), Some(&full), &metrics, &till, Arc::clone(&full.made))
                .unwrap();
        assert_eq!((after.keys.len(), after.made.len()), (3, 4));
        assert!(!after.has_no_keys() && after.with_keys(Arc::default(), &till).0.keys.len() == 1);
    }
}
