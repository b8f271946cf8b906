//! Decisions about what to try next; no I/O.

mod backoff;
mod book;
mod chain;
mod fit;
mod tries;

pub use backoff::backoff;
pub use book::{Book, RouteEntry, Target};
pub use chain::{Chain, Unknown, Wanted, WantedBy};
pub use fit::{Missing, fits};
pub use tries::{Next, Tries};
