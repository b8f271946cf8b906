//! Guesses the tokens that a request may take, before it has taken any.

use super::Ask;

/// How many bytes of a request make a token, about.
const BYTES_A_TOKEN: u64 = 4;

/// The tokens of the request, with those that its client lets the answers have; without such a limit none for the
/// answers. At least one.
pub fn tokens(ask: &Ask) -> u64 {
    let number = |name: &str| {
        let text = std::str::from_utf8(ask.field(name)?).ok()?;
        text.parse::<u64>().ok()
    };
    let limit = number("max_completion_tokens").or_else(|| number("max_tokens")).unwrap_or(0);
    let answers = number("n").max(number("best_of")).unwrap_or(1);
    limit.saturating_mul(answers).saturating_add(input(ask)).max(1)
}

/// The tokens of the question, with everything that is sent beside it.
pub fn input(ask: &Ask) -> u64 {
    (ask.body().len() as u64).div_ceil(BYTES_A_TOKEN)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::openai::Endpoint;

    #[test]
    fn counts_the_question_with_all_answers() {
        let of = |more: &str| {
            let body = format!(r#"{{"model":"a","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
            let input = body.len().div_ceil(4) as u64;
            tokens(&Ask::parse(Endpoint::Chat, Bytes::from(body)).unwrap()) - input
        };
        assert_eq!(of(""), 0);
        assert_eq!(of(r#","max_tokens":100"#), 100);
        assert_eq!(of(r#","max_tokens":7,"max_completion_tokens":100,"n":3"#), 300);
        assert_eq!(of(r#","max_tokens":null"#), 0);
    }
}
