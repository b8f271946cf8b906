//! Log probabilities that look like a model's, the same each time for the same token.

use serde_json::{Value, json};

use super::super::{dice::Dice, tokens::Piece};

/// The log probabilities of a chat's tokens, with `top` alternatives each.
pub(crate) fn chat(pieces: &[Piece], top: u32) -> Value {
    let content: Vec<Value> = pieces.iter().map(|piece| one(piece, top)).collect();
    json!({ "content": content, "refusal": null })
}

/// The log probabilities of a completion's tokens; `offset` is where its text begins, in characters.
pub(crate) fn completion(pieces: &[Piece], top: u32, offset: usize) -> Value {
    let mut at = offset;
    let mut offsets = Vec::new();
    for piece in pieces {
        offsets.push(at);
        at += piece.text.chars().count();
    }
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let chances: Vec<f64> = pieces.iter().map(chance).collect();
    let tops: Vec<Value> =
        pieces.iter().map(|piece| Value::Object(alternatives(piece, top).collect())).collect();
    json!({ "tokens": texts, "token_logprobs": chances, "top_logprobs": tops, "text_offset": offsets })
}

fn one(piece: &Piece, top: u32) -> Value {
    let entry =
        |token: &str, chance: Value| json!({ "token": token, "logprob": chance, "bytes": token.as_bytes() });
    let mut shown = entry(&piece.text, json!(chance(piece)));
    let tops: Vec<Value> = alternatives(piece, top).map(|(token, chance)| entry(&token, chance)).collect();
    shown["top_logprobs"] = json!(tops);
    shown
}

fn alternatives(piece: &Piece, top: u32) -> impl Iterator<Item = (String, Value)> {
    let best = chance(piece);
    let text = piece.text.clone();
    (0..top).map(move |rank| match rank {
        0 => (text.clone(), json!(best)),
        _ => (format!("{text}{}", "'".repeat(rank as usize)), json!(best - 2.0 - f64::from(rank))),
    })
}

fn chance(piece: &Piece) -> f64 {
    -Dice::of(0, &[piece.text.as_bytes()]).unit()
}
