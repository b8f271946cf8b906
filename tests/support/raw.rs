//! An upstream of raw bytes that plays scripts, for faults that no HTTP server can show.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    script::{Script, Step},
    wire::{self, RawRequest},
};

/// A scripted upstream on a free port of 127.0.0.1. Each request takes the next script; the last one is for all that
/// follow.
pub struct RawUpstream {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    scripts: Mutex<VecDeque<Script>>,
    requests: Mutex<Vec<RawRequest>>,
    accepted: Mutex<Vec<Instant>>,
    left: Mutex<Vec<(usize, Instant)>>,
}

/// How a connection ended.
enum End {
    PeerLeft,
    Reset,
    Close,
}

impl RawUpstream {
    /// Starts one.
    pub async fn start(scripts: Vec<Script>) -> Self {
        assert!(!scripts.is_empty(), "a scripted upstream needs a script");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            scripts: Mutex::new(scripts.into()),
            requests: Mutex::default(),
            accepted: Mutex::default(),
            left: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// Where it listens, like `127.0.0.1:40001`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A `base_url` for a provider.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every whole request so far.
    pub fn requests(&self) -> Vec<RawRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Waits for the request with this number, counted from 0.
    pub async fn request(&self, number: usize) -> RawRequest {
        wait_for(|| self.state.requests.lock().unwrap().get(number).cloned()).await
    }

    /// When each connection was accepted.
    pub fn connections(&self) -> Vec<Instant> {
        self.state.accepted.lock().unwrap().clone()
    }

    /// When the peer of a connection, counted from 0, left: waits for it.
    pub async fn peer_left(&self, connection: usize) -> Instant {
        wait_for(|| {
            let left = self.state.left.lock().unwrap();
            left.iter().find(|(number, _)| *number == connection).map(|(_, at)| *at)
        })
        .await
    }

    /// Adds a script behind the others. The last one given stays for all further requests.
    pub fn then(&self, script: Script) {
        self.state.scripts.lock().unwrap().push_back(script);
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Looks again and again until there is something, for 20 seconds at most.
pub async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "what the test waits for did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Connections end with the test's runtime, or with the peer.
    while let Ok((stream, _)) = listener.accept().await {
        let mut accepted = state.accepted.lock().unwrap();
        let number = accepted.len();
        accepted.push(Instant::now());
        tokio::spawn(converse(stream, number, Arc::clone(&state)));
    }
}

async fn converse(mut stream: TcpStream, number: usize, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let end = {
        let (reader, writer) = stream.split();
        let (send, receive) = mpsc::unbounded_channel();
        tokio::select! {
            () = listen(reader, number, &state, send) => End::PeerLeft,
            end = act(writer, &state, receive) => end,
        }
    };
    match end {
        End::PeerLeft => state.left.lock().unwrap().push((number, Instant::now())),
        End::Reset => stream.set_zero_linger().unwrap(),
        // The peer may be gone already.
        End::Close => drop(stream.shutdown().await),
    }
}

/// Records requests until the peer leaves. It reads on while a script plays, so that a close is seen at once.
async fn listen(mut reader: ReadHalf<'_>, number: usize, state: &State, arrived: mpsc::UnboundedSender<()>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_buf(&mut bytes).await {
        while let Some(request) = wire::take_request(&mut bytes, number) {
            state.requests.lock().unwrap().push(request);
            // Fails only when the script has ended the connection.
            let _ = arrived.send(());
        }
    }
}

async fn act(mut writer: WriteHalf<'_>, state: &State, mut arrived: mpsc::UnboundedReceiver<()>) -> End {
    if let Some(script) = state.next_script(true)
        && let Some(end) = play(&mut writer, &script).await
    {
        return end;
    }
    while arrived.recv().await.is_some() {
        let script = state.next_script(false).expect("there is always a last script");
        if let Some(end) = play(&mut writer, &script).await {
            return end;
        }
    }
    End::PeerLeft
}

impl State {
    /// The next script; at accept only one that is meant for it.
    fn next_script(&self, at_accept: bool) -> Option<Script> {
        let mut scripts = self.scripts.lock().unwrap();
        let next = scripts.front()?.clone();
        if at_accept && !matches!(next, Script::OnAccept(_)) {
            return None;
        }
        if scripts.len() > 1 {
            scripts.pop_front();
        }
        Some(next)
    }
}

async fn play(writer: &mut WriteHalf<'_>, script: &Script) -> Option<End> {
    for step in script.steps() {
        match step {
            // A peer that has left is noticed by the reader.
            Step::Send(bytes) => drop(writer.write_all(bytes).await),
            Step::Sleep(span) => tokio::time::sleep(*span).await,
            Step::Wait(signal) => signal.notified().await,
            // The reader's side ends the connection when the peer leaves.
            Step::Hang => std::future::pending().await,
            Step::Reset => return Some(End::Reset),
            Step::Close => return Some(End::Close),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::client::{Client, exchange, joined};
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn it_records_requests_then_answers_by_its_scripts() {
        let upstream = RawUpstream::start(vec![
            Script::json(200, "{\"a\": 1}"),
            Script::stream(&[
                "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n",
            ]),
        ])
        .await;
        let client = Client::new(&upstream.base_url()).key("k");
        let answer = client.post_json("/x", &json!({"q": 1})).await;
        assert_eq!(answer.json()["a"], 1);
        let mut stream = client.stream("/x", &json!({"q": 2})).await;
        let events = stream.rest().await;
        assert_eq!(joined(&events), "Hello");
        assert!(events[2].is_done() && !stream.broken());
        let seen = upstream.request(1).await;
        assert_eq!(seen.line(), "POST /v1/x HTTP/1.1");
        assert_eq!((seen.json()["q"].as_u64(), seen.header("Authorization")), (Some(2), Some("Bearer k")));
    }

    #[tokio::test]
    async fn a_reset_breaks_a_stream_while_a_hang_notices_the_peer_leave() {
        let cut = vec![Step::Send(wire::sse_head()), Step::Send(wire::chunk("data: 1\n\n")), Step::Reset];
        let hang = vec![Step::Send(wire::sse_head()), Step::Send(wire::chunk("data: 1\n\n")), Step::Hang];
        let upstream = RawUpstream::start(vec![Script::OnRequest(cut), Script::OnRequest(hang)]).await;
        let client = Client::new(&upstream.base_url());
        let mut stream = client.stream("/x", &json!({})).await;
        stream.rest().await;
        assert!(stream.broken());
        let mut stream = client.stream("/x", &json!({})).await;
        assert_eq!(stream.next().await.unwrap().data, "1");
        let before = Instant::now();
        drop(stream);
        assert!(upstream.peer_left(1).await >= before);
    }

    #[tokio::test]
    async fn a_script_at_accept_speaks_first() {
        let steps = vec![Step::Send(b"hello".to_vec()), Step::Close];
        let upstream = RawUpstream::start(vec![Script::OnAccept(steps)]).await;
        assert_eq!(exchange(upstream.address(), b"", Duration::from_secs(5)).await, b"hello");
    }
}
