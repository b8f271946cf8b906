//! Reading the ledger beside its writer.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Semaphore, task};

use super::{
    KeptAnswer, Key, KeyRow, LedgerError, SpentQuery,
    report::{Question, Summary},
    rows::{Page, RowQuery},
    store::Reader,
};
use crate::base::money::Nanos;

/// What can be read of a ledger, and its keys. Clones share a few connections; who finds them all busy waits.
#[derive(Clone)]
pub struct Books(Arc<Shelf>);

struct Shelf {
    /// As many permits as readers.
    permits: Semaphore,
    readers: Mutex<Vec<Box<dyn Reader>>>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Books")
    }
}

/// A reader that goes back to the shelf, also where reading panics.
struct Borrowed {
    reader: Option<Box<dyn Reader>>,
    shelf: Arc<Shelf>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut readers = self.shelf.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.extend(self.reader.take());
        drop(readers);
        self.shelf.permits.add_permits(1);
    }
}

impl Books {
    pub(super) fn new(readers: Vec<Box<dyn Reader>>) -> Self {
        let permits = Semaphore::new(readers.len());
        Self(Arc::new(Shelf { permits, readers: Mutex::new(readers) }))
    }

    /// Reads on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = self.0.permits.acquire().await.map_err(|why| LedgerError::failed("read", why))?;
        // Given back together with the reader: who stops waiting does not stop the reading.
        permit.forget();
        let reader = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut borrowed = Borrowed { reader, shelf: self.0.clone() };
        let run = move || match &mut borrowed.reader {
            Some(reader) => read(&mut **reader),
            None => Err(LedgerError::failed("read", "no reader is left")),
        };
        task::spawn_blocking(run).await.map_err(|why| LedgerError::failed("read", why))?
    }

    /// What was spent, by holder: the key's name for [`crate::config::Scope::EachKey`], else one sum under the empty name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn spent(&self, query: SpentQuery) -> Result<Vec<(String, Nanos)>, LedgerError> {
        self.read(move |reader| reader.spent(&query)).await
    }

    /// A page of rows, newest first.
    ///
    /// # Errors
    /// The store's own.
    pub async fn rows(&self, query: RowQuery) -> Result<Page, LedgerError> {
        self.read(move |reader| reader.rows(&query)).await
    }

    /// What the rows come to. Reads all of the period's rows: about a second a million.
    ///
    /// # Errors
    /// The store's own.
    pub async fn report(&self, question: Question) -> Result<Summary, LedgerError> {
        self.read(move |reader| reader.report(question)).await
    }

    /// The keys made at run time, revoked ones too, by name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, LedgerError> {
        self.read(|reader| reader.keys()).await
    }

    /// A number that differs after each change of a key, by whatever process. Cheap: one row.
    ///
    /// # Errors
    /// The store's own.
    pub async fn keys_version(&self) -> Result<i64, LedgerError> {
        self.read(|reader| reader.keys_version()).await
    }

    /// Writes a key durably. One that was revoked may be made anew.
    ///
    /// # Errors
    /// [`LedgerError::KeyExists`] where a live key has its name, or any key its hash; the store's own.
    pub async fn put_key(&self, row: KeyRow) -> Result<(), LedgerError> {
        self.read(move |reader| reader.put_key(&row)).await
    }

    /// Revokes a key durably.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchKey`]; the store's own.
    pub async fn revoke_key(&self, name: String, now: i64) -> Result<(), LedgerError> {
        self.read(move |reader| reader.revoke_key(&name, now)).await
    }

    /// The answer kept under these keys that is not older than `since`.
    ///
    /// # Errors
    /// The store's own.
    pub async fn answer(&self, key: Key, since: i64) -> Result<Option<KeptAnswer>, LedgerError> {
        self.read(move |reader| reader.answer(&key, since)).await
    }
}
