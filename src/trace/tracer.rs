//! Begins spans where they are wanted, each with its place in a trace.

use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::SystemTime,
};

use tokio::time::Instant;

use crate::metrics::trace::TraceMetrics;

use super::{
    context::{Parent, SpanId, TraceId},
    key,
    queue::{Queue, Spans},
    span::{Kind, Span, Value},
};

/// How many attributes a span usually has.
const ATTRIBUTES: usize = 24;

/// Begins the spans of requests; clones share everything. Off, it does nothing at all.
#[derive(Clone, Debug)]
pub struct Tracer(Option<Arc<On>>);

/// What is traced.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The share of traces that is recorded, 0 to 1.
    pub sample: f64,
    /// Whether upstreams hear of their place in the trace.
    pub propagate: bool,
    /// The routes whose content is recorded.
    pub content: HashSet<String>,
    /// How many bytes of spans may wait.
    pub queue: usize,
}

#[derive(Debug)]
struct On {
    settings: Settings,
    salt: RandomState,
    queue: Queue,
}

/// A request's place in its trace; clones are the same place.
#[derive(Clone)]
pub struct Scope(Arc<Place>);

struct Place {
    on: Arc<On>,
    trace: TraceId,
    /// The client's own span.
    parent: Option<SpanId>,
    span: SpanId,
    sampled: bool,
}

/// A span under way. Dropping it ends it.
pub struct Open {
    on: Arc<On>,
    begun: Instant,
    span: Span,
}

impl Tracer {
    /// No traces.
    pub fn off() -> Self {
        Self(None)
    }

    /// Traces, with the spans to export.
    pub fn new(settings: Settings, metrics: TraceMetrics) -> (Self, Spans) {
        let (queue, spans) = Queue::new(settings.queue, metrics);
        (Self(Some(Arc::new(On { settings, salt: RandomState::new(), queue }))), spans)
    }

    /// The place of a request that begins now; `header` gives its client's `traceparent`. `None`: nothing is traced.
    ///
    /// A client that records nothing of its trace is obeyed. One that does gets the same share as everybody: which traces
    /// are in it is decided by a hash that nobody outside knows, so that no choice of ids makes Weir record more. All
    /// requests of a trace share their lot.
    pub fn begin<'a>(&self, header: impl FnOnce() -> Option<&'a str>) -> Option<Scope> {
        let on = self.0.as_ref()?;
        let parent = header().and_then(Parent::parse);
        let trace = parent.map_or_else(TraceId::fresh, |parent| parent.trace);
        let sampled = parent.is_none_or(|parent| parent.sampled) && on.samples(trace);
        let parent = parent.map(|parent| parent.span);
        Some(Scope(Arc::new(Place { on: Arc::clone(on), trace, parent, span: SpanId::fresh(), sampled })))
    }
}

impl On {
    fn samples(&self, trace: TraceId) -> bool {
        // The upper 53 bits are a fraction that a float holds exactly.
        let drawn = (self.salt.hash_one(trace) >> 11) as f64 / (1u64 << 53) as f64;
        drawn < self.settings.sample
    }
}

impl Scope {
    /// The trace.
    pub fn trace(&self) -> TraceId {
        self.0.trace
    }

    /// The span of the request itself, once; `None`: it is not recorded.
    pub fn request(&self, name: String) -> Option<Open> {
        let Place { parent, span, .. } = &*self.0;
        self.open(name, Kind::Server, *span, *parent)
    }

    /// The span of a call to an upstream; `None`: it is not recorded.
    pub fn call(&self, name: String) -> Option<Open> {
        self.open(name, Kind::Client, SpanId::fresh(), Some(self.0.span))
    }

    fn open(&self, name: String, kind: Kind, id: SpanId, parent: Option<SpanId>) -> Option<Open> {
        let Place { on, trace, sampled, .. } = &*self.0;
        sampled.then(|| Open {
            on: Arc::clone(on),
            begun: Instant::now(),
            span: Span {
                trace: *trace,
                id,
                parent,
                name,
                kind,
                begun: since_1970(),
                ended: 0,
                attributes: Vec::with_capacity(ATTRIBUTES),
                failed: false,
            },
        })
    }

    /// The `traceparent` for an upstream, where it hears of its place: below the span of its call, if that is recorded.
    pub fn header(&self, call: Option<&Open>) -> Option<String> {
        let Place { on, trace, sampled, .. } = &*self.0;
        on.settings.propagate.then(|| {
            let span = call.map_or_else(SpanId::fresh, |open| open.span.id);
            Parent { trace: *trace, span, sampled: *sampled }.to_string()
        })
    }

    /// Whether what is said on this route is recorded.
    pub fn shows(&self, route: &str) -> bool {
        self.0.sampled && self.0.on.settings.content.contains(route)
    }
}

impl Open {
    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.span.attributes.push((key, value.into()));
    }

    /// Says something of it that somebody else chose.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        self.set(key, Value::text(text));
    }

    /// It failed, with an error of this class.
    pub fn fail(&mut self, class: &'static str) {
        self.set(key::ERROR, class);
        self.span.failed = true;
    }

    /// How long it has been under way.
    pub fn elapsed(&self) -> std::time::Duration {
        self.begun.elapsed()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let span = Span {
            ended: self.span.begun.saturating_add(nanos(self.begun.elapsed())),
            name: std::mem::take(&mut self.span.name),
            attributes: std::mem::take(&mut self.span.attributes),
            ..self.span
        };
        self.on.queue.push(span);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.0.trace).finish()
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it says may be what people asked.
        f.debug_tuple("Open").field(&self.span.id).finish()
    }
}

fn since_1970() -> u64 {
    nanos(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracer(sample: f64, propagate: bool, queue: usize) -> (Tracer, Spans, Metrics) {
        let metrics = Metrics::new().unwrap();
        let content = ["shown".to_owned()].into();
        let settings = Settings { sample, propagate, content, queue };
        let (tracer, spans) = Tracer::new(settings, metrics.trace().clone());
        (tracer, spans, metrics)
    }

    #[test]
    fn a_clients_trace_goes_on_to_its_calls() {
        let (tracer, mut spans, _) = tracer(1.0, true, 1 << 20);
        let scope = tracer.begin(|| Some(HEADER)).unwrap();
        let request = scope.request("r".into()).unwrap();
        let mut call = scope.call("c".into()).unwrap();
        let sent = Parent::parse(&scope.header(Some(&call)).unwrap()).unwrap();
        call.fail("timeout");
        drop(call);
        drop(request);
        let (call, request) = (spans.ready().unwrap().span, spans.ready().unwrap().span);
        assert_eq!((sent.span, sent.trace, sent.sampled), (call.id, call.trace, true));
        assert_eq!(call.parent, Some(request.id));
        assert_eq!(request.parent, Parent::parse(HEADER).map(|parent| parent.span));
        assert_eq!(request.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((call.kind, request.kind), (Kind::Client, Kind::Server));
        assert!(call.failed && !request.failed && call.ended >= call.begun);
        assert_eq!(call.attributes, [("error.type", Value::from("timeout"))]);
        assert!(scope.shows("shown") && !scope.shows("other"));
    }

    #[test]
    fn what_a_client_does_not_record_is_not_recorded() {
        let (tracer, mut spans, _) = tracer(1.0, true, 1 << 20);
        let scope =
            tracer.begin(|| Some(concat!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "-00")));
        let scope = scope.unwrap();
        assert!(scope.request("r".into()).is_none() && scope.call("c".into()).is_none());
        assert!(!scope.shows("shown"));
        // The upstream belongs to the same trace all the same.
        let sent = Parent::parse(&scope.header(None).unwrap()).unwrap();
        assert_eq!((sent.trace, sent.sampled), (scope.trace(), false));
        assert!(spans.ready().is_none());
        // A header that says nothing begins a trace of its own.
        assert!(tracer.begin(|| Some("nonsense")).unwrap().request("r".into()).is_some());
    }

    #[test]
    fn a_share_is_recorded_whatever_clients_say() {
        let (tracer, _spans, _) = tracer(0.25, false, 1 << 20);
        let mut recorded = 0;
        for number in 0..4000_u32 {
            let header = format!("00-{:032x}-b7ad6b7169203331-01", number + 1);
            let first = tracer.begin(|| Some(&header)).unwrap().request("r".into()).is_some();
            // All requests of a trace share their lot.
            assert_eq!(tracer.begin(|| Some(&header)).unwrap().request("r".into()).is_some(), first);
            recorded += usize::from(first);
        }
        assert!((800..1200).contains(&recorded), "{recorded}");
        assert_eq!(tracer.begin(|| None).unwrap().header(None), None);
        assert!(Tracer::off().begin(|| panic!("nobody looks")).is_none());
    }

    #[test]
    fn what_finds_no_room_is_dropped() {
        let (tracer, mut spans, metrics) = tracer(1.0, false, 4096);
        for _ in 0..100 {
            let mut open = tracer.begin(|| None).unwrap().request("r".into()).unwrap();
            open.set_text("a", &"x".repeat(500));
        }
        let mut waiting = Vec::new();
        while let Some(queued) = spans.ready() {
            waiting.push(queued);
        }
        assert!((1..4).contains(&waiting.len()), "{}", waiting.len());
        let page = String::from_utf8(metrics.page()).unwrap();
        let dropped = format!("weir_spans_total{{result=\"dropped\"}} {}", 100 - waiting.len());
        assert!(page.contains(&dropped), "{page}");
        // Their room is free once they are exported.
        waiting.clear();
        drop(tracer.begin(|| None).unwrap().request("r".into()));
        assert!(spans.ready().is_some());
    }
}
