//! What the classifier made of a request, on its way down the pipeline.

use std::sync::Arc;

/// What is known of a request that asked for `auto`; of others nothing is, save the target that has its conversation.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The tier.
    pub tier: Option<Arc<str>>,
    /// The task.
    pub task: Option<Arc<str>>,
    /// How hard it is, 1 to 10.
    pub complexity: Option<u8>,
    /// The target that has the conversation, which goes first while it is healthy.
    pub keep: Option<Arc<str>>,
}
