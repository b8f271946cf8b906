//! Which routes live on answers that stand in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::metrics::cache::CacheMetrics;

use super::super::answer::StandIn;

/// More entries than this are not told of by name: models that clients name have no bound.
const MOST: usize = 1000;

/// The routes whose latest answer stood in for one that nobody could give. A route leaves with its first real answer.
#[derive(Debug)]
pub struct Mode {
    metrics: CacheMetrics,
    /// Whether there is any, so that in good times nobody takes the lock.
    any: AtomicBool,
    /// Each with its metrics label.
    routes: Mutex<BTreeMap<Arc<str>, Box<str>>>,
}

impl Mode {
    /// No route is.
    pub fn new(metrics: CacheMetrics) -> Self {
        Self { metrics, any: AtomicBool::new(false), routes: Mutex::default() }
    }

    /// An answer of the route stood in.
    pub fn degraded(&self, route: &Arc<str>, label: &str, stand_in: StandIn) {
        self.metrics.stood_in(stand_in.as_str());
        let mut routes = self.lock();
        if routes.len() < MOST {
            routes.insert(Arc::clone(route), label.into());
        }
        self.metrics.degraded(label, true);
        self.any.store(true, Ordering::Release);
    }

    /// A target of the route answered.
    pub fn recovered(&self, route: &str) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut routes = self.lock();
        if let Some(label) = routes.remove(route) {
            let others = routes.values().any(|other| *other == label);
            self.metrics.degraded(&label, others);
            self.any.store(!routes.is_empty(), Ordering::Release);
            tracing::info!(route, "a target answers again");
        }
    }

    /// The routes.
    pub fn routes(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Box<str>>> {
        // Every change under it is one call, so a panic elsewhere leaves it whole.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
