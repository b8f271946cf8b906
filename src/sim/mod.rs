//! The simulated provider: real protocols, made-up answers, faults to switch on.
//!
//! One [`tower::Service`] is used in three ways: inside a gateway (`protocol = "sim"`), as a server
//! ([`serve`], `weir sim`), and under tests. It shares no type with the gateway's own reading of the
//! protocols, so that a mistake there does not hide in here.

mod body;
mod choice;
mod compose;
mod control;
mod dice;
mod fault;
mod grammar;
mod leaves;
mod log;
mod openai;
mod pattern;
mod play;
mod reply;
mod schema;
mod serve;
mod service;
mod settings;
mod text;
mod tokens;
mod watch;

#[cfg(test)]
mod tests;

pub use body::{SimBody, SimBroken};
pub use choice::Order;
pub use fault::{Ending, Fault, Pace, RetryAfter, UsageLie};
pub use log::{Finished, LogEntry};
pub use serve::serve;
pub use service::Sim;
pub use settings::SimSettings;
pub use watch::{Stats, key_mark};
