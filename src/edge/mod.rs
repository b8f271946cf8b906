//! The side that clients see: HTTP in, HTTP out.

mod body;
pub mod dashboard;
mod error;
mod front;
mod handler;
mod layer;
mod names;
mod parameters;
mod ping;
mod record;
mod refresh;
mod reply;
mod router;
pub mod server;
mod state;
mod tags;
mod told;
mod wishes;

pub use front::{Desk, Front};
pub use router::{Access, ROUTES, Served, router};
pub use state::{Shared, State};
