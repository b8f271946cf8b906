//! Anthropic's API: which path is answered by what.

mod answer;
mod ask;
mod blocks;
mod error;
mod field;
mod format;
mod limits;
mod source;
mod stream;
mod tally;
mod thinking;
mod tools;
mod turns;

#[cfg(test)]
mod tests;

use http::{HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use serde_json::{Value, json};

use self::{error::Refusal, field::Object};
use super::{fault::Fault, protocol::Call, reply::Reply};

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Messages,
    CountTokens,
    Models,
    Model(&'a str),
}

/// A request with its body read.
pub(crate) struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    has_version: bool,
    /// Whether it takes part in a beta, which has more fields.
    has_beta: bool,
    body: Result<Value, String>,
}

/// Whether a path is one of Anthropic's alone.
pub(crate) fn is_path(path: &str) -> bool {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path == "/messages" || path.starts_with("/messages/")
}

impl<'a> Request<'a> {
    /// Reads a request; what is wrong with it is told in its answer.
    pub(crate) fn read(head: &'a Parts, body: &[u8]) -> Self {
        let body = match head.method {
            Method::POST => serde_json::from_slice(body).map_err(|error| error.to_string()),
            _ => Ok(Value::Null),
        };
        let is_beta = |query: &str| query.split('&').any(|pair| pair == "beta=true");
        Self {
            method: &head.method,
            path: head.uri.path(),
            has_version: head.headers.contains_key("anthropic-version"),
            has_beta: head.headers.contains_key("anthropic-beta") || head.uri.query().is_some_and(is_beta),
            body,
        }
    }

    /// The model that it names.
    pub(crate) fn model(&self) -> Option<&str> {
        self.body.as_ref().ok()?.get("model")?.as_str()
    }

    /// Whether it asks for an answer, and not only what there is.
    pub(crate) fn asks(&self) -> bool {
        self.method == Method::POST
    }

    /// Answers it.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Reply {
        match self.try_answer(call) {
            Ok(mut reply) => {
                reply.headers.extend(limits_left());
                reply
            }
            Err(refusal) => refusal.reply(&call.chosen.fault, call.request_id),
        }
    }

    fn try_answer(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let endpoint = self.endpoint()?;
        if !self.has_version {
            return Err(Refusal::at("anthropic-version", "header is required"));
        }
        let streams = self.body.as_ref().is_ok_and(|body| body.get("stream") == Some(&Value::Bool(true)));
        if let Some(refusal) = Refusal::of(&call.chosen.fault, call.model, streams) {
            return Err(refusal);
        }
        match endpoint {
            Endpoint::Models => Ok(models(call.models)),
            Endpoint::Model(id) => match call.models.iter().any(|model| model == id) {
                true => Ok(Reply::whole(model(id).to_string(), 0, 0)),
                false => Err(Refusal::no_model(id)),
            },
            Endpoint::CountTokens => {
                let tokens = ask::read(self.object()?, self.has_beta, true)?.tally.tokens;
                Ok(Reply::whole(json!({ "input_tokens": tokens }).to_string(), tokens, 0))
            }
            Endpoint::Messages => {
                let ask = ask::read(self.object()?, self.has_beta, false)?;
                let (streams, tokens) = (ask.stream, ask.tally.tokens);
                let message = answer::message(ask, call);
                if streams {
                    return Ok(stream::reply(&message, call.model, tokens));
                }
                let json = message.json(call.model, false).to_string();
                Ok(Reply::whole(json, tokens, message.output))
            }
        }
    }

    fn endpoint(&self) -> Result<Endpoint<'a>, Refusal> {
        let path = self.path.strip_prefix("/v1").unwrap_or(self.path);
        let (endpoint, method) = match path.trim_end_matches('/') {
            "/messages" => (Endpoint::Messages, Method::POST),
            "/messages/count_tokens" => (Endpoint::CountTokens, Method::POST),
            "/models" => (Endpoint::Models, Method::GET),
            other => match other.strip_prefix("/models/") {
                Some(id) => (Endpoint::Model(id), Method::GET),
                None => return Err(Refusal::no_path()),
            },
        };
        if *self.method == method {
            return Ok(endpoint);
        }
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "Method Not Allowed"))
    }

    fn object(&self) -> Result<&Object, Refusal> {
        let body = self
            .body
            .as_ref()
            .map_err(|error| Refusal::bad(format!("The request body is not valid JSON: {error}")))?;
        body.as_object().ok_or_else(|| Refusal::bad("Input should be an object"))
    }
}

/// What real ones say in each answer that is none of an error.
fn limits_left() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let said = [
        ("anthropic-ratelimit-requests-limit", "20000"),
        ("anthropic-ratelimit-requests-remaining", "19999"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
    ];
    said.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
}

fn models(models: &[String]) -> Reply {
    let data: Vec<Value> = models.iter().map(|id| model(id)).collect();
    let body =
        json!({ "data": data, "has_more": false, "first_id": models.first(), "last_id": models.last() });
    Reply::whole(body.to_string(), 0, 0)
}

fn model(id: &str) -> Value {
    json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z" })
}

/// The refusal of a key that is missing or not among those accepted.
pub(crate) fn bad_key(key: Option<&str>, request_id: &str) -> Reply {
    Refusal::bad_key(key).reply(&Fault::default(), request_id)
}

/// The refusal of a fault that a model's name spells wrong.
pub(crate) fn bad_fault(message: String, request_id: &str) -> Reply {
    Refusal::bad(message).reply(&Fault::default(), request_id)
}

/// The refusal of a body past the limit.
pub(crate) fn too_large(request_id: &str) -> Reply {
    Refusal::too_large().reply(&Fault::default(), request_id)
}
