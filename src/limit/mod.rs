//! The limits on what one key or one address may ask for.

pub mod bucket;
pub mod concurrency;
pub mod failures;
pub mod registry;
pub mod tokens;
