//! How many repeated tries one provider gets.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::config;

use super::allowance::Allowance;

/// Repeated tries on one provider are at most a tenth of its requests, or one a second if that is more; ten may be saved
/// up (tower's `TpsBudget` with its window of 10 s). Moving on to another provider needs no leave.
#[derive(Debug)]
pub struct RetryBudget(Mutex<Allowance>);

impl RetryBudget {
    /// Full.
    pub fn new(settings: &config::Retry) -> Self {
        let config::Retry { budget_share, budget_per_second, budget_burst, .. } = *settings;
        Self(Mutex::new(Allowance::new(budget_share, budget_per_second, budget_burst)))
    }

    /// Takes new settings; what is saved up stays.
    pub fn configure(&self, settings: &config::Retry) {
        let config::Retry { budget_share, budget_per_second, budget_burst, .. } = *settings;
        self.lock().configure(budget_share, budget_per_second, budget_burst);
    }

    /// A request makes its first try on this provider.
    pub fn first(&self, now: Instant) {
        self.lock().request(now);
    }

    /// Asks for a repeated try; `false`: not now, the request gets the failure that it has.
    pub fn repeat(&self, now: Instant) -> bool {
        self.lock().take(now)
    }

    /// Puts a repeated try back that was not made.
    pub fn give_back(&self) {
        self.lock().give_back();
    }

    /// How long until a repeat is allowed by time alone; `None`: it takes more requests.
    pub fn ready_in(&self, now: Instant) -> Option<Duration> {
        self.lock().ready_in(now)
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        // Nothing panics under this lock; were it so, a wrong count would be the worst of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U11: 200 requests a second into a provider that is down, each repeated as often as it may be.
    #[test]
    fn a_dead_provider_gets_at_most_twenty_extra_tries_a_second() {
        let (begun, budget) = (Instant::now(), RetryBudget::new(&config::Retry::default()));
        for second in 0..60_u64 {
            let mut extra = 0;
            for request in 0..200_u64 {
                let now = begun + Duration::from_millis(second * 1000 + request * 5);
                budget.first(now);
                extra += (0..3).take_while(|_| budget.repeat(now)).count();
            }
            assert!(extra <= 20, "{extra} in second {second}");
        }
    }

    #[test]
    fn a_quiet_provider_is_repeated_at_least_once_a_second() {
        let (begun, budget) = (Instant::now(), RetryBudget::new(&config::Retry::default()));
        budget.first(begun);
        assert_eq!((0..100).filter(|_| budget.repeat(begun)).count(), 10);
        for second in 1..60 {
            assert!(budget.repeat(begun + Duration::from_secs(second)), "{second}");
        }
    }
}
