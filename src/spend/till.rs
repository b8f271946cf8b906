//! What all purses of a process share: the accounts, the ledger, the clock.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    base::{account::AccountState, clock::Clock},
    budget::{Accounts, Bound, Crossed, Fresh, Rules, Unit},
    ledger::{Ledger, SpentQuery},
    metrics::money::{MoneyMetrics, Standing},
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
    alerts: mpsc::Sender<Crossed>,
}

impl Till {
    /// A till over a ledger. Crossed thresholds go to `alerts`; where nobody takes them in time they stay in the log.
    pub fn new(
        accounts: Accounts,
        ledger: Ledger,
        metrics: MoneyMetrics,
        clock: Clock,
        alerts: mpsc::Sender<Crossed>,
    ) -> Arc<Self> {
        Arc::new(Self { accounts, ledger, metrics, clock, usual: Usual::default(), alerts })
    }

    /// A till over a ledger in memory, for tests.
    #[cfg(test)]
    pub fn in_memory(metrics: &crate::metrics::Metrics) -> Arc<Self> {
        let settings =
            crate::config::Ledger { url: "sqlite::memory:".into(), ..crate::config::Ledger::default() };
        let (ledger, _) = Ledger::open(&settings, metrics, 0).expect("memory can be opened");
        let money = MoneyMetrics::new(metrics).expect("the names are constants");
        Self::new(Accounts::new(), ledger, money, Clock::system(), mpsc::channel(1).0)
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
            let since = window.start.saturating_mul(1000);
            let budget = window.account.budget.to_string();
            let spent = self.ledger.books().spent(SpentQuery { scope, since, budget }).await;
            let posted = spent.map_err(|error| error.to_string())?.into_iter().map(|(_, sum)| sum).sum();
            states.push(AccountState { window, posted, watermark: posted });
        }
        self.accounts.load(states.clone());
        self.ledger.seed(states).await.map_err(|error| error.to_string())
    }

    /// Closes windows that are over, so that a crash does not count as spent what was only allowed there.
    pub async fn close_windows(&self) {
        let over = self.accounts.take_ended(self.clock.seconds());
        if !over.is_empty() && self.ledger.lower(over).await.is_err() {
            tracing::warn!("the windows of budgets that are over could not be closed");
        }
    }

    /// Says in the metrics where the budgets stand.
    pub fn show(&self, bound: &Bound) {
        let all = self.accounts.list(bound, self.clock.seconds());
        let money = all.iter().filter(|account| account.unit == Unit::Money);
        self.metrics.standings(money.map(|account| Standing {
            budget: &account.budget,
            period: account.period,
            limit: account.limit,
            spent: account.spent,
            held: account.held,
        }));
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
            if self.alerts.try_send(crossed).is_err() {
                tracing::warn!("too many alerts wait for the webhook: this one is only in the log");
            }
        }
    }
}
