//! `[telemetry]`: what Weir says of itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretSource, Size};

/// Logs, traces.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives like `weir=debug,info`.
    pub log: String,
    /// One line of text or one JSON object an event.
    pub format: LogFormat,
    /// A collector that gets a span for each request, one for each try, like `http://localhost:4318`; by OTLP over HTTP in
    /// JSON, `/v1/traces` is added where it lacks. Absent or empty: nothing is traced. The address may hold a secret, so it
    /// is treated as one.
    pub otlp_endpoint: Option<SecretSource>,
    /// Headers of each request to the collector, like `{ authorization = "env:OTLP_AUTHORIZATION" }`.
    pub otlp_headers: BTreeMap<String, SecretSource>,
    /// The name under which the collector knows this gateway.
    pub service_name: String,
    /// The share of traces that is recorded, 0 to 1. A client that says in `traceparent` that its own trace is not
    /// recorded is obeyed; one that says it is gets the same share as everybody.
    pub sample: f64,
    /// Whether upstreams get a `traceparent` of Weir's own. The client's never reaches them, nor does its `tracestate`.
    pub propagate: bool,
    /// The routes on which spans tell what was asked with what was answered, 32 KiB of each at most. That is in no log or
    /// metric, nor in the traces of any other route.
    pub content: Vec<String>,
    /// The most memory for spans that wait to be sent; what finds no room is dropped, which
    /// `weir_spans_total{result="dropped"}` counts.
    pub max_queue: Size,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".into(),
            format: LogFormat::Text,
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            service_name: "weir".into(),
            sample: 1.0,
            propagate: false,
            content: Vec::new(),
            max_queue: Size::mib(4),
        }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text an event.
    Text,
    /// A JSON object an event.
    Json,
}
