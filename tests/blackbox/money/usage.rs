//! Providers that say nothing of what they took, or say that it was nothing.

use serde_json::{Value, json};

use crate::support::{
    ledger::Row,
    served::Served,
    settings::{OPEN, budget, price, target},
    transcript::{CHAT, Transcript},
    weir::Weir,
};

const PROMPTS: [&str; 20] = [
    "Say something.",
    "Tell me of the sea, the wind, the ships that crossed it a thousand years ago, and who sailed them.",
    "Compare borrowing with ownership in Rust, with an example of each that a beginner understands at once.",
    "Was ist der Unterschied zwischen einer Schraube und einem Nagel, und wann nimmt man das eine statt des anderen?",
    "Quelle est la capitale de la France, et pourquoi n'est-ce pas Lyon, qui était plus grande à une époque ?",
    "日本の四季について、それぞれの特徴を三つずつ教えてください。",
    "Объясните, пожалуйста, почему небо голубое, а закат красный, простыми словами.",
    "fn main() { let mut sum = 0u64; for i in 0..100 { sum += i * i; } println!(\"{sum}\"); }",
    "SELECT name, count(*) FROM orders JOIN users USING (user_id) GROUP BY 1 HAVING count(*) > 10 ORDER BY 2 DESC;",
    "{\"kind\": \"invoice\", \"lines\": [{\"sku\": \"A-1\", \"amount\": 12.5}, {\"sku\": \"B-22\", \"amount\": 7}]}",
    "🦀🦀🦀 How many crabs are there? 🦀🦀",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610: what comes next, and how do you know?",
    "Write a haiku about a leaking tap at night.",
    "Summarise in one sentence: the meeting was moved from Tuesday to Thursday because the room was taken.",
    "Who was Ada Lovelace?",
    "Translate into Dutch: the cat sat on the mat, looked at the moon, and thought of fish.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "https://example.com/a/very/long/path?with=query&and=more#fragment is what kind of thing?",
    "Please list all planets with their moons, leaving out moons smaller than a hundred kilometres across.",
    "If a train leaves at 09:14 and takes 2 h 51 min, when does it arrive? Show the steps, then the result.",
];

async fn start(sim: &Served) -> Weir {
    let toml = [
        OPEN,
        &target("p", &sim.base_url(), "", &price("10.0", "100.0")),
        &budget("b", "global", "daily = 100.0"),
    ]
    .concat();
    Weir::start(&toml).await
}

fn ask(prompt: &str, stream: bool) -> Value {
    json!({ "model": "p", "stream": stream, "messages": [
        { "role": "system", "content": "You are brief." }, { "role": "user", "content": prompt } ] })
}

async fn answered(weir: &Weir, prompt: &str, stream: bool) {
    if stream {
        let mut stream = weir.client().stream(CHAT, &ask(prompt, true)).await;
        assert!(Transcript::of(&mut stream).await.is_clean());
    } else {
        let answer = weir.client().post_json(CHAT, &ask(prompt, false)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn is_near(counted: u64, real: u64) -> bool {
    counted.abs_diff(real) * 20 <= real
}

#[tokio::test]
async fn usage_that_is_missing_is_counted_within_five_percent() {
    let sim = Served::start("no-usage").await;
    let weir = start(&sim).await;
    for (number, prompt) in PROMPTS.iter().enumerate() {
        for (turn, stream) in [false, true].into_iter().enumerate() {
            answered(&weir, prompt, stream).await;
            let row: Row = weir.attempts(2 * number + turn + 1).await.pop().unwrap();
            let real = sim.log().pop().unwrap();
            assert_eq!((row.kind.as_str(), row.outcome.as_str(), row.stream), ("estimated", "ok", stream));
            assert!(is_near(row.input, real.prompt_tokens), "{prompt}: {} {real:?}", row.input);
            assert!(is_near(row.output, real.completion_tokens), "{prompt}: {} {real:?}", row.output);
            assert_eq!(row.cost, i64::try_from(row.input * 10_000 + row.output * 100_000).unwrap());
        }
    }
    assert_eq!(weir.metric("weir_usage_missing_total{model=\"p\"}").await as usize, 2 * PROMPTS.len());
    let sum: i64 = weir.rows().iter().map(|row| row.cost).sum();
    assert_eq!(weir.spent("b").await, sum);
}

#[tokio::test]
async fn usage_of_zero_is_zero() {
    let sim = Served::start("zero-usage").await;
    let weir = start(&sim).await;
    for stream in [false, true] {
        answered(&weir, "Say something.", stream).await;
    }
    for row in weir.attempts(2).await {
        assert_eq!((row.kind.as_str(), row.input, row.output, row.cost), ("actual", 0, 0, 0), "{row:?}");
    }
    assert_eq!(weir.spent("b").await, 0);
    assert_eq!(weir.metric("weir_usage_missing_total{model=\"p\"}").await as u64, 0);
}
