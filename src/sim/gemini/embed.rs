//! `:embedContent` with its batch.

use serde_json::{Value, json};

use super::{
    contents,
    error::Refusal,
    proto::{list, number, text},
};
use crate::sim::{fault::Ending, protocol::Call, reply::Reply, vector};

const WIDTH: usize = 3072;
/// How many contents one batch may have.
const MOST: usize = 100;

/// Answers a request for one vector.
///
/// # Errors
/// As Gemini refuses it.
pub(crate) fn one(request: &Value, call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut tokens = 0;
    let vector = vector(request, call, "EmbedContentRequest", &mut tokens)?;
    Ok(Reply::whole(json!({ "embedding": vector }).to_string(), tokens, 0))
}

/// Answers a request for several.
///
/// # Errors
/// As Gemini refuses it.
pub(crate) fn batch(request: &Value, call: &Call<'_>) -> Result<Reply, Refusal> {
    let requests = list(request, "requests");
    if requests.len() > MOST {
        return Err(Refusal::bad(format!(
            "* BatchEmbedContentsRequest.requests: at most {MOST} requests can be in one batch\n"
        )));
    }
    let mut tokens = 0;
    let mut vectors = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let named = text(request, "model");
        let place = format!("BatchEmbedContentsRequest.requests[{index}]");
        if named.strip_prefix("models/").is_none_or(|named| named.split('?').next() != Some(call.model)) {
            let message =
                format!("* {place}.model: the model must be 'models/{}', as in the path\n", call.model);
            return Err(Refusal::bad(message));
        }
        vectors.push(vector(request, call, &place, &mut tokens)?);
    }
    if call.chosen.fault.ending == Some(Ending::Empty) {
        vectors.clear();
    }
    Ok(Reply::whole(json!({ "embeddings": vectors }).to_string(), tokens, 0))
}

fn vector(request: &Value, call: &Call<'_>, place: &str, tokens: &mut u64) -> Result<Value, Refusal> {
    let Some(content) = request.get("content") else {
        return Err(Refusal::bad(format!("* {place}.content: contents is not specified\n")));
    };
    let words = contents::parts(content, "content", tokens)?;
    if words.is_empty() {
        return Err(Refusal::bad(format!("* {place}.content: empty content is not supported\n")));
    }
    let width = number(request, "outputDimensionality").unwrap_or(WIDTH as f64);
    if !(1.0..=WIDTH as f64).contains(&width) {
        let message = format!("* {place}.output_dimensionality: must be in the range [1, {WIDTH}]\n");
        return Err(Refusal::bad(message));
    }
    Ok(json!({ "values": vector::of(&words, width as usize, call.seed) }))
}
