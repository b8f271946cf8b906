//! The vocabulary that every other part may use; it knows nothing of them.

pub mod account;
pub mod boxed;
pub mod calendar;
pub mod clock;
pub mod deadline;
pub mod decimal;
pub mod id;
pub mod map;
pub mod money;
pub mod outcome;
pub mod secret;
pub mod tag;
pub mod tokens;
pub mod whose;
