//! The walk of one request: a tower stack over typed steps.

mod answer;
mod auto;
mod budget;
mod cache;
mod cascade;
mod classify;
mod conversations;
mod dispatch;
mod idempotency;
mod job;
mod judge;
mod plan;
mod rate;
mod recent;
mod refusal;
pub mod snapshot;
mod stack;
mod step;
mod verdict;

pub use answer::{Answer, AnswerStream, CLIENT_LEFT, Cached, Content, Facts, Money, StandIn};
pub use cache::Vault;
pub use job::{Asked, CacheWish, Job, Wishes};
pub use refusal::{Code, Refusal};
pub use snapshot::Snapshot;
pub use stack::{Pipeline, pipeline};
