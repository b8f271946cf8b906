//! The side that clients see: HTTP in, HTTP out.

mod body;
mod error;
mod handler;
mod layer;
mod record;
mod reply;
mod router;
pub mod server;
mod state;
mod wishes;

pub use router::{Access, ROUTES, Served, router};
pub use state::{Shared, State};
