//! Reads a request's body within its limits.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::poll;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    config,
    pipeline::{Code, Refusal},
};

const KIB: usize = 1024;

/// A request's body: as it comes from a connection, without a box around it, or from elsewhere.
#[derive(Debug)]
pub enum Inbound {
    /// From a connection.
    Wire(Incoming),
    /// From whoever calls.
    Other(Body),
}

impl From<Incoming> for Inbound {
    fn from(body: Incoming) -> Self {
        Self::Wire(body)
    }
}

impl From<Inbound> for Body {
    fn from(body: Inbound) -> Self {
        match body {
            Inbound::Wire(body) => Self::new(body),
            Inbound::Other(body) => body,
        }
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    /// That it broke off: why is nobody's business here.
    type Error = ();

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        match self.get_mut() {
            Self::Wire(body) => Pin::new(body).poll_frame(cx).map_err(drop),
            Self::Other(body) => Pin::new(body).poll_frame(cx).map_err(drop),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// The body, and the memory that it counts for until the second part is dropped.
///
/// # Errors
/// The limit that the body breaks, by the name of its key.
pub async fn read(
    headers: &HeaderMap,
    body: Inbound,
    server: &config::Server,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Box<Refusal>> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::bad_header(
            "content-encoding",
            "absent or `identity`: send the body uncompressed",
        )
        .into());
    }
    let limit = server.max_body.bytes();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(server));
    }
    let mut body = pin!(collect(body, limit, room, server));
    // One that came together with its head, as most do, needs no timer.
    if let Poll::Ready(result) = poll!(body.as_mut()) {
        return result;
    }
    match timeout(server.body_timeout.0, body).await {
        Ok(result) => result,
        Err(_) => {
            Err(Refusal::new(Code::RequestTimeout, "The body did not come in time (server.body_timeout).")
                .into())
        }
    }
}

async fn collect(
    mut body: Inbound,
    limit: usize,
    room: &Arc<Semaphore>,
    server: &config::Server,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Box<Refusal>> {
    let mut permits: Option<OwnedSemaphorePermit> = None;
    let mut counted = 0;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Refusal::new(Code::InvalidRequest, "The body broke off before its end.").into());
        };
        let Ok(chunk) = frame.into_data() else { continue };
        let length = first.len() + all.len() + chunk.len();
        if length > limit {
            return Err(too_large(server));
        }
        if length > counted {
            let more = take(room, length - counted)?;
            match &mut permits {
                Some(permits) => permits.merge(more),
                None => permits = Some(more),
            }
            counted += (length - counted).div_ceil(KIB) * KIB;
        }
        // A body that comes in one piece is not copied.
        if first.is_empty() && all.is_empty() {
            first = chunk;
        } else {
            if all.is_empty() {
                all.reserve(body.size_hint().lower().min(limit as u64) as usize + length);
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, permits))
}

fn take(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Box<Refusal>> {
    let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
    Arc::clone(room).try_acquire_many_owned(kib).map_err(|_| {
        let message =
            "The bodies of the requests under way take all the memory they may (server.max_body_memory).";
        Refusal::new(Code::Overloaded, message).after(Duration::from_secs(1)).into()
    })
}

fn too_large(server: &config::Server) -> Box<Refusal> {
    let message = format!("The body is larger than {} (server.max_body).", server.max_body);
    Refusal::new(Code::RequestTooLarge, message).into()
}
