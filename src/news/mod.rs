//! What happened that an operator wants to hear of, on its way to whoever tells it.

mod bell;
mod event;

pub use bell::{Bell, ROOM, Told};
pub use event::{Event, Fate};
