//! Ten thousand bodies that nobody in their right mind would send.

use super::support::{client::Answer, line::Line, weir::Weir};

const BODIES: u64 = 10_000;
const CONNECTIONS: u64 = 8;

const CONFIG: &str = r#"
[providers.sim]
protocol = "sim"
[models.m]
provider = "sim"
upstream_model = "sim-small?tokens=3"
[routes.r]
targets = ["m"]
defaults = { top_p = 0.5 }
"#;

const PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

/// Valid bodies to start from.
const SEEDS: [&str; 6] = [
    r#"{"model":"r","messages":[{"role":"user","content":"hi"}]}"#,
    r#"{"model":"r","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],"stream":true,"max_tokens":2}"#,
    r#"{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"y"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"models":["r","m"]}"#,
    r#"{"model":"r","prompt":["a","b"],"n":2,"stream":true,"stream_options":{"include_usage":true}}"#,
    r#"{"model":"r","input":["a",[1,2,3]],"dimensions":4,"encoding_format":"base64"}"#,
    r#"{"model":"r","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"a":{"type":"integer"}}}}},"temperature":0.5,"seed":9007199254740993,"logit_bias":{"1":-100}}"#,
];

/// What is put into bodies.
const SCRAPS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "0.1e-400",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\"model\":",
    "\"stream\":true",
    "\"n\":128",
    "[[[[[[[[",
    "{\"a\":",
    "é",
];

/// The splitmix64 generator: the same bodies in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn body(&mut self) -> Vec<u8> {
        if self.below(10) == 0 {
            let length = self.below(300);
            return (0..length).map(|_| self.roll() as u8).collect();
        }
        let mut body = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            self.spoil(&mut body);
        }
        body
    }

    fn spoil(&mut self, body: &mut Vec<u8>) {
        let at = self.below(body.len() + 1);
        let to = (at + self.below(12)).min(body.len());
        match self.below(6) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..to)),
            2 => drop(body.splice(at..to, SCRAPS[self.below(SCRAPS.len())].bytes())),
            3 if at < body.len() => body[at] = self.roll() as u8,
            4 => {
                let copy = body[at..to].to_vec();
                let times = self.below(40);
                drop(body.splice(at..at, copy.repeat(times)));
            }
            // A whole value is replaced by one of another type.
            _ => {
                if let Some(colon) =
                    body[at..].iter().position(|&byte| byte == b':').map(|colon| at + colon + 1)
                {
                    let end = body[colon..].iter().position(|byte| b",}]".contains(byte));
                    let end = end.map_or(body.len(), |end| colon + end);
                    drop(body.splice(colon..end, SCRAPS[self.below(SCRAPS.len())].bytes()));
                }
            }
        }
    }
}

/// An answer to such a body is a real answer or the envelope, nothing else. Gives whether it is a real one.
fn judge(answer: &Answer, body: &[u8]) -> bool {
    if answer.status != 200 {
        let error = answer.envelope();
        let shown = String::from_utf8_lossy(body);
        assert!(answer.status.is_client_error(), "{} {error} to {shown}", answer.status);
        return false;
    }
    match answer.header("content-type") {
        "application/json" => assert!(answer.json().is_object()),
        kind => {
            assert!(kind.starts_with("text/event-stream"), "{kind}");
            assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
        }
    }
    true
}

#[tokio::test]
async fn ten_thousand_bodies_get_the_envelope_or_an_answer() {
    let weir = Weir::start(CONFIG).await;
    let mut sets = Vec::new();
    for number in 0..CONNECTIONS {
        let address = weir.address().to_owned();
        sets.push(tokio::spawn(async move {
            let mut dice = Dice(number);
            let mut line = Line::to(&address).await;
            let mut answered = 0;
            for _ in 0..BODIES / CONNECTIONS {
                let body = dice.body();
                let path = PATHS[dice.below(PATHS.len())];
                let answer = line.post(path, "", &body).await.expect("the connection stays open");
                answered += u64::from(judge(&answer, &body));
            }
            answered
        }));
    }
    let mut answered = 0;
    for set in sets {
        answered += set.await.unwrap();
    }
    // Both kinds have to come up, or the bodies are too wild or too tame to show anything.
    assert!((BODIES / 100..BODIES / 2).contains(&answered), "{answered} of {BODIES} were answered");
    assert!(!weir.logs().contains("panicked"), "{}", weir.logs());
    assert_eq!(weir.client().get("/healthz").await.status, 200);
}
