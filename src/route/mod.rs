//! Decisions about what to try next; no I/O.

mod backoff;
mod book;
mod chain;
mod fit;
mod order;
mod tiers;
mod tries;

pub use backoff::backoff;
pub use book::{Book, Cascade, Race, RouteEntry, Target};
pub use chain::{Chain, Entries, Turn, Unknown, Wanted, WantedBy};
pub use fit::{Missing, fits};
pub use order::Rank;
pub use tiers::{AUTO, Nature, Pick, Tiers};
pub use tries::{Next, Tries};
