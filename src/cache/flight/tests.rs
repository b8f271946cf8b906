//! What a flight promises to whoever has a seat in it.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    cache::key::{Entry, Tenant},
    openai::{Ask, Endpoint},
};

type Two = (Lead<u8, u8>, Seat<u8, u8>);

fn key() -> Key {
    let ask = Ask::parse(Endpoint::Embeddings, r#"{"model":"r","input":"x"}"#.into()).unwrap();
    Key::of(Tenant::Global, [Entry { kind: "route", name: "r", epoch: [0; 32] }].into_iter(), true, &ask)
}

fn lead(flights: &Arc<Flights<u8, u8>>) -> Two {
    match flights.join(key(), || None::<()>) {
        Joined::Lead(lead, seat) => (lead, seat),
        _ => panic!("somebody leads"),
    }
}

fn follow(flights: &Arc<Flights<u8, u8>>) -> Seat<u8, u8> {
    match flights.join(key(), || None::<()>) {
        Joined::Follow(seat) => seat,
        _ => panic!("nobody leads"),
    }
}

fn part(size: usize) -> Piece {
    Piece::Part(Bytes::from(vec![b'x'; size]))
}

fn last() -> Piece {
    Piece::Last(Bytes::from_static(b"end"))
}

async fn all(mut seat: Seat<u8, u8>) -> (usize, bool) {
    assert!(matches!(seat.start().await, Start::Answered(7)));
    let (mut bytes, mut whole) = (0, false);
    while let Some(piece) = seat.piece().await {
        bytes += piece.len();
        whole = matches!(piece, Piece::Last(_));
    }
    (bytes, whole)
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_gets_what_has_come_and_then_follows() {
    let flights = Flights::new(usize::MAX);
    let (pilot, seat) = lead(&flights);
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            for _ in 0..10 {
                lead.push(part(10)).await;
                sleep(Duration::from_millis(10)).await;
            }
            lead.push(last()).await;
        })
    });
    let first = tokio::spawn(all(seat));
    sleep(Duration::from_millis(45)).await;
    let late = tokio::spawn(all(follow(&flights)));
    assert_eq!((first.await.unwrap(), late.await.unwrap()), ((103, true), (103, true)));
    assert!(matches!(flights.join(key(), || Some(1)), Joined::There(1)));
}

#[tokio::test(start_paused = true)]
async fn the_work_ends_when_the_last_one_leaves_and_not_before() {
    struct Mark(Arc<AtomicBool>);
    impl Drop for Mark {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flights = Flights::new(usize::MAX);
    let (pilot, first) = lead(&flights);
    let over = Arc::new(AtomicBool::new(false));
    let mark = Mark(Arc::clone(&over));
    pilot.fly(|lead| {
        Box::pin(async move {
            let (_lead, _mark) = (lead, mark);
            sleep(Duration::from_secs(3600)).await;
        })
    });
    let second = follow(&flights);
    tokio::task::yield_now().await;
    drop(first);
    assert!(!over.load(Ordering::SeqCst));
    drop(second);
    assert!(over.load(Ordering::SeqCst), "at once");
    drop(lead(&flights));
    assert!(lock(&flights.known).is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_leads_alone_works_itself_until_somebody_follows() {
    let flights = Flights::new(usize::MAX);
    let (pilot, mut seat) = lead(&flights);
    let steps = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&steps);
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            for _ in 0..10 {
                taken.fetch_add(1, Ordering::SeqCst);
                lead.push(part(10)).await;
                sleep(Duration::from_millis(10)).await;
            }
            lead.push(last()).await;
        })
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(steps.load(Ordering::SeqCst), 0, "nobody reads");
    assert!(matches!(seat.start().await, Start::Answered(7)));
    assert_eq!(seat.piece().await, Some(part(10)));
    assert_eq!(seat.piece().await, Some(part(10)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(steps.load(Ordering::SeqCst), 2, "it waits for who leads");
    // From here on the leader may be as slow as it likes.
    assert_eq!(all(follow(&flights)).await, (103, true));
    assert_eq!(seat.piece().await, Some(part(10)));
    assert_eq!(all(seat).await, (73, true));
}

#[tokio::test(start_paused = true)]
async fn past_the_bound_nobody_joins_and_the_slowest_sets_the_pace() {
    let flights = Flights::new(usize::MAX);
    let (pilot, mut slow) = lead(&flights);
    let mut fast = follow(&flights);
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            for _ in 0..40 {
                lead.push(part(100_000)).await;
            }
            lead.push(last()).await;
        })
    });
    let read = async |seat: &mut Seat<u8, u8>| {
        let mut pieces = 0;
        while let Ok(Some(_)) = timeout(Duration::from_secs(1), seat.piece()).await {
            pieces += 1;
        }
        pieces
    };
    let held = |flights: &Flights<u8, u8>| lock(&flights.known).len();
    let before = read(&mut fast).await;
    assert_eq!((before, held(&flights)), (10, 0), "it waits for the slow one");
    for _ in 0..5 {
        slow.piece().await.unwrap();
    }
    assert_eq!(read(&mut fast).await, 5);
    assert!(lock(&slow.flight.state).held.bytes() <= MOST_HELD);
    drop(slow);
    assert_eq!(read(&mut fast).await, 41 - 15, "whoever has left is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_all_who_wait_and_nobody_after() {
    let flights = Flights::new(usize::MAX);
    let (pilot, mut seat) = lead(&flights);
    let mut other = follow(&flights);
    pilot.fly(|lead| Box::pin(async move { lead.refuse(3) }));
    assert!(matches!(seat.start().await, Start::Refused(3)));
    assert!(matches!(other.start().await, Start::Refused(3)));
    let _ = lead(&flights);
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_without_a_word_leaves_nobody_waiting() {
    let flights = Flights::new(usize::MAX);
    let (pilot, mut seat) = lead(&flights);
    pilot.fly(|lead| {
        Box::pin(async move {
            let _lead = lead;
            panic!("a fault");
        })
    });
    assert!(matches!(seat.start().await, Start::Lost));
    let (pilot, mut seat) = lead(&flights);
    pilot.begin(7);
    drop(pilot);
    assert!(matches!(seat.start().await, Start::Answered(7)));
    assert_eq!(seat.piece().await, None, "a stream without an end is no whole one");
}

#[tokio::test]
async fn alone_is_alone() {
    let flights: Arc<Flights<u8, u8>> = Flights::new(usize::MAX);
    let (_lead, _seat) = flights.alone(key());
    let _ = lead(&flights);
}

fn told(text: &str, end: Option<&str>) -> Piece {
    let choice = serde_json::json!({ "index": 0, "delta": { "content": text }, "finish_reason": end });
    Piece::Part(format!("data: {}\n\n", serde_json::json!({ "choices": [choice] })).into())
}

fn content(ended: &Ended) -> String {
    let Ended::Whole(body) = ended else { panic!("{ended:?}") };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn whole(seat: Seat<u8, u8>) -> tokio::task::JoinHandle<Ended> {
    tokio::spawn(async move { seat.whole(Endpoint::Chat).await })
}

#[tokio::test(start_paused = true)]
async fn all_who_want_an_object_share_one() {
    let flights = Flights::new(usize::MAX);
    let (pilot, first) = lead(&flights);
    let early = [whole(follow(&flights)), whole(follow(&flights))];
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            for text in ["a", "b", "c"] {
                lead.push(told(text, None)).await;
                sleep(Duration::from_millis(10)).await;
            }
            lead.push(told("d", Some("stop"))).await;
            lead.push(last()).await;
        })
    });
    sleep(Duration::from_millis(15)).await;
    let (late, last_seat) = (whole(follow(&flights)), follow(&flights));
    let mut all = Vec::new();
    for one in early.into_iter().chain([late]) {
        all.push(one.await.unwrap());
    }
    // After the end, from a seat that was taken before it.
    all.push(whole(last_seat).await.unwrap());
    assert_eq!(content(&all[0]), "abcd");
    let place = |ended: &Ended| if let Ended::Whole(body) = ended { body.as_ptr() } else { panic!() };
    assert!(all.iter().all(|one| place(one) == place(&all[0])), "one copy");
    drop(first);
    assert_eq!(flights.room.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_wants_an_object_learns_how_the_stream_broke() {
    let flights = Flights::new(usize::MAX);
    for cut in [true, false] {
        let (pilot, seat) = lead(&flights);
        let other = whole(follow(&flights));
        let late = follow(&flights);
        pilot.fly(move |lead| {
            Box::pin(async move {
                lead.begin(7);
                lead.push(told("a", None)).await;
                sleep(Duration::from_millis(10)).await;
                if cut {
                    lead.push(Piece::Cut("no".into())).await;
                }
            })
        });
        let ended = if cut { Ended::Cut("no".into()) } else { Ended::Lost };
        assert_eq!(other.await.unwrap(), ended);
        assert_eq!(late.whole(Endpoint::Chat).await, ended);
        drop(seat);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_as_an_object_is_no_object() {
    let flights = Flights::new(usize::MAX);
    let (pilot, _seat) = lead(&flights);
    let other = whole(follow(&flights));
    pilot.begin(7);
    pilot.push(part(10)).await;
    pilot.push(last()).await;
    assert_eq!(other.await.unwrap(), Ended::Unfit);
}

#[tokio::test(start_paused = true)]
async fn all_flights_together_hold_no_more_than_they_may() {
    const MOST: usize = 1_000_000;
    let flights = Flights::new(MOST);
    let mut open = Vec::new();
    for number in 0..8_u64 {
        // Nobody reads: each holds what it may.
        let key = key().among([&number.to_le_bytes()[..]]);
        let Joined::Lead(pilot, seat) = flights.join(key, || None::<()>) else { panic!("somebody leads") };
        pilot.fly(|lead| {
            Box::pin(async move {
                lead.begin(7);
                for _ in 0..20 {
                    lead.push(part(50_000)).await;
                }
                lead.push(last()).await;
            })
        });
        // Once somebody has followed the work goes on by itself.
        let Joined::Follow(_) = flights.join(key, || None::<()>) else { panic!("nobody leads") };
        sleep(Duration::from_millis(1)).await;
        open.push((key, seat));
    }
    // One piece each is passed on whatever there is room for.
    assert!(flights.room.taken() <= MOST + 7 * 50_000, "{}", flights.room.taken());
    let (key, last_seat) = open.pop().unwrap();
    assert!(matches!(flights.join(key, || Some(())), Joined::There(())), "nobody joins what is not held");
    // All of it comes all the same, one piece at a time.
    assert_eq!(all(last_seat).await, (1_000_003, true));
    for (_, seat) in open {
        assert_eq!(all(seat).await, (1_000_003, true));
    }
    assert_eq!(flights.room.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_room_nothing_is_put_together() {
    let flights = Flights::new(100);
    let (pilot, mut seat) = lead(&flights);
    let other = whole(follow(&flights));
    tokio::task::yield_now().await;
    pilot.begin(7);
    pilot.push(told("a", None)).await;
    assert_eq!(other.await.unwrap(), Ended::Unfit);
    assert_eq!(seat.piece().await, Some(told("a", None)));
}

#[tokio::test(start_paused = true)]
async fn who_wants_an_object_sets_no_pace() {
    let flights = Flights::new(usize::MAX);
    let (pilot, seat) = lead(&flights);
    let object = whole(follow(&flights));
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            for _ in 0..40 {
                lead.push(told(&"x".repeat(100_000), None)).await;
            }
            lead.push(told("", Some("stop"))).await;
            lead.push(last()).await;
        })
    });
    drop(seat);
    assert_eq!(content(&object.await.unwrap()).len(), 4_000_000);
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_what_was_closed() {
    let flights = Flights::new(usize::MAX);
    let (pilot, seat) = lead(&flights);
    flights.close();
    let (_pilot, _seat) = lead(&flights);
    pilot.fly(|lead| {
        Box::pin(async move {
            lead.begin(7);
            lead.push(last()).await;
        })
    });
    assert_eq!(all(seat).await, (3, true), "who has a seat keeps it");
    let _ = follow(&flights);
}
