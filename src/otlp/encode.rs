//! Spans as OTLP's JSON.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: names in lower camel case, ids in hexadecimal, kinds
//! as numbers, 64-bit numbers as text.

use serde::Serialize;

use crate::trace::{Kind, Queued, Span, Value};

/// Who sends spans.
#[derive(Debug)]
pub struct Resource {
    /// The name of the service.
    pub service: String,
    /// Which of its processes.
    pub instance: String,
}

/// One request to a collector.
pub fn export(resource: &Resource, spans: &[Queued]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let named = |key, text| KeyValue { key, value: AnyValue::Text(text) };
    let attributes = vec![
        named("service.name", &resource.service),
        named("service.version", version),
        named("service.instance.id", &resource.instance),
    ];
    let spans = spans.iter().map(|queued| SpanJson::of(&queued.span)).collect();
    let scope_spans = [ScopeSpans { scope: Scope { name: "weir", version }, spans }];
    let request = Export { resource_spans: [ResourceSpans { resource: Named { attributes }, scope_spans }] };
    serde_json::to_vec(&request).expect("texts with numbers make JSON")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Named<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Named<'a> {
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope<'a>,
    spans: Vec<SpanJson<'a>>,
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
enum AnyValue<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "doubleValue")]
    Float(f64),
    #[serde(rename = "boolValue")]
    Flag(bool),
    #[serde(rename = "arrayValue")]
    List { values: Vec<AnyValue<'a>> },
}

impl<'a> SpanJson<'a> {
    fn of(span: &'a Span) -> Self {
        Self {
            trace_id: span.trace.to_string(),
            span_id: span.id.to_string(),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
            name: &span.name,
            kind: match span.kind {
                Kind::Server => 2,
                Kind::Client => 3,
            },
            start_time_unix_nano: span.begun.to_string(),
            end_time_unix_nano: span.ended.to_string(),
            attributes: span
                .attributes
                .iter()
                .map(|(key, told)| KeyValue { key, value: AnyValue::of(told) })
                .collect(),
            status: span.failed.then_some(Status { code: 2 }),
        }
    }
}

impl<'a> AnyValue<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Int(number) => Self::Int(number.to_string()),
            Value::Float(number) => Self::Float(*number),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Texts(texts) => Self::List { values: texts.iter().map(|text| Self::Text(text)).collect() },
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{KeyValue, any_value::Value as Read},
        trace::v1::{span::SpanKind, status::StatusCode},
    };

    use super::*;
    use crate::{
        metrics::Metrics,
        trace::{Settings, Tracer, key},
    };

    fn read<'a>(attributes: &'a [KeyValue], key: &str) -> &'a Read {
        let found = attributes.iter().find(|attribute| attribute.key == key).unwrap();
        found.value.as_ref().unwrap().value.as_ref().unwrap()
    }

    #[test]
    fn a_collector_reads_it_as_it_was_meant() {
        let metrics = Metrics::new().unwrap();
        let settings =
            Settings { sample: 1.0, propagate: false, content: Default::default(), queue: 1 << 20 };
        let (tracer, mut spans) = Tracer::new(settings, metrics.trace().clone());
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let scope = tracer.begin(|| Some(header)).unwrap();
        let request = scope.request("POST /v1/chat/completions".into()).unwrap();
        let mut call = scope.call("chat m".into()).unwrap();
        call.set_text(key::REQUEST_MODEL, "m \"\u{7}é");
        call.set(key::INPUT_TOKENS, 7_u64);
        call.set(key::WEIR_COST, 0.25);
        call.set(key::REQUEST_STREAM, true);
        call.set(key::FINISH_REASONS, vec!["stop".to_owned(), "length".to_owned()]);
        call.fail("timeout");
        drop(call);
        drop(request);
        let queued: Vec<Queued> = std::iter::from_fn(|| spans.ready()).collect();
        let resource = Resource { service: "weir".into(), instance: "i".into() };
        let body = export(&resource, &queued);
        let told: ExportTraceServiceRequest = serde_json::from_slice(&body).unwrap();
        let resource_spans = &told.resource_spans[0];
        let named = &resource_spans.resource.as_ref().unwrap().attributes;
        assert_eq!(read(named, "service.name"), &Read::StringValue("weir".into()));
        let [call, request] = &resource_spans.scope_spans[0].spans[..] else { panic!("{told:?}") };
        assert_eq!((call.kind(), request.kind()), (SpanKind::Client, SpanKind::Server));
        assert_eq!(call.parent_span_id, request.span_id);
        assert_eq!(request.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!((call.trace_id.len(), &call.trace_id), (16, &request.trace_id));
        assert_eq!(
            (call.start_time_unix_nano, call.end_time_unix_nano),
            (queued[0].span.begun, queued[0].span.ended)
        );
        assert_eq!(call.status.as_ref().unwrap().code(), StatusCode::Error);
        assert_eq!(request.status, None);
        let attributes = &call.attributes;
        assert_eq!(read(attributes, key::REQUEST_MODEL), &Read::StringValue("m \"\u{7}é".into()));
        assert_eq!(read(attributes, key::INPUT_TOKENS), &Read::IntValue(7));
        assert_eq!(read(attributes, key::WEIR_COST), &Read::DoubleValue(0.25));
        assert_eq!(read(attributes, key::REQUEST_STREAM), &Read::BoolValue(true));
        let Read::ArrayValue(reasons) = read(attributes, key::FINISH_REASONS) else {
            panic!("{attributes:?}")
        };
        assert_eq!(reasons.values.len(), 2);
    }
}
