//! `POST /embeddings`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Call,
    field::{Object, given, integer, string},
    input,
    refusal::Refusal,
    usage::input_usage,
};
use crate::sim::{fault::Ending, reply::Reply, vector};

const WIDTH: usize = 1536;
const WIDEST: usize = 3072;
const WINDOW: u64 = 8192;

/// Answers an embeddings request.
///
/// # Errors
/// As OpenAI refuses it.
pub(crate) fn answer(request: &Object, call: &Call<'_>) -> Result<Reply, Refusal> {
    let inputs = input::read(request, "input")?;
    if let Some(long) = inputs.iter().find(|input| input.tokens > WINDOW) {
        return Err(Refusal::too_long(WINDOW, long.tokens, "input"));
    }
    if inputs.iter().any(|input| input.text.is_empty()) {
        let message = "Invalid 'input': input cannot be an empty string.";
        return Err(Refusal::bad(message, "input", "invalid_value"));
    }
    let default = if call.model.contains("large") { WIDEST } else { WIDTH };
    let width = integer(request, "dimensions", 1, WIDEST as i64)?.map_or(default, |width| width as usize);
    let base64 = match string(request, "encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'float' and 'base64'.");
            return Err(Refusal::bad(message, "encoding_format", "invalid_value"));
        }
    };
    given(request, "user").map_or(Ok(None), |_| string(request, "user"))?;
    let shown = |(index, input): (usize, &input::Input)| {
        let vector = vector::of(&input.text, width, call.seed);
        json!({ "object": "embedding", "index": index, "embedding": encoded(&vector, base64) })
    };
    let data: Vec<Value> = match call.chosen.fault.ending {
        Some(Ending::Empty) => Vec::new(),
        _ => inputs.iter().enumerate().map(shown).collect(),
    };
    let tokens = inputs.iter().map(|input| input.tokens).sum();
    let mut body = json!({ "object": "list", "data": data, "model": call.model });
    if let Some(usage) = input_usage(tokens, call.chosen.fault.usage) {
        body["usage"] = usage;
    }
    Ok(Reply::whole(body.to_string(), tokens, 0))
}

fn encoded(vector: &[f32], base64: bool) -> Value {
    if !base64 {
        return json!(vector);
    }
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    json!(BASE64_STANDARD.encode(bytes))
}
