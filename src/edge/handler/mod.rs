//! One file a group of paths.

pub mod admin;
pub mod ask;
pub mod health;
pub mod metrics;
pub mod models;
