//! OpenAI's API: which path is answered by what.

mod ask;
mod chat;
mod completions;
mod embeddings;
mod envelope;
mod field;
mod input;
mod logprobs;
mod messages;
mod models;
mod refusal;
mod usage;

use http::{Method, StatusCode, header};
use serde_json::Value;

use self::{field::Object, refusal::Refusal};
use super::{fault::Fault, protocol::Call, reply::Reply};

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Chat,
    Completions,
    Embeddings,
    Models,
    Model(&'a str),
}

/// A request with its body read.
pub(crate) struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    body: Result<Value, String>,
}

impl<'a> Request<'a> {
    /// Reads a request; what is wrong with it is told in its answer.
    pub(crate) fn read(method: &'a Method, path: &'a str, body: &[u8]) -> Self {
        let body = match *method {
            Method::POST => serde_json::from_slice(body).map_err(|error| error.to_string()),
            _ => Ok(Value::Null),
        };
        Self { method, path, body }
    }

    /// The same request for another model, on another path.
    pub(crate) fn to(self, path: &'a str, model: &str) -> Self {
        let mut body = self.body;
        if let Ok(Value::Object(object)) = &mut body {
            object.insert("model".to_owned(), model.into());
        }
        Self { path, body, ..self }
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
        self.try_answer(call).unwrap_or_else(|refusal| refusal.reply(&call.chosen.fault))
    }

    fn try_answer(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        let endpoint = self.endpoint()?;
        let streams = self.body.as_ref().is_ok_and(|body| body.get("stream") == Some(&Value::Bool(true)));
        if let Some(refusal) = Refusal::of(&call.chosen.fault, call.model, call.key, streams) {
            return Err(refusal);
        }
        match endpoint {
            Endpoint::Models => Ok(models::list(call.models)),
            Endpoint::Model(id) => models::get(call.models, id),
            Endpoint::Chat => chat::answer(self.object()?, call),
            Endpoint::Completions => completions::answer(self.object()?, call),
            Endpoint::Embeddings => embeddings::answer(self.object()?, call),
        }
    }

    fn endpoint(&self) -> Result<Endpoint<'a>, Refusal> {
        let path = self.path.strip_prefix("/v1beta/openai").or(self.path.strip_prefix("/openai/v1"));
        let path = path.or(self.path.strip_prefix("/v1"));
        let path = path.filter(|rest| rest.starts_with('/')).unwrap_or(self.path);
        let (endpoint, method) = match path.trim_end_matches('/') {
            "/chat/completions" => (Endpoint::Chat, Method::POST),
            "/completions" => (Endpoint::Completions, Method::POST),
            "/embeddings" => (Endpoint::Embeddings, Method::POST),
            "/models" => (Endpoint::Models, Method::GET),
            other => match other.strip_prefix("/models/") {
                Some(id) => (Endpoint::Model(id), Method::GET),
                None => {
                    let message = format!("Invalid URL ({} {})", self.method, self.path);
                    return Err(Refusal::new(StatusCode::NOT_FOUND, message));
                }
            },
        };
        if *self.method == method {
            return Ok(endpoint);
        }
        let message = format!(
            "Not allowed to {} on {}. (HINT: Perhaps you meant to use {method} instead.)",
            self.method, self.path
        );
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message))
    }

    /// The body of a good request: an object that names a model.
    fn object(&self) -> Result<&Object, Refusal> {
        let body = self.body.as_ref().map_err(|error| {
            let message = format!("We could not parse the JSON body of your request. ({error})");
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })?;
        let Value::Object(object) = body else {
            let message = format!(
                "Invalid type for the body: expected an object, but got {} instead.",
                field::kind(body)
            );
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        };
        field::model(object)?;
        Ok(object)
    }
}

/// The refusal of a key that is not among those accepted.
pub(crate) fn bad_key(key: Option<&str>) -> Reply {
    let mut reply = Refusal::bad_key(key).reply(&Fault::default());
    let challenge = http::HeaderValue::from_static("Bearer realm=\"OpenAI API\"");
    reply.headers.push((header::WWW_AUTHENTICATE, challenge));
    reply
}

/// The refusal of a fault that a model's name spells wrong.
pub(crate) fn bad_fault(message: String) -> Reply {
    Refusal::bad(message, "model", "invalid_value").reply(&Fault::default())
}

/// The refusal of a body past the limit.
pub(crate) fn too_large(limit: usize) -> Reply {
    let message = format!("The request body is larger than {limit} bytes.");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).reply(&Fault::default())
}
