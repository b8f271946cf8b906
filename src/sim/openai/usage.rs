//! The usage that OpenAI states, faults' lies included.

use serde_json::{Value, json};

use super::super::fault::UsageLie;

/// The usage of an answer; `None` where a fault keeps it back.
pub(crate) fn usage(prompt: u64, completion: u64, lie: Option<UsageLie>) -> Option<Value> {
    let times = match lie {
        None => 1,
        Some(UsageLie::Absent) => return None,
        Some(UsageLie::Zero) => 0,
        Some(UsageLie::Times(times)) => u64::from(times),
    };
    let (prompt, completion) = (prompt.saturating_mul(times), completion.saturating_mul(times));
    Some(json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }))
}

/// The usage of embeddings, which have no completion.
pub(crate) fn input_usage(prompt: u64, lie: Option<UsageLie>) -> Option<Value> {
    let usage = usage(prompt, 0, lie)?;
    Some(json!({ "prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["total_tokens"] }))
}
