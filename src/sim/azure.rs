//! Azure's habits around OpenAI's answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{
    fault::Ending,
    openai,
    protocol::{Call, decoded, parameter},
    reply::{Content, Event, Reply},
    retry,
};

/// A request on a deployment's path.
pub(crate) struct Request<'a> {
    /// The name of the deployment, which stands for a model.
    deployment: String,
    versioned: bool,
    inner: openai::Request<'a>,
}

/// Whether a path is one of a deployment's.
pub(crate) fn is_path(path: &str) -> bool {
    path.trim_start_matches('/').starts_with("openai/deployments/")
}

impl<'a> Request<'a> {
    /// Reads a request; what is wrong with it is told in its answer.
    pub(crate) fn read(head: &'a Parts, body: &[u8]) -> Self {
        let path = head.uri.path().trim_start_matches('/');
        let rest = path.strip_prefix("openai/deployments/").unwrap_or_default();
        let at = rest.find('/').unwrap_or(rest.len());
        let (deployment, path) = (decoded(&rest[..at]), &rest[at..]);
        let version = head.uri.query().and_then(|query| parameter(query, "api-version"));
        let inner = openai::Request::read(&head.method, path, body).to(path, &deployment);
        Self { deployment, versioned: version.is_some_and(|version| !version.is_empty()), inner }
    }

    /// The deployment that it names.
    pub(crate) fn model(&self) -> Option<&str> {
        Some(&self.deployment)
    }

    /// Whether it asks for an answer.
    pub(crate) fn asks(&self) -> bool {
        self.inner.asks()
    }

    /// Answers it.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Reply {
        if !self.versioned || self.deployment.is_empty() {
            return error(StatusCode::NOT_FOUND, json!({ "code": "404", "message": "Resource not found" }));
        }
        let fault = &call.chosen.fault;
        match fault.ending {
            Some(Ending::UnknownModel | Ending::Status(404)) => no_deployment(),
            Some(Ending::BadKey | Ending::Status(401)) => bad_key(),
            Some(Ending::Status(429) | Ending::InsufficientQuota) => {
                let span = retry::span(fault);
                let seconds = span.map_or(60, |span| span.as_millis().div_ceil(1000));
                let message = format!(
                    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate \
                     limit of your current OpenAI S0 pricing tier. Please retry after {seconds} seconds."
                );
                let mut reply =
                    error(StatusCode::TOO_MANY_REQUESTS, json!({ "code": "429", "message": message }));
                reply.headers = retry::headers(fault);
                reply
            }
            _ => filtered(self.inner.answer(call)),
        }
    }
}

/// The refusal of a key.
pub(crate) fn bad_key() -> Reply {
    let message = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid \
                   key for an active subscription and use a correct regional API endpoint for your resource.";
    error(StatusCode::UNAUTHORIZED, json!({ "code": "401", "message": message }))
}

fn no_deployment() -> Reply {
    let message = "The API deployment for this resource does not exist. If you created the deployment within the last \
                   5 minutes, please wait a moment and try again.";
    let body = json!({ "type": "invalid_request_error", "code": "DeploymentNotFound", "message": message });
    error(StatusCode::NOT_FOUND, body)
}

fn error(status: StatusCode, body: Value) -> Reply {
    let json = json!({ "error": body }).to_string();
    Reply { status, ..Reply::whole(json, 0, 0) }
}

/// The answer with what Azure's filter says of it.
fn filtered(mut reply: Reply) -> Reply {
    if reply.status != StatusCode::OK {
        return reply;
    }
    reply.content = match reply.content {
        Content::Whole { json, tokens } => Content::Whole { json: with_results(&json), tokens },
        Content::Stream { mut events, failure } => {
            let first = json!({ "choices": [], "created": 0, "id": "", "model": "", "object": "",
                "prompt_filter_results": prompt_results() });
            events.insert(0, Event::open(format!("data: {first}\n\n")));
            Content::Stream { events, failure }
        }
    };
    let served = (HeaderName::from_static("x-ms-rai-invoked"), HeaderValue::from_static("true"));
    reply.headers.push(served);
    reply
}

fn with_results(json: &Bytes) -> Bytes {
    match serde_json::from_slice::<Value>(json) {
        Ok(mut body) if body.get("choices").is_some() => {
            body["prompt_filter_results"] = prompt_results();
            for choice in body["choices"].as_array_mut().into_iter().flatten() {
                choice["content_filter_results"] = results();
            }
            body.to_string().into()
        }
        _ => json.clone(),
    }
}

fn prompt_results() -> Value {
    json!([{ "prompt_index": 0, "content_filter_results": results() }])
}

fn results() -> Value {
    let safe = json!({ "filtered": false, "severity": "safe" });
    json!({ "hate": safe, "self_harm": safe, "sexual": safe, "violence": safe })
}
