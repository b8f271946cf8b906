//! A client of the demo: one request, as it looks from outside.

use std::time::Duration;

use serde_json::Value;

use super::story::Asker;
use crate::egress::{Heard, Listener};

/// The end of a stream that came whole.
const DONE: &[u8] = b"data: [DONE]";

/// What a client met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// Who asked; `None`: one of the crowd.
    pub asker: Option<Asker>,
    /// The route at the entry.
    pub route: String,
    /// The model that answered.
    pub model: String,
    /// How many tries that took.
    pub attempts: u32,
    /// How hard the question is, 1 to 10, where it was for `auto`.
    pub complexity: String,
    /// What was asked.
    pub question: String,
    /// What the cache did.
    pub cache: String,
    /// Whether a cheaper route answered for want of money.
    pub downgraded: bool,
    /// The time to the first content.
    pub first: Duration,
    /// The error that the client saw.
    pub problem: Option<String>,
}

/// Asks a question, reads the answer to its end.
pub async fn ask(http: Listener, url: String, asker: Option<Asker>, body: Value) -> Met {
    let question = body["messages"][1]["content"].as_str().unwrap_or_default().to_owned();
    let met = Met { asker, question, ..Met::default() };
    match http.post(&url, &body).await {
        Ok(heard) => of(&heard, body["stream"] == true, met),
        Err(problem) => Met { problem: Some(problem), ..met },
    }
}

fn of(heard: &Heard, stream: bool, met: Met) -> Met {
    let header = |name: &str| {
        let value = heard.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Met {
        route: header("x-weir-route"),
        model: header("x-weir-model"),
        complexity: header("x-weir-complexity"),
        cache: header("x-weir-cache"),
        attempts: header("x-weir-attempts").parse().unwrap_or(0),
        downgraded: header("x-weir-degraded") == "downgraded",
        first: heard.first,
        problem: problem(heard, stream),
        ..met
    }
}

fn problem(heard: &Heard, stream: bool) -> Option<String> {
    if !heard.status.is_success() {
        let error: Value = serde_json::from_slice(&heard.body).unwrap_or_default();
        let message = error["error"]["message"].as_str().unwrap_or("no message");
        return Some(format!("{}: {message}", heard.status.as_u16()));
    }
    let whole = !stream || heard.body.windows(DONE.len()).any(|window| window == DONE);
    (!whole).then(|| "a stream that broke off".to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn an_answer_that_is_none_is_a_problem() {
        let heard = |status: u16, body: &str| Heard {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
            first: Duration::ZERO,
        };
        assert_eq!(problem(&heard(200, "{}"), false), None);
        assert_eq!(problem(&heard(200, "data: {}\n\ndata: [DONE]\n\n"), true), None);
        assert_eq!(problem(&heard(200, "data: {}\n\n"), true).unwrap(), "a stream that broke off");
        let refusal = heard(503, r#"{"error":{"message":"Nobody is there."}}"#);
        assert_eq!(problem(&refusal, true).unwrap(), "503: Nobody is there.");
        assert_eq!(problem(&heard(500, "?"), false).unwrap(), "500: no message");
    }
}
