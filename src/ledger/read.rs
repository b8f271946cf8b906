//! Reports of a ledger that another process may own.

use super::{
    LedgerError,
    report::{Question, Summary},
    store::sqlite,
};
use crate::config;

/// Makes a report of the ledger's file, which is only read. Blocks.
///
/// # Errors
/// `ledger.url` names no file, there is none yet, it cannot be read or is no ledger.
pub fn report(config: &config::Ledger, question: Question) -> Result<Summary, LedgerError> {
    sqlite::parallel::report(&config.url, question)
}
