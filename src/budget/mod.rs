//! Budgets: who may still spend how much.
//!
//! [`Rules`] are the limits as configured, [`Accounts`] what was spent under them. Nothing here reads a clock or a
//! file: the moment comes in with each call, and what must be durable goes out as [`Watermark`]s and [`Charge`]s.
//!
//! [`Watermark`]: crate::base::account::Watermark
//! [`Charge`]: crate::base::account::Charge

mod account;
mod accounts;
mod admit;
mod bound;
mod hold;
mod report;
mod rules;
mod state;
mod window;

#[cfg(test)]
mod accounts_tests;
#[cfg(test)]
mod model_tests;

pub use accounts::Accounts;
pub use bound::{Bound, Bounds, Fresh};
pub use hold::{
    Action, Admission, Ask, Crossed, Estimate, Exceeded, Held, Limit, Overrun, Settled, TargetName, Unit, Who,
};
pub use report::{AccountReport, Cursor};
pub use rules::Rules;
