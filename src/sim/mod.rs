//! The simulated provider: real protocols, made-up answers, faults to switch on.
//!
//! It speaks OpenAI's protocol (Azure's paths too), Anthropic's and Gemini's; the path tells which.
//! One [`tower::Service`] is used in three ways: inside a gateway (`protocol = "sim"`), as a server
//! ([`serve`], `weir sim`), and under tests. It shares no type with the gateway's own reading of the
//! protocols, so that a mistake there does not hide in here.

mod anthropic;
mod azure;
mod body;
mod choice;
mod compose;
mod control;
mod dice;
mod fault;
mod gemini;
mod grammar;
mod leaves;
mod log;
mod openai;
mod pattern;
mod play;
mod prefix;
mod protocol;
mod reply;
mod retry;
mod schema;
mod seal;
mod serve;
mod service;
mod settings;
mod text;
mod tokens;
mod vector;
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
