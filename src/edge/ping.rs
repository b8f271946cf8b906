//! Comments that keep a quiet stream alive.
//!
//! Proxies and clients give a connection up that says nothing for long, while a model that thinks may say nothing for
//! minutes. A comment is no event: readers of server-sent events pass over it.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep};

/// A sign of life between two frames.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// Frames, with a ping wherever none came for a while. A ping stands between two frames, never inside one.
#[derive(Debug)]
pub struct Pinged<S> {
    stream: S,
    every: Duration,
    /// When the last frame or ping went out.
    spoke: Instant,
    /// None: no pings. It is not set anew for each frame, only when it comes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Pinged<S> {
    /// Pings where `stream` says nothing for `every`; zero: never.
    pub fn new(stream: S, every: Duration) -> Self {
        let timer = (!every.is_zero()).then(|| Box::pin(sleep(every)));
        Self { stream, every, spoke: Instant::now(), timer }
    }

    /// The stream itself, to look at.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream itself.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: Stream<Item = Bytes> + Unpin> Stream for Pinged<S> {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.stream).poll_next(cx) {
            this.spoke = Instant::now();
            return Poll::Ready(frame);
        }
        let Some(timer) = &mut this.timer else { return Poll::Pending };
        while timer.as_mut().poll(cx).is_ready() {
            let (now, due) = (Instant::now(), this.spoke + this.every);
            if now < due {
                timer.as_mut().reset(due);
                continue;
            }
            this.spoke = now;
            timer.as_mut().reset(now + this.every);
            return Poll::Ready(Some(PING));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use tokio::time::sleep_until;

    use super::*;

    /// What comes out of frames at these seconds, each with the second when it came.
    async fn heard(frames: &'static [(u64, &'static str)], every: u64) -> Vec<(u64, Bytes)> {
        let begun = Instant::now();
        let frames = stream::iter(frames).then(move |(second, frame)| async move {
            sleep_until(begun + Duration::from_secs(*second)).await;
            Bytes::from_static(frame.as_bytes())
        });
        let pinged = Pinged::new(Box::pin(frames), Duration::from_secs(every));
        pinged.map(|frame| (begun.elapsed().as_secs(), frame)).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_gets_a_ping_every_15_seconds() {
        let heard = heard(&[(0, "a"), (1, "b"), (50, "c"), (64, "d"), (80, "e")], 15).await;
        let ping = || PING;
        let frame = |text: &'static str| Bytes::from_static(text.as_bytes());
        let expected = [
            (0, frame("a")),
            (1, frame("b")),
            (16, ping()),
            (31, ping()),
            (46, ping()),
            (50, frame("c")),
            (64, frame("d")),
            (79, ping()),
            (80, frame("e")),
        ];
        assert_eq!(heard, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_gets_none() {
        let heard = heard(&[(0, "a"), (14, "b"), (28, "c"), (42, "d")], 15).await;
        assert_eq!(heard.len(), 4, "{heard:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn zero_switches_them_off() {
        assert_eq!(heard(&[(0, "a"), (600, "b")], 0).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_for_a_stream_that_nobody_reads() {
        let mut pinged = Pinged::new(stream::pending(), Duration::from_secs(15));
        tokio::time::sleep(Duration::from_secs(600)).await;
        // Then one for all of the time.
        let begun = Instant::now();
        assert_eq!(pinged.next().await, Some(PING));
        assert_eq!(pinged.next().await, Some(PING));
        assert_eq!(begun.elapsed().as_secs(), 15);
    }
}
