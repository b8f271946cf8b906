//! One idempotency key, one answer.

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    raw::RawUpstream,
    script::Script,
    served::Served,
    settings::{budget, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const KEYS: &str =
    "[[keys]]\nname = \"bot\"\nsecret = \"sk-bot\"\n[[keys]]\nname = \"other\"\nsecret = \"sk-other\"\n";

fn config(base_url: &str, more: &str) -> String {
    [
        KEYS,
        "[ledger]\nidempotency = true\n",
        &target("p", base_url, more, &price("10.0", "100.0")),
        &budget("b", "global", "daily = 100.0"),
    ]
    .concat()
}

fn ask(text: &str, stream: bool) -> Value {
    json!({ "model": "p", "stream": stream, "messages": [{ "role": "user", "content": text }] })
}

fn client(weir: &Weir, key: &str, idempotency_key: &str) -> Client {
    weir.client().key(key).header("idempotency-key", idempotency_key)
}

/// Ten at once; gives their answers.
async fn ten(client: &Client, body: &Value) -> Vec<Answer> {
    let all: Vec<_> = (0..10)
        .map(|_| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { client.post_json(CHAT, &body).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in all {
        answers.push(one.await.unwrap());
    }
    answers
}

async fn ten_equal(stream: bool) {
    let sim = Served::start("tokens=20&first_token=200ms&tps=200").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let client_1 = client(&weir, "sk-bot", "one");
    let answers = ten(&client_1, &ask("Say something.", stream)).await;
    let replayed = answers.iter().filter(|answer| answer.header("x-weir-replayed") == "true").count();
    assert_eq!(replayed, 9);
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &answers[0].body), "{}", answer.text());
        assert_eq!(answer.header("content-type"), answers[0].header("content-type"));
    }
    assert!(!stream || answers[0].text().ends_with("data: [DONE]\n\n"), "{}", answers[0].text());
    assert_eq!(sim.hits(), 1);
    let rows = weir.attempts(1).await;
    assert_eq!(weir.spent("b").await, rows[0].cost);
    // Another body under the same key is a mistake.
    let mismatch = client_1.post_json(CHAT, &ask("Say something else.", stream)).await;
    mismatch.refused(422, "invalid_request_error", "idempotency_mismatch", false);
    // Another virtual key has answers of its own.
    let other = client(&weir, "sk-other", "one").post_json(CHAT, &ask("Say something.", stream)).await;
    assert_eq!((other.status.as_u16(), other.header("x-weir-replayed"), sim.hits()), (200, "", 2));
    // After a restart, whose next answers would carry other ids, it is still the same answer.
    let weir = weir.again().await;
    let again = client(&weir, "sk-bot", "one").post_json(CHAT, &ask("Say something.", stream)).await;
    assert_eq!((again.header("x-weir-replayed"), &again.body), ("true", &answers[0].body));
    assert_eq!(again.header("x-weir-cost-usd"), "0");
    let fresh = client(&weir, "sk-bot", "two").post_json(CHAT, &ask("Say something.", stream)).await;
    assert_eq!((fresh.header("x-weir-replayed"), sim.hits()), ("", 3));
}

#[tokio::test]
async fn ten_at_once_get_one_whole_answer() {
    ten_equal(false).await;
}

#[tokio::test]
async fn ten_at_once_get_one_stream() {
    ten_equal(true).await;
}

#[tokio::test]
async fn a_refused_answer_is_not_kept() {
    let upstream = RawUpstream::start(vec![
        Script::json(
            400,
            r#"{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"no"}}"#,
        ),
        Script::json(200, &crate::support::openai::whole("Yes.")),
    ])
    .await;
    let weir = Weir::start(&config(&upstream.base_url(), "")).await;
    let client = client(&weir, "sk-bot", "one");
    let refused = client.post_json(CHAT, &ask("x", false)).await;
    assert_eq!(refused.status.as_u16(), 400, "{}", refused.text());
    for replayed in ["", "true"] {
        let answer = client.post_json(CHAT, &ask("x", false)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-weir-replayed")), (200, replayed));
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_cut_stream_is_not_kept() {
    let sim = Served::start("tokens=20&reset-after=5&first=1").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let client = client(&weir, "sk-bot", "one");
    let cut = Transcript::of(&mut client.stream(CHAT, &ask("x", true)).await).await;
    assert!(cut.is_cut(), "{cut:?}");
    let whole = Transcript::of(&mut client.stream(CHAT, &ask("x", true)).await).await;
    assert!(whole.is_clean(), "{whole:?}");
    assert_eq!(sim.hits(), 2);
    let again = client.post_json(CHAT, &ask("x", true)).await;
    assert_eq!((again.header("x-weir-replayed"), sim.hits()), ("true", 2));
}

#[tokio::test]
async fn who_leaves_in_the_middle_leaves_no_answer_behind() {
    let sim = Served::start("tokens=40&tps=40").await;
    let weir = Weir::start(&config(&sim.base_url(), "")).await;
    let client = client(&weir, "sk-bot", "one");
    let mut stream = client.stream(CHAT, &ask("x", true)).await;
    stream.next().await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.post_json(CHAT, &ask("x", true)).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(sim.hits(), 1, "the second one waits for the first");
    drop(stream);
    // Now the second one leads.
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-weir-replayed"), sim.hits()), (200, "", 2));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn what_was_paid_for_is_given_again_when_all_is_spent() {
    let sim = Served::start("tokens=300").await;
    let config = config(&sim.base_url(), "").replace("daily = 100.0", "daily = 0.04");
    let weir = Weir::start(&config).await;
    let asked = async |name: &str| client(&weir, "sk-bot", name).post_json(CHAT, &ask("x", false)).await;
    let first = asked("one").await;
    assert_eq!(first.status, 200, "{}", first.text());
    asked("two").await.refused(429, "insufficient_quota", "budget_exceeded", false);
    let again = asked("one").await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    assert_eq!(sim.hits(), 1);
}

#[tokio::test]
async fn where_answers_are_not_to_be_kept_none_is() {
    let sim = Served::start("tokens=20").await;
    let weir = Weir::start(&config(&sim.base_url(), "").replace("idempotency = true", "")).await;
    for hits in 1..=2 {
        let answer = client(&weir, "sk-bot", "one").post_json(CHAT, &ask("x", false)).await;
        assert_eq!((answer.header("x-weir-replayed"), sim.hits()), ("", hits));
    }
    let answer = client(&weir, "sk-bot", "one").post_json(CHAT, &ask("x", false)).await;
    let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    for file in std::fs::read_dir(weir.folder()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "an answer is in the ledger");
    }
}
