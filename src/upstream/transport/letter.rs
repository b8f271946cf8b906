//! A request as the transport takes it: what all requests of a kind share is made once.

use std::{fmt, io::Write as _, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::{self, PathAndQuery},
};
use http_body_util::Full;

use super::connect::{Body, Target};
use crate::{openai::edit::Spliced, upstream::progress::Progress};

/// A request to a provider. Its path and query are sent as they are; where it goes is not for it to say.
#[derive(Clone, Debug)]
pub struct Letter {
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub path: PathAndQuery,
    /// Its headers.
    pub head: Arc<Letterhead>,
    /// Its whole body is at hand, so it can be sent again.
    pub body: Spliced,
    /// The marks of the try it belongs to, if there is one.
    pub progress: Option<Progress>,
}

/// The headers of requests, in the form that each version of HTTP sends. `host` is set where they do not name one;
/// what says how long a body is they cannot: that is set as well.
pub struct Letterhead {
    headers: HeaderMap,
    /// The same as HTTP/1.1 writes them.
    lines: Vec<u8>,
}

impl fmt::Debug for Letterhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Letterhead").field(&self.headers).finish()
    }
}

impl Letterhead {
    /// Writes these headers down.
    pub fn new(mut headers: HeaderMap) -> Self {
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        let mut lines = Vec::new();
        for (name, value) in &headers {
            write_line(&mut lines, name.as_str(), value.as_bytes());
        }
        Self { headers, lines }
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl Letter {
    /// Writes its head down as HTTP/1.1 has it, with a bare path.
    pub(super) fn write_head(&self, target: &Target, to: &mut Vec<u8>) {
        to.extend_from_slice(self.method.as_str().as_bytes());
        to.push(b' ');
        to.extend_from_slice(self.path.as_str().as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
        if !self.head.headers.contains_key(HOST) {
            write_line(to, HOST.as_str(), target.host_header.as_bytes());
        }
        to.extend_from_slice(&self.head.lines);
        if !self.body.is_empty() {
            // Writing to memory cannot fail.
            let _ = write!(to, "{CONTENT_LENGTH}: {}\r\n", self.body.len());
        }
        to.extend_from_slice(b"\r\n");
    }

    /// The same as HTTP/2 wants it: a whole address and no `host`.
    pub(super) fn for_two(&self, target: &Target) -> Request<Body> {
        let mut request = Request::new(Full::new(self.body.whole()));
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().clone_from(&self.head.headers);
        let named = request.headers_mut().remove(HOST);
        let named = named.as_ref().map(HeaderValue::as_bytes).and_then(|host| host.try_into().ok());
        let mut address = uri::Parts::default();
        address.scheme = Some(target.scheme.clone());
        address.authority = Some(named.unwrap_or_else(|| target.authority.clone()));
        address.path_and_query = Some(self.path.clone());
        *request.uri_mut() = Uri::from_parts(address).expect("a path with scheme and authority is a URI");
        request
    }
}

fn write_line(to: &mut Vec<u8>, name: &str, value: &[u8]) {
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&'static str, &'static str)], body: &'static str) -> Letter {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Letter {
            method: if body.is_empty() { Method::GET } else { Method::POST },
            path: "/v1/ask?a=b".parse().unwrap(),
            head: Arc::new(Letterhead::new(headers.collect())),
            body: bytes::Bytes::from(body).into(),
            progress: None,
        }
    }

    fn written(letter: &Letter) -> String {
        let mut head = Vec::new();
        letter.write_head(&Target::new(&"http://here:1/v1".parse().unwrap()).unwrap(), &mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn the_length_is_ours_to_say() {
        let lies = [("content-length", "9"), ("transfer-encoding", "chunked"), ("x-a", "b")];
        assert_eq!(
            written(&letter(&lies, "ask")),
            "POST /v1/ask?a=b HTTP/1.1\r\nhost: here:1\r\nx-a: b\r\ncontent-length: 3\r\n\r\n"
        );
    }

    #[test]
    fn a_configured_host_stands_once() {
        let other = letter(&[("host", "there")], "");
        assert_eq!(written(&other), "GET /v1/ask?a=b HTTP/1.1\r\nhost: there\r\n\r\n");
        let request = other.for_two(&Target::new(&"https://here/v1".parse().unwrap()).unwrap());
        assert_eq!(
            (request.uri().to_string().as_str(), request.headers().len()),
            ("https://there/v1/ask?a=b", 0)
        );
    }
}
