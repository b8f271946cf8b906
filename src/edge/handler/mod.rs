//! One file a group of paths.

pub mod admin;
pub mod ask;
pub mod budgets;
pub mod cache;
pub mod health;
pub mod keys;
pub mod ledger;
pub mod metrics;
pub mod models;
pub mod targets;
