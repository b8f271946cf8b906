//! The ledger: one row an attempt, durable before the answer ends.

mod entry;

pub use entry::{Entry, Kind, Origin};
