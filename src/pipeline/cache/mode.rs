//! Which routes live on answers that stand in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    metrics::{DIRECT, cache::CacheMetrics},
    route::Wanted,
};

use super::super::answer::StandIn;

/// How long after its last answer that stood in a route counts as living on such: where nobody needs one any more,
/// because kept answers do, or because nobody asks, no real answer would end it.
const QUIET: Duration = Duration::from_secs(60);

/// What is told of. There are no more than the configuration has routes, models and providers, whatever clients name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// A route's name, a configured model's, or `PROVIDER/*` for all others that are pinned there.
    pub name: Arc<str>,
    /// Whether it is a route.
    pub is_route: bool,
}

impl Subject {
    /// That of a request; `None` where nothing is wanted.
    pub fn of(wanted: &[Wanted]) -> Option<Self> {
        let (name, is_route) = match wanted.first()? {
            Wanted::Route(route) => (Arc::clone(&route.name), true),
            Wanted::Pinned(target, _) if !target.configured => {
                (format!("{}/*", target.provider).into(), false)
            }
            Wanted::Model(target) | Wanted::Pinned(target, _) => (Arc::clone(&target.name), false),
        };
        Some(Self { name, is_route })
    }

    /// Its label in metrics.
    fn label(&self) -> &str {
        if self.is_route { &self.name } else { DIRECT }
    }
}

/// The routes whose latest answer stood in for one that nobody could give. A route leaves with its first real answer, after
/// a while without one that stood in, or once none may stand in any more.
#[derive(Debug)]
pub struct Mode {
    metrics: CacheMetrics,
    /// Whether there is any, so that in good times nobody takes the lock.
    any: AtomicBool,
    /// Each with the time of its last answer that stood in.
    subjects: Mutex<BTreeMap<Subject, Instant>>,
}

impl Mode {
    /// No route is.
    pub fn new(metrics: CacheMetrics) -> Self {
        Self { metrics, any: AtomicBool::new(false), subjects: Mutex::default() }
    }

    /// An answer of the route stood in.
    pub fn degraded(&self, subject: &Subject, stand_in: StandIn) {
        self.metrics.stood_in(stand_in.as_str());
        let mut subjects = self.lock();
        subjects.insert(subject.clone(), Instant::now());
        self.metrics.degraded(subject.label(), true);
        self.any.store(true, Ordering::Release);
    }

    /// Whether any route is.
    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// A target answered what was asked of the route.
    pub fn recovered(&self, subject: &Subject) {
        if self.is_any() {
            self.retain(|known, _| known != subject);
        }
    }

    /// Looks which routes still are: `may` says whether an answer may stand in for them at all.
    pub fn look(&self, may: impl Fn(&Subject) -> bool) {
        if self.is_any() {
            self.retain(|subject, last| last.elapsed() < QUIET && may(subject));
        }
    }

    fn retain(&self, stays: impl Fn(&Subject, &Instant) -> bool) {
        let mut subjects = self.lock();
        let gone: Vec<Subject> =
            subjects.extract_if(.., |subject, last| !stays(subject, last)).map(|(gone, _)| gone).collect();
        for subject in gone {
            let others = subjects.keys().any(|other| other.label() == subject.label());
            self.metrics.degraded(subject.label(), others);
            tracing::info!(route = %subject.name, "nothing stands in for answers any more");
        }
        self.any.store(!subjects.is_empty(), Ordering::Release);
    }

    /// The routes.
    pub fn routes(&self) -> Vec<Arc<str>> {
        self.lock().keys().map(|subject| Arc::clone(&subject.name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, Instant>> {
        // Every change under it is one call, so a panic elsewhere leaves it whole.
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Metrics, route::Book};

    fn book() -> Book {
        let config = serde_json::json!({
            "providers": { "p": { "base_url": "http://p/v1" } },
            "models": { "m": { "provider": "p", "upstream_model": "known" } },
            "routes": { "r": { "targets": ["m"] } },
        });
        Book::compile(&serde_json::from_value(config).unwrap(), |_| true)
    }

    fn subject(book: &Book, name: &str) -> Subject {
        Subject::of(&[book.find(name).unwrap()]).unwrap()
    }

    fn mode() -> (Metrics, Mode) {
        let metrics = Metrics::new().unwrap();
        let mode = Mode::new(metrics.cache().clone());
        (metrics, mode)
    }

    fn shown(metrics: &Metrics, label: &str) -> bool {
        let line = format!("weir_degraded{{route=\"{label}\"}} 1");
        String::from_utf8(metrics.page()).unwrap().lines().any(|shown| shown == line)
    }

    #[tokio::test]
    async fn what_clients_name_makes_no_new_subjects() {
        let (book, (metrics, mode)) = (book(), mode());
        for number in 0..5000 {
            mode.degraded(&subject(&book, &format!("p/other-{number}")), StandIn::Static);
        }
        for name in ["r", "m", "p/known"] {
            mode.degraded(&subject(&book, name), StandIn::Static);
        }
        assert_eq!(mode.routes(), ["m", "p/*", "r"].map(Arc::from));
        mode.recovered(&subject(&book, "m"));
        assert!(shown(&metrics, "direct"), "another one of the label is there");
        mode.recovered(&subject(&book, "p/any"));
        assert!(!shown(&metrics, "direct") && shown(&metrics, "r") && mode.is_any());
        mode.recovered(&subject(&book, "r"));
        assert!(!shown(&metrics, "r") && !mode.is_any() && mode.routes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_leaves_when_nothing_stands_in_for_it_any_more() {
        let (book, (metrics, mode)) = (book(), mode());
        let (route, model) = (subject(&book, "r"), subject(&book, "m"));
        mode.degraded(&route, StandIn::Stale);
        tokio::time::advance(QUIET / 2).await;
        mode.degraded(&model, StandIn::Static);
        tokio::time::advance(QUIET / 2).await;
        mode.look(|_| true);
        assert_eq!(mode.routes(), [Arc::from("m")]);
        mode.degraded(&route, StandIn::Stale);
        mode.look(|subject| !subject.is_route);
        assert_eq!((mode.routes(), shown(&metrics, "r")), (vec![Arc::from("m")], false));
        tokio::time::advance(QUIET).await;
        mode.look(|_| true);
        assert!(!mode.is_any() && !shown(&metrics, "direct"));
    }
}
