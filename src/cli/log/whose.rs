//! Says on each line of the log whose request it is about.

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

use crate::base::whose;

/// The name of the span that a line about a request stands in.
const NAME: &str = "request";

/// What directives of `telemetry.log` know it by: where requests get their ids.
const TARGET: &str = "weir::edge::layer::identify";

/// Puts a line into the span of the request that it is about.
///
/// The span is made when there is something to log, below it or in it: a span for each request costs more than most of
/// what a request does otherwise, and hardly ever is anything logged of one. What is outside of all other spans is directly
/// in the request's.
#[derive(Debug)]
pub struct Lines<S>(pub S);

impl<S: Subscriber> Lines<S> {
    fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        match whose::current() {
            Some(whose) if self.0.current_span().id().is_none() => span(&whose).in_scope(work),
            _ => work(),
        }
    }
}

/// At the level of errors, so that whatever is logged says whose it is. A trace is told where there is one.
fn span(whose: &whose::Whose) -> tracing::Span {
    let span = tracing::error_span!(target: TARGET, NAME, id = %whose.id, trace_id = tracing::field::Empty);
    if let Some(trace) = whose.trace {
        span.record("trace_id", tracing::field::display(format_args!("{trace:032x}")));
    }
    span
}

/// Whether this is the request's own span.
fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == NAME && metadata.target() == TARGET
}

impl<S: Subscriber> Subscriber for Lines<S> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Only where it depends on more than the place in the code: on the span around it, say.
        if is_own(metadata) { self.0.enabled(metadata) } else { self.inside(|| self.0.enabled(metadata)) }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if is_own(span.metadata()) { self.0.new_span(span) } else { self.inside(|| self.0.new_span(span)) }
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.record_follows_from(span, follows);
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.0.event_enabled(event)
    }

    fn event(&self, event: &Event<'_>) {
        self.inside(|| self.0.event(event));
    }

    fn enter(&self, span: &Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(id)
    }
}
