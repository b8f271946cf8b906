//! Weir: an OpenAI-compatible LLM gateway.
//!
//! The walk of one request: [`edge`] takes it in, finds out who asks and whether there is room, and reads the body
//! into an [`openai::Ask`]. The [`pipeline`] finds what is asked for, plans the chain of targets and hands it to
//! [`upstream`], which tries them in turn until one has content. The answer's bytes go back through [`edge`] as they
//! come. Modules are listed by level; each imports only from levels above it in this list.

// 0: the vocabulary.
pub mod base;
// 1: data.
pub mod config;
pub mod openai;
// 2: policies.
pub mod classify;
pub mod health;
pub mod keys;
pub mod limit;
pub mod metrics;
pub mod price;
pub mod quality;
// 3: decisions and formats.
pub mod budget;
pub mod cache;
pub mod ledger;
pub mod news;
pub mod provider;
pub mod route;
pub mod sim;
pub mod trace;
// 4: leave to spend, and Weir's own calls.
pub mod egress;
pub mod spend;
// 5: the request path's network, and who is told what happened.
pub mod alerts;
pub mod otlp;
pub mod upstream;
// 6: the walk.
pub mod pipeline;
// 7: HTTP.
pub mod edge;
// 8: the process.
pub mod app;
pub mod cli;
