//! What a scripted upstream does, step by step.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::wire;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Write these bytes, flushed at once.
    Send(Vec<u8>),
    /// Do nothing for so long.
    Sleep(Duration),
    /// Do nothing until the test says so.
    Wait(Arc<Notify>),
    /// Do nothing until the peer leaves.
    Hang,
    /// End the connection with a reset: what is under way is lost.
    Reset,
    /// End the connection cleanly.
    Close,
}

/// When a script begins, with its steps. After the last one the connection waits for the next request.
#[derive(Clone, Debug)]
pub enum Script {
    /// As soon as a request has come in whole.
    OnRequest(Vec<Step>),
    /// As soon as the connection is accepted.
    OnAccept(Vec<Step>),
}

impl Script {
    /// Answers a request with these bytes.
    pub fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::OnRequest(vec![Step::Send(bytes.into())])
    }

    /// Answers a request with JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::send(wire::json_answer(status, body))
    }

    /// Answers a request with a chunked event stream, one chunk for each of `parts`, then its end.
    pub fn stream<P: AsRef<[u8]>>(parts: &[P]) -> Self {
        let mut steps = vec![Step::Send(wire::sse_head())];
        steps.extend(parts.iter().map(|part| Step::Send(wire::chunk(part))));
        steps.push(Step::Send(wire::last_chunk()));
        Self::OnRequest(steps)
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::OnRequest(steps) | Self::OnAccept(steps) => steps,
        }
    }
}
