//! What all purses of a process share: the accounts, the ledger, the clock.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::{
    base::{account::AccountState, clock::Clock},
    budget::{Accounts, Bound, Crossed, Fresh, Rules},
    ledger::{Ledger, SpentQuery},
    metrics::money::{MoneyMetrics, Standing},
    news::{Bell, Event},
};

use super::usual::Usual;

/// The accounts with the ledger that they are written in.
#[derive(Debug)]
pub struct Till {
    /// What every budget has left.
    pub accounts: Accounts,
    /// Where every cent is written down.
    pub ledger: Ledger,
    /// What is counted of it.
    pub metrics: MoneyMetrics,
    /// The wall clock that windows turn by.
    pub clock: Clock,
    pub(super) usual: Usual,
    /// Who hears of what operators want to know.
    pub bell: Bell,
    /// One at a time says where the budgets stand, so that no page shows half of it.
    showing: Mutex<()>,
}

/// How many windows are closed in one commit, so that no answer's end waits long for it.
const CLOSED_AT_ONCE: usize = 1000;

impl Till {
    /// A till over a ledger. Crossed thresholds are told to `bell`.
    pub fn new(
        accounts: Accounts,
        ledger: Ledger,
        metrics: MoneyMetrics,
        clock: Clock,
        bell: Bell,
    ) -> Arc<Self> {
        Arc::new(Self {
            accounts,
            ledger,
            metrics,
            clock,
            usual: Usual::default(),
            bell,
            showing: Mutex::default(),
        })
    }

    /// A till over a ledger in memory, for tests.
    #[cfg(test)]
    pub fn in_memory(metrics: &crate::metrics::Metrics) -> Arc<Self> {
        let settings =
            crate::config::Ledger { url: "sqlite::memory:".into(), ..crate::config::Ledger::default() };
        let (ledger, _) = Ledger::open(&settings, metrics, Clock::system()).expect("memory can be opened");
        let money = MoneyMetrics::new(metrics).expect("the names are constants");
        Self::new(Accounts::new(), ledger, money, Clock::system(), Bell::unheard(metrics))
    }

    /// Binds budgets to their accounts. One that is new begins with what was spent in its scope before. Blocks.
    ///
    /// # Errors
    /// The ledger cannot be read, or cannot write.
    pub fn bind(&self, rules: Rules, holders: &[&str]) -> Result<Bound, String> {
        let (bound, fresh) = self.accounts.bind(rules, holders, self.clock.seconds());
        if !fresh.is_empty() {
            Handle::current().block_on(self.open_accounts(fresh))?;
        }
        Ok(bound)
    }

    async fn open_accounts(&self, fresh: Vec<Fresh>) -> Result<(), String> {
        let mut states = Vec::new();
        for Fresh { window, scope } in fresh {
            let query = SpentQuery { scope, window: window.clone() };
            let spent = self.ledger.books().spent(query).await;
            let posted = spent.map_err(|error| error.to_string())?.into_iter().map(|(_, sum)| sum).sum();
            states.push(AccountState { window, posted, watermark: posted });
        }
        // Only what is on the disk counts as known: else a bind that is tried again would find nothing to do.
        self.ledger.seed(states.clone()).await.map_err(|error| error.to_string())?;
        self.accounts.load(states);
        Ok(())
    }

    /// Closes windows that are over, so that a crash does not count as spent what was only allowed there.
    pub async fn close_windows(&self) {
        for over in self.accounts.ended(self.clock.seconds()).chunks(CLOSED_AT_ONCE) {
            if self.ledger.lower(over.to_vec()).await.is_err() {
                tracing::warn!("the windows of budgets that are over could not be closed; it is tried again");
                return;
            }
            self.accounts.closed(over);
        }
    }

    /// Says in the metrics where the budgets stand, then makes a page of them.
    pub fn show<T>(&self, bound: &Bound, page: impl FnOnce() -> T) -> T {
        // Nothing is kept in it that a panic could break.
        let _turn = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = self.accounts.fullest(bound, self.clock.seconds());
        self.metrics.standings(limits.iter().map(|account| Standing {
            budget: &account.budget,
            period: account.period,
            limit: account.limit,
            spent: account.spent,
            held: account.held,
        }));
        page()
    }

    /// Tells that budgets have reached shares of their limits.
    pub(super) fn alert(&self, crossed: Vec<Crossed>) {
        for crossed in crossed {
            tracing::warn!(
                budget = %crossed.budget,
                holder = %crossed.holder,
                period = %crossed.period,
                spent = %crossed.spent,
                limit = %crossed.limit,
                "a budget has reached {} of its limit",
                crossed.fraction
            );
            self.metrics.alert(&crossed.budget, crossed.period);
            let Crossed { budget, holder, period, fraction, spent, limit } = crossed;
            self.bell.ring(Event::Budget { budget, holder, period, fraction, spent, limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::money::Nanos, config::Budget, metrics::Metrics};

    #[tokio::test]
    async fn a_budget_that_could_not_be_seeded_is_still_fresh() {
        let till = Till::in_memory(&Metrics::new().unwrap());
        let rules = || Rules::compile(&[Budget { daily: Some(Nanos(1)), ..Budget::named("b") }], []).unwrap();
        till.ledger.close().await.unwrap();
        let binding = Arc::clone(&till);
        // Binding blocks.
        let bound = tokio::task::spawn_blocking(move || binding.bind(rules(), &[])).await.unwrap();
        assert!(bound.is_err(), "nothing is written any more");
        let (_, fresh) = till.accounts.bind(rules(), &[], till.clock.seconds());
        assert_eq!(fresh.len(), 1, "the next one reads what was spent");
    }
}
