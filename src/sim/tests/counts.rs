//! The gateway's own counts beside what the provider states.

use super::*;
use crate::openai::{Ask, Attachment, Endpoint, Produced, produced};

const PER: Attachment = Attachment { picture: 85, file: 85 };

const TEXTS: [&str; 5] = [
    "Explain ownership in Rust",
    "Schreibe einen Brief an die Behörde über die verspätete Müllabfuhr in der Königstraße.",
    "日本語で短い物語を書いてください。主人公は猫です。",
    "fn main() {\n    let x: Vec<_> = (0..10).map(|i| i * 2).collect();\n    println!(\"{x:?}\");\n}\n",
    "Compare 3.14159 with 2.71828, then sum 1234567 + 7654321. Why is 🦀 the mascot? ¿Y por qué no 🐍?",
];

/// Twenty requests of several kinds.
fn requests() -> Vec<Value> {
    let tool = json!({ "type": "function", "function": { "name": "get_weather", "description": "The weather at a place.",
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] } } });
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "get_weather", "arguments": "{\"city\":\"Oslo\"}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "QUJD".repeat(999)) } });
    let user = |content: Value| json!({ "role": "user", "content": content });
    let mut requests = Vec::new();
    for (index, text) in TEXTS.into_iter().enumerate() {
        requests.push(json!({ "messages": [user(json!(text))] }));
        requests.push(json!({ "messages": [{ "role": "system", "content": TEXTS[(index + 1) % 5] },
            { "role": "user", "name": "ann", "content": text.repeat(20) }] }));
        requests.push(json!({ "messages": [user(json!([{ "type": "text", "text": text }, image, image]))] }));
        requests.push(json!({ "tools": [tool], "messages": [user(json!(text)),
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c1", "content": text }] }));
    }
    requests
}

fn near(counted: u64, stated: u64) -> bool {
    counted.abs_diff(stated) * 20 <= stated
}

fn body(mut request: Value) -> Value {
    request["model"] = json!("sim-small");
    request
}

#[tokio::test(start_paused = true)]
async fn what_is_read_is_counted_as_the_provider_counts_it() {
    let sim = sim();
    for request in requests() {
        let request = body(request);
        let (status, answer) = json_of(ask(&sim, "/v1/chat/completions", request.clone()).await).await;
        assert_eq!(status, 200, "{answer}");
        let stated = answer["usage"]["prompt_tokens"].as_u64().unwrap();
        let read = Ask::parse(Endpoint::Chat, request.to_string().into()).unwrap();
        let counted = read.count_input(None, &PER);
        assert!(near(counted, stated), "{counted} of {stated}: {request:.200}");
        let bound = read.bounds(&[], None, &PER).input;
        let tight = read.tight_bound(&[], None, &PER);
        assert!((stated..=bound).contains(&tight), "{stated} {tight} {bound}: {request:.200}");
    }
    for (path, endpoint, field) in [
        ("/v1/completions", Endpoint::Completions, "prompt"),
        ("/v1/embeddings", Endpoint::Embeddings, "input"),
    ] {
        for input in [json!(TEXTS[0]), json!(TEXTS), json!([1, 2, 3]), json!([[1, 2], [3]])] {
            let request = json!({ "model": "sim-small", field: input });
            let (_, answer) = json_of(ask(&sim, path, request.clone()).await).await;
            let read = Ask::parse(endpoint, request.to_string().into()).unwrap();
            assert_eq!(answer["usage"]["prompt_tokens"], read.count_input(None, &PER), "{request}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_made_is_counted_as_the_provider_counts_it() {
    let sim = sim();
    for (index, request) in requests().into_iter().enumerate() {
        let mut request = body(request);
        request["n"] = json!(1 + index % 3);
        let (_, answer) = json_of(ask(&sim, "/v1/chat/completions", request.clone()).await).await;
        let stated = answer["usage"]["completion_tokens"].as_u64().unwrap();
        let (whole, _) = produced::count_answer(answer.to_string().as_bytes());
        assert!(near(whole, stated), "{whole} of {stated}");
        request["stream"] = json!(true);
        let (text, _) = stream_text(ask(&sim, "/v1/chat/completions", request).await).await;
        let mut produced = Produced::new();
        text.split_inclusive("\n\n").for_each(|frame| produced.push(frame.as_bytes()));
        assert_eq!(produced.tokens(), (whole, 0));
    }
}
