//! How a target did lately, as the ledger keeps it for the next start.

use std::sync::Arc;

use crate::health::Minute;

/// The last minutes of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPast {
    /// Its name.
    pub target: Arc<str>,
    /// Its provider's name.
    pub provider: Arc<str>,
    /// When the newest minute began, in milliseconds since 1970.
    pub since: i64,
    /// The minutes, the newest first.
    pub minutes: Vec<Minute>,
}
