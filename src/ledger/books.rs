//! Reading the ledger beside its writer.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedRwLockReadGuard, RwLock, Semaphore},
    task,
    time::sleep,
};

use super::{
    KeptAnswer, Key, KeyRow, LedgerError, SpentQuery, TargetPast,
    report::{Question, Summary},
    rows::{Page, RowQuery},
    store::{Reader, Stop},
};
use crate::base::money::Nanos;

/// How long a read may take.
const MAX_READ: Duration = Duration::from_secs(30);
/// A read that took longer may have kept the store from tidying its log.
const LONG: Duration = Duration::from_secs(1);
/// How long nobody reads much after such a one.
const QUIET: Duration = Duration::from_millis(100);

/// What can be read of a ledger, and its keys. Clones share a few connections; who finds them all busy waits. Reports
/// and pages have some of their own, so that keys and answers never wait for them.
#[derive(Clone)]
pub struct Books {
    small: Arc<Shelf>,
    large: Arc<Shelf>,
}

struct Shelf {
    /// As many permits as readers.
    permits: Semaphore,
    readers: Mutex<Vec<Box<dyn Reader>>>,
    /// Who reads shares it. Taken whole for a moment after a long read: one long read behind the other, each begun
    /// before the last has ended, would keep the store's log from ever being short again.
    quiet: Arc<RwLock<()>>,
    /// How long a read may take.
    max_read: Duration,
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
    reads: Option<OwnedRwLockReadGuard<()>>,
    since: Instant,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut readers = self.shelf.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.extend(self.reader.take());
        drop(readers);
        drop(self.reads.take());
        self.shelf.permits.add_permits(1);
        if self.since.elapsed() > LONG
            && let Ok(runtime) = Handle::try_current()
        {
            let quiet = self.shelf.quiet.clone();
            runtime.spawn(async move {
                let _quiet = quiet.write().await;
                sleep(QUIET).await;
            });
        }
    }
}

/// Says that a read is unwanted when whoever waits for it goes.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Shelf {
    fn new(readers: Vec<Box<dyn Reader>>, max_read: Duration) -> Arc<Self> {
        let permits = Semaphore::new(readers.len());
        Arc::new(Self { permits, readers: Mutex::new(readers), quiet: Arc::default(), max_read })
    }

    /// Reads on a thread that may block. A read that nobody waits for any more ends soon, as does one that takes too
    /// long.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = self.permits.acquire().await.map_err(|why| LedgerError::failed("read", why))?;
        let reads = self.quiet.clone().read_owned().await;
        // Given back together with the reader: who stops waiting only makes the reading end.
        permit.forget();
        let reader = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let since = Instant::now();
        let mut borrowed = Borrowed { reader, shelf: self.clone(), reads: Some(reads), since };
        let unwanted = Arc::new(AtomicBool::new(false));
        let _wanted = Wanted(unwanted.clone());
        let stop = Stop { unwanted, at: since + self.max_read };
        let run = move || match &mut borrowed.reader {
            Some(reader) => {
                reader.stop_at(Some(stop))?;
                let result = read(&mut **reader);
                reader.stop_at(None)?;
                result
            }
            None => Err(LedgerError::failed("read", "no reader is left")),
        };
        task::spawn_blocking(run).await.map_err(|why| LedgerError::failed("read", why))?
    }
}

impl Books {
    /// With one reader for what is small, and others for reports and pages.
    pub(super) fn new(small: Box<dyn Reader>, large: Vec<Box<dyn Reader>>) -> Self {
        Self { small: Shelf::new(vec![small], MAX_READ), large: Shelf::new(large, MAX_READ) }
    }

    /// With one reader for everything.
    pub(super) fn of_one(reader: Box<dyn Reader>) -> Self {
        let shelf = Shelf::new(vec![reader], MAX_READ);
        Self { small: shelf.clone(), large: shelf }
    }

    /// What was spent, by holder: the key's name for [`crate::config::Scope::EachKey`], else one sum under the empty name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn spent(&self, query: SpentQuery) -> Result<Vec<(String, Nanos)>, LedgerError> {
        self.small.read(move |reader| reader.spent(&query)).await
    }

    /// A page of rows, newest first.
    ///
    /// # Errors
    /// The store's own.
    pub async fn rows(&self, query: RowQuery) -> Result<Page, LedgerError> {
        self.large.read(move |reader| reader.rows(&query)).await
    }

    /// What the rows come to. Reads all of the period's rows: about a second a million.
    ///
    /// # Errors
    /// The store's own.
    pub async fn report(&self, question: Question) -> Result<Summary, LedgerError> {
        self.large.read(move |reader| reader.report(question)).await
    }

    /// The keys made at run time, revoked ones too, by name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, LedgerError> {
        self.small.read(|reader| reader.keys()).await
    }

    /// A number that differs after each change of a key, by whatever process. Cheap: one row.
    ///
    /// # Errors
    /// The store's own.
    pub async fn keys_version(&self) -> Result<i64, LedgerError> {
        self.small.read(|reader| reader.keys_version()).await
    }

    /// Writes a key durably. One that was revoked may be made anew.
    ///
    /// # Errors
    /// [`LedgerError::KeyExists`] where a live key has its name, or any key its hash; the store's own.
    pub async fn put_key(&self, row: KeyRow) -> Result<(), LedgerError> {
        self.small.read(move |reader| reader.put_key(&row)).await
    }

    /// Revokes a key durably.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchKey`]; the store's own.
    pub async fn revoke_key(&self, name: String, now: i64) -> Result<(), LedgerError> {
        self.small.read(move |reader| reader.revoke_key(&name, now)).await
    }

    /// The answer kept under these keys that is not older than `since`.
    ///
    /// # Errors
    /// The store's own.
    pub async fn answer(&self, key: Key, since: i64) -> Result<Option<KeptAnswer>, LedgerError> {
        self.small.read(move |reader| reader.answer(&key, since)).await
    }

    /// How targets did lately, as it was written last.
    ///
    /// # Errors
    /// The store's own.
    pub async fn pasts(&self) -> Result<Vec<TargetPast>, LedgerError> {
        self.small.read(|reader| reader.pasts()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        report::{By, Period},
        store::{Batch, Post, Store as _, sqlite::Sqlite},
        tests::entry,
    };

    /// A shelf with one reader of a ledger with some rows, and how long a read may take there.
    fn shelf(max_read: Duration) -> (Sqlite, Arc<Shelf>) {
        let mut store = Sqlite::open("sqlite::memory:").unwrap();
        let posts: Vec<_> = (0..2000).map(|_| Post { entry: entry(1), charges: Vec::new() }).collect();
        store.commit(&Batch { posts: &posts, ..Batch::default() }).unwrap();
        let shelf = Shelf::new(vec![store.reader().unwrap()], max_read);
        (store, shelf)
    }

    /// Makes the same report again and again, for longer than any test waits.
    fn endless(reader: &mut dyn Reader) -> Result<(), LedgerError> {
        let question = Question { period: Period { since: 0, until: i64::MAX }, by: By::Model, now: 1 };
        for _ in 0..1_000_000 {
            reader.report(question)?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_read_that_takes_too_long_ends() {
        let (_store, shelf) = shelf(Duration::from_millis(50));
        assert!(matches!(shelf.read(endless).await, Err(LedgerError::TooLong)));
        assert_eq!(shelf.read(|reader| reader.keys_version()).await.unwrap(), 0, "the reader goes on");
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_ends() {
        let (_store, shelf) = shelf(MAX_READ);
        let reading = tokio::time::timeout(Duration::from_millis(50), shelf.read(endless));
        assert!(reading.await.is_err());
        assert_eq!(shelf.read(|reader| reader.keys_version()).await.unwrap(), 0);
    }
}
