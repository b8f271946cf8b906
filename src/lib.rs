//! Weir: an OpenAI-compatible LLM gateway.

pub mod base;
pub mod cli;
pub mod config;
pub mod edge;
pub mod keys;
pub mod openai;
pub mod route;
pub mod limit;
pub mod sim;
