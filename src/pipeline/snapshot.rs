//! One configuration as requests see it, from their beginning to their end.

use std::sync::Arc;

use crate::{config::Config, keys::KeyRing, metrics::Metrics, route::Book, upstream::Fleet};

/// Everything that follows from one configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration itself.
    pub config: Config,
    /// Routes and targets.
    pub book: Book,
    /// Virtual keys.
    pub keys: KeyRing,
    /// Providers at work.
    pub fleet: Fleet,
}

impl Snapshot {
    /// Builds a snapshot; providers that have not changed since `before` go on with their connections.
    ///
    /// # Errors
    /// Everything that could not be built, each with its key.
    pub fn build(config: Config, before: Option<&Self>, metrics: &Metrics) -> Result<Arc<Self>, Vec<String>> {
        let fleet = Fleet::build(&config, before.map(|snapshot| &snapshot.fleet), metrics)?;
        let book = Book::compile(&config, |provider| fleet.is_on(provider));
        let keys = KeyRing::build(&config.keys)?;
        Ok(Arc::new(Self { config, book, keys, fleet }))
    }
}
