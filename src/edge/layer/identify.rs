//! Gives every request its id, told in `x-request-id`.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

use tracing::Instrument as _;

use crate::base::id::RequestId;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's id over where it is harmless, else makes one.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let id = sent.and_then(RequestId::from_client).unwrap_or_else(RequestId::fresh);
    request.extensions_mut().insert(id.clone());
    // At the level of errors, so that whatever is logged says whose it is. A trace is told where there is one.
    let span = tracing::error_span!("request", %id, trace_id = tracing::field::Empty);
    let mut response = next.run(request).instrument(span).await;
    let value = HeaderValue::from_str(id.as_str()).expect("an id has only characters that a header may hold");
    response.headers_mut().insert(HEADER, value);
    response
}
