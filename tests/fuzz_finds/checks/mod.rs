//! What must hold for any input; `make fuzz` looks for one for which it does not.
//!
//! Each check takes an input as a fuzzer makes it: what is read, with a few bytes behind it that say how. It panics if
//! something does not hold.

mod answers;
mod ask;
mod knobs;
mod sse;
mod stream;

pub use answers::answers;
pub use ask::ask;
pub use sse::sse;
pub use stream::{anthropic_stream, gemini_stream, openai_stream};
