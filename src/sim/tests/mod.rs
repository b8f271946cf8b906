//! The provider as a whole: what its tests share.

mod answers;
mod anthropic;
mod azure;
mod counts;
mod faults;
mod gemini;
mod served;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

fn sim() -> Sim {
    Sim::new(SimSettings::default()).unwrap()
}

fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(body.to_string())).unwrap()
}

async fn ask(sim: &Sim, path: &str, body: Value) -> Response<SimBody> {
    sim.clone().oneshot(post(path, &body)).await.unwrap()
}

async fn json_of(response: Response<SimBody>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn chat(sim: &Sim, extra: Value) -> (u16, Value) {
    json_of(ask(sim, "/v1/chat/completions", chat_body(extra)).await).await
}

fn chat_body(extra: Value) -> Value {
    let mut body = json!({ "model": "sim-small", "messages": [{ "role": "user", "content": "Explain ownership in Rust" }] });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// The text of a stream and whether it ended without an error.
async fn stream_text(response: Response<SimBody>) -> (String, bool) {
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (text, false) };
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    (text, true)
}

fn events(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

async fn stream(sim: &Sim, extra: Value) -> (String, bool) {
    let mut body = chat_body(extra);
    body["stream"] = json!(true);
    stream_text(ask(sim, "/v1/chat/completions", body).await).await
}
