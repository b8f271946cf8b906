//! What every refusal has to look like.

use serde_json::Value;

use super::client::Answer;

impl Answer {
    /// The error of an answer in OpenAI's envelope: exactly one object with all four fields.
    #[track_caller]
    pub fn envelope(&self) -> Value {
        let shown = format!("{} {}", self.status, self.text());
        assert!(self.status.is_client_error() || self.status.is_server_error(), "{shown}");
        assert_eq!(self.header("content-type"), "application/json", "{shown}");
        assert!(!self.header("x-request-id").is_empty(), "{shown}");
        let body = self.json();
        let error = &body["error"];
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{shown}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 5), "{shown}");
        assert!(error["type"].is_string() && error["code"].is_string(), "{shown}");
        assert!(error.get("param").is_some_and(|param| param.is_null() || param.is_string()), "{shown}");
        error.clone()
    }

    /// Asserts a refusal by status, type and code, and that it says to retry exactly if `retry`.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str, code: &str, retry: bool) -> Value {
        let error = self.envelope();
        let shown = format!("{} {}", self.status, self.text());
        assert_eq!(self.status.as_u16(), status, "{shown}");
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), Some(code)), "{shown}");
        assert_eq!(self.header("x-should-retry"), if retry { "" } else { "false" }, "{shown}");
        error
    }

    /// The seconds of `retry-after`.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        match self.header("retry-after").parse() {
            Ok(seconds @ 1..) => seconds,
            _ => panic!("retry-after is {:?}", self.header("retry-after")),
        }
    }
}
