//! Requests that are given up.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::*;

/// A body of one chunk and then silence; tells when it is dropped.
struct Endless {
    begun: bool,
    _gone: Gone,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.begun {
            return Poll::Pending;
        }
        self.begun = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from("data: {}\n\n")))))
    }
}

/// An origin that says when a request has come and when it is over; `/stream` begins an answer, else there is none.
async fn hanging(two: bool) -> (Origin, UnboundedReceiver<()>, UnboundedReceiver<()>) {
    let (came, arrivals) = mpsc::unbounded_channel();
    let (left, departures): (UnboundedSender<()>, _) = mpsc::unbounded_channel();
    let origin = Origin::start(Speech { two, ..Speech::default() }, move |_, request| {
        let gone = Gone(left.clone());
        came.send(()).ok();
        async move {
            match request.uri().path() {
                "/quick" => answer("yes"),
                "/stream" => Response::new(Endless { begun: false, _gone: gone }.boxed()),
                _ => {
                    std::future::pending::<()>().await;
                    drop(gone);
                    answer("never")
                }
            }
        }
    })
    .await;
    (origin, arrivals, departures)
}

async fn seen(events: &mut UnboundedReceiver<()>) {
    tokio::time::timeout(Duration::from_millis(250), events.recv())
        .await
        .expect("not within 250 ms")
        .unwrap();
}

#[tokio::test]
async fn a_request_dropped_before_the_head_is_closed_at_once() {
    for two in [false, true] {
        let (origin, mut arrivals, mut departures) = hanging(two).await;
        let network = network(origin.address, if two { HttpVersion::Two } else { HttpVersion::One });
        let waiting = tokio::spawn({
            let network = network.clone();
            async move { network.send(&request("/hang")).await.map(drop) }
        });
        soon(arrivals.recv()).await;
        waiting.abort();
        seen(&mut departures).await;
        until(|| network.stats().in_flight == 0).await;
        let connections = usize::from(two);
        until(|| network.stats().connections == connections).await;
    }
}

#[tokio::test]
async fn a_body_dropped_midway_is_closed_at_once() {
    for two in [false, true] {
        let (origin, _arrivals, mut departures) = hanging(two).await;
        let network = network(origin.address, if two { HttpVersion::Two } else { HttpVersion::One });
        let mut body = network.send(&request("/stream")).await.unwrap().into_body();
        let first = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "data: {}\n\n");
        drop(body);
        seen(&mut departures).await;
        assert_eq!(network.stats().in_flight, 0);
        let connections = usize::from(two);
        until(|| network.stats().connections == connections).await;
    }
}

#[tokio::test]
async fn the_one_who_leaves_takes_no_connection_from_the_others() {
    let speech = Speech { two: true, hesitate: Duration::from_millis(100), ..Speech::default() };
    let origin = Origin::start(speech, |_, _| async { answer("yes") }).await;
    let network = network(origin.address, HttpVersion::Two);
    let first = tokio::spawn({
        let network = network.clone();
        async move { ask(&network).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = ask(&network);
    first.abort();
    assert_eq!(second.await.unwrap(), "yes");
    assert_eq!(origin.connections(), 1);
    assert_eq!(network.stats().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_cancels_disturb_nobody() {
    let (origin, _arrivals, _departures) = hanging(true).await;
    let network = network(origin.address, HttpVersion::Two);
    // A stream that has to live through all of it.
    let mut witness = network.send(&request("/stream")).await.unwrap().into_body();
    soon(witness.frame()).await.unwrap().unwrap();
    for batch in 0..60 {
        let all = (0..50).map(|number| {
            let network = network.clone();
            tokio::spawn(async move {
                let path = if number % 2 == 0 { "/hang" } else { "/stream" };
                let patience = Duration::from_micros(100 * (number + batch) % 3000);
                match tokio::time::timeout(patience, network.send(&request(path))).await {
                    Ok(Err(error)) => panic!("{error}"),
                    Ok(Ok(response)) => drop(response),
                    Err(_) => (),
                }
            })
        });
        for one in futures_util::future::join_all(all).await {
            one.unwrap();
        }
        let quick = network.send(&request("/quick")).await.unwrap();
        assert_eq!(read(quick).await.unwrap(), "yes");
    }
    let still = tokio::time::timeout(Duration::from_millis(50), witness.frame()).await;
    assert!(still.is_err(), "the witness was ended: {still:?}");
    assert_eq!(network.stats().in_flight, 1);
}
