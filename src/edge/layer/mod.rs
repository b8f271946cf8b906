//! What every request of a group passes through before its handler.

pub mod admin;
pub mod auth;
pub mod identify;
mod local;
pub mod shed;
