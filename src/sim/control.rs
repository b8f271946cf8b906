//! `/sim/*`: a served simulator changed from outside.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde_json::json;

use super::{body::SimBody, choice::Order, service::Sim};

const MAX_BODY: usize = 64 * 1024;

/// Whether a path is one of these.
pub(crate) fn is_control(path: &str) -> bool {
    path.starts_with("/sim/")
}

/// Answers a request to one of these paths.
pub(crate) async fn answer<B>(sim: Sim, request: Request<B>) -> Response<SimBody>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    match (head.method, head.uri.path()) {
        (Method::GET, "/sim/control") => reply(StatusCode::OK, &json!({ "orders": sim.0.chooser.orders() })),
        (Method::POST, "/sim/control") => {
            let order = match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => {
                    serde_json::from_slice::<Order>(&body.to_bytes()).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match order.and_then(|order| sim.order(order)) {
                Ok(()) => reply(StatusCode::OK, &json!({ "orders": sim.0.chooser.orders() })),
                Err(message) => reply(StatusCode::BAD_REQUEST, &json!({ "error": { "message": message } })),
            }
        }
        (Method::DELETE, "/sim/control") => {
            sim.reset();
            reply(StatusCode::OK, &json!({ "orders": sim.0.chooser.orders() }))
        }
        (Method::GET, "/sim/log") => {
            reply(StatusCode::OK, &json!({ "data": sim.log(), "dropped": sim.stats().log_dropped }))
        }
        (Method::DELETE, "/sim/log") => {
            sim.clear_log();
            reply(StatusCode::OK, &json!({ "data": [], "dropped": 0 }))
        }
        (Method::GET, "/sim/stats") => reply(StatusCode::OK, &sim.stats()),
        (method, path) => {
            let message = format!(
                "there is no {method} {path}; there are GET, POST, DELETE /sim/control, GET, DELETE /sim/log, GET /sim/stats"
            );
            reply(StatusCode::NOT_FOUND, &json!({ "error": { "message": message } }))
        }
    }
}

fn reply(status: StatusCode, body: &impl Serialize) -> Response<SimBody> {
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(bytes) => (status, bytes),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    let mut response = Response::new(SimBody::full(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
