//! Gives every request its id, told in `x-request-id`.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};

use crate::{
    base::{id::RequestId, whose},
    edge::names,
};

/// The client's id where it is harmless, else a new one.
pub fn name(headers: &HeaderMap) -> RequestId {
    let sent = headers.get(names::REQUEST_ID).and_then(|value| value.to_str().ok());
    sent.and_then(RequestId::from_client).unwrap_or_else(RequestId::fresh)
}

/// Tells the client the id.
pub fn tell(id: &RequestId, response: &mut Response) {
    let value = HeaderValue::from_str(id.as_str()).expect("an id has only characters that a header may hold");
    response.headers_mut().insert(names::REQUEST_ID, value);
}

/// Gives a request its id.
pub async fn layer(request: Request, next: Next) -> Response {
    let id = name(request.headers());
    let mut response = whose::scope(id.clone(), next.run(request)).await;
    tell(&id, &mut response);
    response
}
