//! `POST /embeddings`: unit vectors in which texts with the same words are near each other.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Call,
    field::{Object, given, integer, string},
    input,
    refusal::Refusal,
    usage::input_usage,
};
use crate::sim::{dice::Dice, fault::Ending, reply::Reply};

const WIDTH: usize = 1536;
const WIDEST: usize = 3072;
const WINDOW: u64 = 8192;
/// How many places of a vector each word has a say in.
const PLACES: usize = 12;

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
        let vector = vector(&input.text, width, call.seed);
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

/// A vector of length 1: each word adds to places that only it and the seed decide.
fn vector(text: &str, width: usize, seed: u64) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    let mut add = |word: &str| {
        let mut dice = Dice::of(seed, &[word.as_bytes()]);
        for _ in 0..PLACES {
            let place = dice.below(width);
            sums[place] += dice.unit() - 0.5;
        }
    };
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .for_each(|word| add(&word.to_lowercase()));
    // A little of the whole text keeps apart what has the same words, or none.
    add(text);
    let length = sums.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 {
        sums[0] = 1.0;
        return sums.into_iter().map(|value| value as f32).collect();
    }
    sums.into_iter().map(|value| (value / length) as f32).collect()
}

fn encoded(vector: &[f32], base64: bool) -> Value {
    if !base64 {
        return json!(vector);
    }
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    json!(BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (vector(a, WIDTH, 1), vector(b, WIDTH, 1));
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_length_one_and_repeat() {
        for text in ["hello", " ", "?!", "日本語"] {
            for width in [1, 8, WIDEST] {
                let length: f32 = vector(text, width, 1).iter().map(|value| value * value).sum();
                assert!((length - 1.0).abs() < 1e-3, "{text} {width}");
            }
        }
        assert_eq!(vector("hello", 64, 1), vector("hello", 64, 1));
    }

    #[test]
    fn texts_with_the_same_words_are_near() {
        let near = cosine("how do I reset my password", "How do I reset my own password?");
        assert!(near > 0.7, "{near}");
        assert!(cosine("how do I reset my password", "the weather in Paris").abs() < 0.3);
    }
}
