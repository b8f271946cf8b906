//! Gemini's API: which path is answered by what.

mod answer;
mod ask;
mod base64;
mod contents;
mod embed;
mod error;
mod messages;
mod openapi;
mod proto;
mod stream;
mod tools;

#[cfg(test)]
mod tests;

use http::{Method, StatusCode, request::Parts};
use serde_json::{Value, json};

use self::error::Refusal;
use super::{
    protocol::{Call, decoded, parameter},
    reply::Reply,
};

/// What is to be done with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Generate,
    StreamGenerate,
    Embed,
    BatchEmbed,
    CountTokens,
}

const VERBS: [(&str, Verb); 5] = [
    ("generateContent", Verb::Generate),
    ("streamGenerateContent", Verb::StreamGenerate),
    ("embedContent", Verb::Embed),
    ("batchEmbedContents", Verb::BatchEmbed),
    ("countTokens", Verb::CountTokens),
];

/// A request with its body read.
pub(crate) struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    /// The model that the path names.
    model: Option<String>,
    verb: Option<Verb>,
    /// Whether a stream is to come as events, not as a list.
    events: bool,
    body: Result<Value, String>,
}

/// Whether a path is one of Gemini's.
pub(crate) fn is_path(path: &str) -> bool {
    let of_a_model = VERBS.iter().any(|(name, _)| path.ends_with(&format!(":{name}")));
    of_a_model || (path.starts_with("/v1beta/") && !path.starts_with("/v1beta/openai/"))
}

impl<'a> Request<'a> {
    /// Reads a request; what is wrong with it is told in its answer.
    pub(crate) fn read(head: &'a Parts, body: &[u8]) -> Self {
        let path = head.uri.path();
        let (named, verb) = match path.rsplit_once(':') {
            Some((named, verb)) => (named, VERBS.iter().find(|known| known.0 == verb).map(|known| known.1)),
            None => (path, None),
        };
        let body = match head.method {
            Method::POST => serde_json::from_slice(body).map_err(|error| error.to_string()),
            _ => Ok(Value::Null),
        };
        Self {
            method: &head.method,
            path,
            model: named.rsplit_once("/models/").map(|(_, model)| decoded(model)),
            verb,
            events: head.uri.query().and_then(|query| parameter(query, "alt")) == Some("sse"),
            body,
        }
    }

    /// The model that it names.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether it asks for an answer, and not only what there is.
    pub(crate) fn asks(&self) -> bool {
        self.method == Method::POST
    }

    /// Answers it.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Reply {
        let streams = self.events && self.verb == Some(Verb::StreamGenerate);
        match self.try_answer(call, streams) {
            Ok(mut reply) => {
                reply.headers.push(error::content_type(streams));
                reply
            }
            Err(refusal) => refusal.reply(streams),
        }
    }

    fn try_answer(&self, call: &Call<'_>, streams: bool) -> Result<Reply, Refusal> {
        let (fault, model) = (&call.chosen.fault, call.model);
        let verb = match (self.method, self.verb) {
            (&Method::POST, Some(verb)) => verb,
            (&Method::GET, None) => return self.listed(call),
            _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "")),
        };
        let name = VERBS.iter().find(|known| known.1 == verb).map_or("generateContent", |known| known.0);
        if let Some(refusal) = Refusal::of(fault, model, name, streams) {
            return Err(refusal);
        }
        let body = self
            .body
            .as_ref()
            .map_err(|error| Refusal::bad(format!("Invalid JSON payload received. {error}")))?;
        match verb {
            Verb::Embed => embed::one(&proto::read(body, &messages::EMBED)?, call),
            Verb::BatchEmbed => embed::batch(&proto::read(body, &messages::BATCH)?, call),
            Verb::CountTokens => {
                let request = proto::read(body, &messages::COUNT)?;
                let inner = request.get("generateContentRequest").unwrap_or(&request);
                let tokens = ask::read(inner, model)?.prompt_tokens;
                let details = json!([{ "modality": "TEXT", "tokenCount": tokens }]);
                let body = json!({ "totalTokens": tokens, "promptTokensDetails": details });
                Ok(Reply::whole(body.to_string(), tokens, 0))
            }
            Verb::Generate | Verb::StreamGenerate => {
                let ask = ask::read(&proto::read(body, &messages::GENERATE)?, model)?;
                let response = answer::response(ask, call);
                let (said, thought) = response.tokens();
                Ok(match verb {
                    Verb::StreamGenerate if self.events => stream::reply(&response),
                    Verb::StreamGenerate => stream::as_list(&response),
                    _ => Reply::whole(response.json().to_string(), response.prompt_tokens, said + thought),
                })
            }
        }
    }

    /// What models there are.
    fn listed(&self, call: &Call<'_>) -> Result<Reply, Refusal> {
        if let Some(refusal) = Refusal::of(&call.chosen.fault, call.model, "getModel", false) {
            return Err(refusal);
        }
        if self.path.trim_end_matches('/').ends_with("/models") {
            let models: Vec<Value> = call.models.iter().map(|id| model(id)).collect();
            return Ok(Reply::whole(json!({ "models": models }).to_string(), 0, 0));
        }
        match call.models.iter().find(|known| *known == call.model) {
            Some(id) => Ok(Reply::whole(model(id).to_string(), 0, 0)),
            None => Err(Refusal::no_model(call.model, "getModel")),
        }
    }
}

fn model(id: &str) -> Value {
    json!({ "name": format!("models/{id}"), "version": "001", "displayName": id, "description": id,
        "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536, "temperature": 1, "topP": 0.95, "topK": 64,
        "maxTemperature": 2, "thinking": true, "supportedGenerationMethods":
            ["generateContent", "countTokens", "embedContent", "batchEmbedContents"] })
}

/// The refusal of a key that is missing or not among those accepted.
pub(crate) fn bad_key(key: Option<&str>) -> Reply {
    Refusal::bad_key(key).reply(false)
}

/// The refusal of a fault that a model's name spells wrong.
pub(crate) fn bad_fault(message: String) -> Reply {
    Refusal::bad(message).reply(false)
}

/// The refusal of a body past the limit.
pub(crate) fn too_large(limit: usize) -> Reply {
    let message = format!("Request payload size exceeds the limit: {limit} bytes.");
    Refusal::bad(message).reply(false)
}
