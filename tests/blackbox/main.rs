//! The gateway as its users meet it: the built binary, over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod dialects;
#[allow(dead_code, reason = "a tool for tests is whole before each part of it has a user")]
#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod anthropic;
mod auto;
mod bombs;
mod breaker;
mod cache;
mod canaries;
mod cascade;
mod check;
mod comeback;
mod crash;
mod credentials;
mod crowd;
mod dashboard;
mod dead;
mod degraded;
mod demo;
mod disk;
mod doors;
mod drain;
mod drips;
mod envelope;
mod failover;
mod fidelity;
mod fuzz;
mod grants;
mod headers;
mod health_check;
mod hedging;
mod history;
mod judge;
mod leaving;
mod limits;
mod made_keys;
mod money;
mod naming;
mod nonsense;
mod observed;
mod outage;
mod overload;
mod pings;
mod rate_limits;
mod refusals;
mod reload;
mod report;
mod series;
mod smuggling;
mod ssrf;
mod stale;
mod startup;
mod stream_order;
mod traces;
mod unread;
mod untraced;
