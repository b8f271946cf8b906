//! The probabilities of tokens in OpenAI's form.

use serde_json::{Value, json};

use super::response::{Logprobs, Token};

/// `logprobs` of a choice.
pub fn told(result: Logprobs) -> Value {
    let token = |token: &Token| json!({"token": token.token, "logprob": token.log_probability, "bytes": token.token.as_bytes()});
    let content = result.chosen_candidates.iter().enumerate().map(|(i, chosen)| {
        let mut entry = token(chosen);
        let others = result.top_candidates.get(i).map_or(&[][..], |top| &top.candidates);
        entry["top_logprobs"] = others.iter().map(token).collect();
        entry
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_have_openais_form() {
        let result = json!({
            "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}, {"token": "x"}],
            "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1.5}]}]});
        let told = told(serde_json::from_value(result).unwrap());
        assert_eq!(
            told["content"][0],
            json!({"token": "é", "logprob": -0.5, "bytes": [195, 169],
                "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]})
        );
        assert_eq!(told["content"][1]["top_logprobs"], json!([]));
    }
}
