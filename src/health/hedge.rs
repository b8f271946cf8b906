//! Whether a second try may start beside a first one that is silent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::config;

use super::allowance::Allowance;

/// Hedges are at most a twentieth of all requests. There is no floor: the first ten are an advance that later requests
/// pay back.
#[derive(Debug)]
pub struct Hedges(Mutex<Allowance>);

/// What is known of the provider that would get the hedge, and of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Towards {
    /// The share of its tries that failed lately ([`super::ProviderHealth::failing`]).
    pub failing: f64,
    /// When it last met a rate limit ([`super::ProviderHealth::limited_at`]).
    pub limited_at: Option<Instant>,
    /// Whether the gateway has as much under way as it may.
    pub full: bool,
}

/// Why there is no hedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHedge {
    /// The provider fails too often: more load does not help it.
    Failing,
    /// It met a rate limit lately.
    Limited,
    /// There is no room.
    Full,
    /// The share of hedges is spent.
    Spent,
}

impl NoHedge {
    /// The name used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Limited => "limited",
            Self::Full => "full",
            Self::Spent => "spent",
        }
    }
}

impl Default for Hedges {
    fn default() -> Self {
        Self::new(&config::Retry::default())
    }
}

impl Hedges {
    /// With the whole advance.
    pub fn new(settings: &config::Retry) -> Self {
        Self(Mutex::new(Allowance::new(settings.hedge_share, 0.0, settings.hedge_burst)))
    }

    /// Takes new settings; what is saved up stays.
    pub fn configure(&self, settings: &config::Retry) {
        self.lock().configure(settings.hedge_share, 0.0, settings.hedge_burst);
    }

    /// A request came that may hedge.
    pub fn request(&self, now: Instant) {
        self.lock().request(now);
    }

    /// Asks for a hedge.
    ///
    /// # Errors
    /// Why not.
    pub fn ask(&self, towards: Towards, now: Instant, settings: &config::Retry) -> Result<(), NoHedge> {
        let lately = |at: Instant| now.saturating_duration_since(at) < settings.hedge_rest.0;
        if towards.full {
            return Err(NoHedge::Full);
        }
        if towards.limited_at.is_some_and(lately) {
            return Err(NoHedge::Limited);
        }
        if towards.failing > settings.hedge_max_failures {
            return Err(NoHedge::Failing);
        }
        if self.lock().take(now) { Ok(()) } else { Err(NoHedge::Spent) }
    }

    /// Puts a hedge back that did not start after all.
    pub fn give_back(&self) {
        self.lock().give_back();
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        // Nothing panics under this lock; were it so, a wrong count would be the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn at_most_a_twentieth_of_the_requests() {
        let (begun, settings) = (Instant::now(), config::Retry::default());
        let hedges = Hedges::new(&settings);
        let mut made = 0;
        for request in 1..=10_000_u64 {
            let now = begun + Duration::from_millis(request);
            hedges.request(now);
            made += u64::from(hedges.ask(Towards::default(), now, &settings).is_ok());
            assert!(made <= (request / 20).max(10), "{made} of {request}");
        }
        assert_eq!(made, 500);
    }

    #[test]
    fn off_where_it_would_do_harm() {
        let (now, settings) = (Instant::now(), config::Retry::default());
        let hedges = Hedges::new(&settings);
        let ask = |towards, after| hedges.ask(towards, now + Duration::from_secs(after), &settings);
        let calm = Towards::default();
        assert_eq!(ask(Towards { full: true, ..calm }, 0), Err(NoHedge::Full));
        assert_eq!(ask(Towards { failing: 0.21, ..calm }, 0), Err(NoHedge::Failing));
        let limited = Towards { limited_at: Some(now), failing: 0.2, ..calm };
        assert_eq!(ask(limited, 29), Err(NoHedge::Limited));
        assert_eq!(ask(limited, 30), Ok(()));
    }
}
