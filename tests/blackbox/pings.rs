//! A quiet stream is kept alive by comments, once it has content.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};

use crate::support::{
    openai::{DONE, ask_stream, role, stop, stream_then, text},
    raw::RawUpstream,
    script::Step,
    settings::chain,
    transcript::CHAT,
    weir::Weir,
    wire,
};

#[tokio::test]
async fn a_quiet_stream_gets_comments_between_its_events() {
    let (content, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (half, rest) = {
        let event = text("lo");
        (event[..20].to_owned(), event[20..].to_owned())
    };
    let steps = [
        Step::Wait(Arc::clone(&content)),
        // The second event is only half there when it falls silent.
        Step::Send(wire::chunk(text("Hel") + &half)),
        Step::Wait(Arc::clone(&end)),
        Step::Send(wire::chunk(rest + &stop() + DONE)),
        Step::Send(wire::last_chunk()),
    ];
    let upstream = RawUpstream::start(vec![stream_then(&[role()], &steps)]).await;
    let toml = format!("{}[server]\nstream_ping = \"100ms\"\n", chain(&[("first", &upstream.base_url())]));
    let weir = Weir::start(&toml).await;
    let (client, body) = (weir.client(), ask_stream("chain"));
    let mut asking = std::pin::pin!(client.try_stream(CHAT, &body));
    // Before content another target could still answer: nothing is said, not even a comment.
    assert!(timeout(Duration::from_millis(400), &mut asking).await.is_err());
    content.notify_one();
    let mut stream = asking.await.unwrap();
    let mut events = Vec::new();
    while events.iter().filter(|comment| *comment == "ping").count() < 3 {
        events.push(stream.next().await.unwrap().comment);
    }
    assert_eq!(events, ["", "", "ping", "ping", "ping"]);
    end.notify_one();
    stream.rest().await;
    let raw = String::from_utf8(stream.raw().to_vec()).unwrap();
    let expected = [role(), text("Hel"), text("lo"), stop(), DONE.to_owned()].concat();
    assert_eq!(raw.replace(": ping\n\n", ""), expected);
    assert!(raw.starts_with(&format!("{}{}: ping\n\n: ping\n\n", role(), text("Hel"))), "{raw}");
}
