//! The gateway as its users meet it: the built binary, over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "a tool for tests is whole before each part of it has a user")]
#[path = "../support/mod.rs"]
mod support;

mod credentials;
mod crowd;
mod drain;
mod failover;
mod fidelity;
mod leaving;
mod naming;
mod nonsense;
mod outage;
mod refusals;
mod stale;
mod stream_order;
