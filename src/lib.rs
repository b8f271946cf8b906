//! Weir: an OpenAI-compatible LLM gateway.

pub mod base;
pub mod config;
pub mod openai;
pub mod route;
