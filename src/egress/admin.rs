//! Asks the admin API of a running server.

use serde_json::Value;

use crate::base::secret::Secret;

use super::local;

/// A server's admin API.
#[derive(Clone, Debug)]
pub struct Admin {
    http: reqwest::Client,
    base: String,
    token: Option<Secret>,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// To read.
    Get,
    /// To make, from this.
    Post(&'a Value),
    /// To take away.
    Delete,
}

impl Admin {
    /// The API of the server at `base`, like `http://127.0.0.1:8080`, asked with this token.
    ///
    /// # Errors
    /// If the client cannot be set up, which is a fault of the build.
    pub fn new(base: &str, token: Option<Secret>) -> Result<Self, String> {
        Ok(Self { http: local()?, base: base.trim_end_matches('/').to_owned(), token })
    }

    /// Asks; gives the JSON of the answer.
    ///
    /// # Errors
    /// The server cannot be reached, or what it says where it refuses.
    pub async fn ask(&self, path: &str, request: Request<'_>) -> Result<Value, String> {
        let url = format!("{}{path}", self.base);
        let mut asking = match request {
            Request::Get => self.http.get(&url),
            Request::Post(body) => {
                self.http.post(&url).header("content-type", "application/json").body(body.to_string())
            }
            Request::Delete => self.http.delete(&url),
        };
        if let Some(token) = &self.token {
            asking = asking.bearer_auth(token.expose());
        }
        let answer = asking.send().await.map_err(|error| format!("{url}: {}", reason(&error)))?;
        let status = answer.status();
        let body: Option<Value> = answer.json().await.ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(body) if body["error"]["message"].is_string() => {
                Err(format!("the server says: {}", body["error"]["message"].as_str().unwrap_or_default()))
            }
            _ => Err(format!("{url} answered {status}, which is not what a weir server says")),
        }
    }
}

/// An error with what is behind it: its own text often says only that something failed.
pub fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
