//! Kept answers; questions under way that are asked once.

mod controls;
mod crowd;
mod kept;
mod money;
mod own;
mod tenants;

use serde_json::{Value, json};

use crate::support::{
    client::Answer,
    settings::{price, target},
};

/// An open gateway with the model `p` that keeps answers; `more` are further lines of `[cache]`.
fn config(base_url: &str, more: &str) -> String {
    [
        "[auth]\nmode = \"open\"\n",
        &target("p", base_url, "", &price("10.0", "100.0")),
        &format!("[cache]\nenabled = true\n{more}\n"),
    ]
    .concat()
}

fn ask(text: &str, stream: bool) -> Value {
    json!({ "model": "p", "stream": stream, "messages": [{ "role": "user", "content": text }] })
}

/// What the cache did.
#[track_caller]
fn did(answer: &Answer) -> &str {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.header("x-weir-cache")
}

/// The text of a whole answer.
fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}
