//! Takes over keys that were made or revoked in the ledger, by whatever process.

use std::{sync::Arc, sync::PoisonError};

use tokio::{task::spawn_blocking, time::Instant};

use crate::ledger::LedgerError;

use super::state::State;

impl State {
    /// Lets new requests see the ledger's keys as they are now. Requests under way go on with those that they began
    /// with.
    ///
    /// # Errors
    /// The ledger cannot be read; then nothing changes.
    pub async fn refresh_keys(&self) -> Result<(), LedgerError> {
        // One at a time: else one that read older keys could be the last to take effect.
        let mut seen = self.0.keys_seen.lock().await;
        let books = self.0.till.ledger.books();
        // Before the keys: what changes in between is seen the next time.
        let version = books.keys_version().await?;
        if *seen == Some(version) {
            return Ok(());
        }
        let made = Arc::from(books.keys().await?);
        let shared = Arc::clone(&self.0);
        let swapped = spawn_blocking(move || {
            // A reload has its turn for as long as it reads files.
            let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let (after, bound) = shared.snapshot.load().with_keys(made, &shared.till);
            let after = Arc::new(after);
            after.keys.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            shared.limits.reload(after.keys.iter(), Instant::now());
            shared.snapshot.store(after);
            bound
        });
        match swapped.await {
            Ok(Ok(())) => *seen = Some(version),
            Ok(Err(faults)) => return Err(LedgerError::failed("the budgets of keys", faults.join("; "))),
            Err(_) => {}
        }
        Ok(())
    }
}
