//! What requests tell of themselves in traces: spans under their own ids, kept until they are exported.

pub mod content;
mod context;
pub mod key;
mod queue;
mod span;
mod tracer;

pub use context::{Parent, SpanId, TraceId};
pub use queue::{Queued, Spans};
pub use span::{Kind, Span, Value, name};
pub use tracer::{Open, Scope, Settings, Tracer};
