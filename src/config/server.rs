//! `[server]`: where Weir listens, what it bounds.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretSource, Size, Span};

/// The listening side.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address to serve on. Port 0 takes a free one and logs it. A reload does not move it.
    pub listen: String,
    /// An address of its own for `/metrics` and `/admin`; empty: the same port. A reload does not move it.
    pub admin_listen: String,
    /// The bearer token of `/admin`. Absent, or a variable or file that is not set: `/admin` answers only to programs of
    /// this machine, not through a proxy, nor to web pages.
    pub admin_token: Option<SecretSource>,
    /// The largest request body.
    pub max_body: Size,
    /// How many requests may be under way; past it: 503 `overloaded`.
    /// A reload does not change it.
    pub max_in_flight: usize,
    /// How many bytes the bodies of all requests under way may hold; past it: 503 `overloaded`.
    /// A reload does not change it.
    pub max_body_memory: Size,
    /// How many connections may be open. A reload does not change it.
    pub max_connections: usize,
    /// How long a client may take to send a request's headers.
    /// A reload does not change it.
    pub header_timeout: Span,
    /// How long a client may take to send a request's body.
    pub body_timeout: Span,
    /// How long a client of a stream may leave it unread.
    /// A reload does not change it.
    pub write_timeout: Span,
    /// How long a stream may be quiet after its first content until its client gets a comment (`: ping`), which keeps the
    /// connection alive. `"0s"`: no comments.
    pub stream_ping: Span,
    /// The largest head of a request (all header lines together).
    /// A reload does not change it.
    pub max_header_bytes: Size,
    /// The deadline of a request, all tries together; a client may ask for less with `x-weir-timeout-ms`.
    pub request_timeout: Span,
    /// How long running requests may go on after SIGTERM. A reload does not change it.
    pub shutdown_grace: Span,
    /// How many failed authentications a minute one address may make; past it: 429. 0: no limit.
    pub auth_failures_per_minute: u32,
    /// Serve TLS with this certificate. A reload does not change it.
    pub tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            admin_listen: String::new(),
            admin_token: None,
            max_body: Size::mib(20),
            max_in_flight: 4096,
            max_body_memory: Size::mib(1024),
            max_connections: 16_384,
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(60),
            write_timeout: Span::secs(60),
            stream_ping: Span::secs(15),
            max_header_bytes: Size::kib(64),
            request_timeout: Span::secs(600),
            shutdown_grace: Span::secs(30),
            auth_failures_per_minute: 60,
            tls: None,
        }
    }
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The file of the certificate chain.
    pub cert: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
}
