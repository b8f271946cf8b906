//! How well each target does, as pure state machines: time comes in as `now`, chance as a draw in [0, 1).
//!
//! [`signal`] says what an outcome means. [`target::TargetHealth`] keeps all that follows from it for one target,
//! [`provider::ProviderHealth`] for the connections of one provider. [`retry_budget`] counts repeated tries,
//! [`hedge`] second tries beside a first.

mod allowance;
mod breaker;
pub mod hedge;
mod history;
mod latency;
mod permit;
pub mod provider;
pub mod retry_budget;
mod ring;
mod score;
pub mod signal;
mod slow_start;
mod state;
pub mod target;
#[cfg(test)]
mod tests;
mod throttle;

pub use hedge::{Hedges, NoHedge, Towards};
pub use history::{MINUTES, Minute, Past};
pub use latency::{PromptSize, Times};
pub use permit::{Permit, Refused};
pub use provider::{ProviderHealth, ProviderPermit};
pub use retry_budget::RetryBudget;
pub use score::{Score, median, speed};
pub use signal::{Aside, Reached, Sample, Signal, Verdict, signal};
pub use state::{Cause, Force, State, Transition};
pub use target::{Report, Standing, Status, TargetHealth};
