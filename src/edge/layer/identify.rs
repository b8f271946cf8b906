//! Gives every request its id, told in `x-request-id`.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};

use tracing::{Instrument as _, Span};

use crate::{base::id::RequestId, edge::names};

/// The client's id where it is harmless, else a new one.
pub fn name(headers: &HeaderMap) -> RequestId {
    let sent = headers.get(names::REQUEST_ID).and_then(|value| value.to_str().ok());
    sent.and_then(RequestId::from_client).unwrap_or_else(RequestId::fresh)
}

/// What is logged of the request stands in this. At the level of errors, so that whatever is logged says whose it is. A
/// trace is told where there is one.
pub fn span(id: &RequestId) -> Span {
    tracing::error_span!("request", %id, trace_id = tracing::field::Empty)
}

/// Tells the client the id.
pub fn tell(id: &RequestId, response: &mut Response) {
    let value = HeaderValue::from_str(id.as_str()).expect("an id has only characters that a header may hold");
    response.headers_mut().insert(names::REQUEST_ID, value);
}

/// Gives a request its id.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = name(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span(&id)).await;
    tell(&id, &mut response);
    response
}
