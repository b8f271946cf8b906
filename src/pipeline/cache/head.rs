//! How a flight begins for those who wait.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    base::deadline::Deadline,
    cache::{answer::told, flight::Seat},
    openai::Endpoint,
};

use super::super::{
    answer::{Facts, Summary},
    refusal::{Code, Refusal},
};

/// How a flight's answer begins.
#[derive(Clone, Debug)]
pub struct Head {
    /// How it came about, as the leader is told.
    pub facts: Box<Facts>,
    /// The answer, where it came whole; else it follows in pieces.
    pub whole: Option<Arc<Whole>>,
    /// What the leader wishes to be told at the end.
    pub summary: Option<Summary>,
    /// The key that leads; empty where none is needed.
    pub key: Arc<str>,
}

/// A whole answer; told as events once for all who want it so.
#[derive(Debug)]
pub struct Whole {
    /// The object.
    pub body: Bytes,
    /// Its events: without the usage, with it.
    events: [OnceLock<Option<Bytes>>; 2],
}

impl Whole {
    /// An object.
    pub fn new(body: Bytes) -> Arc<Self> {
        Arc::new(Self { body, events: Default::default() })
    }

    /// Its events, with the usage if it is wanted; `None` where it cannot be told so.
    pub fn events(&self, endpoint: Endpoint, usage: bool) -> Option<Bytes> {
        self.events[usize::from(usage)].get_or_init(|| told(endpoint, &self.body, usage)).clone()
    }
}

/// How a flight is refused.
#[derive(Clone, Debug)]
pub struct Turned {
    /// Why.
    pub refusal: Arc<Refusal>,
    /// The key that led; empty where none is needed.
    pub key: Arc<str>,
    /// Whether it was the leader's own deadline that was over, rather than the time that a target has.
    pub late: bool,
}

impl Turned {
    /// The refusal of a call that had to be over at `deadline`, at this moment.
    pub fn now(refusal: Refusal, key: Arc<str>, deadline: Deadline) -> Self {
        let late = refusal.code == Code::UpstreamTimeout && deadline.left(Instant::now()).is_zero();
        Self { refusal: Arc::new(refusal), key, late }
    }

    /// The refusal, for one who waited.
    pub fn refusal(&self) -> Box<Refusal> {
        Box::new(Refusal::clone(&self.refusal))
    }
}

/// A seat in a flight.
pub type Place = Seat<Head, Turned>;
