//! The whole pipeline, top to bottom.

use std::sync::Arc;

use tower::ServiceBuilder;

use crate::metrics::Metrics;

use super::{
    budget, cache, classify,
    dispatch::Dispatch,
    job::{Asked, Classified, Funded, Missed, Planned},
    plan,
    step::{Step, StepLayer},
};

/// The pipeline as a service; its type is the order of the steps.
pub type Pipeline =
    Step<Asked, Classified, Step<Classified, Missed, Step<Missed, Planned, Step<Planned, Funded, Dispatch>>>>;

/// Builds the pipeline.
pub fn pipeline(metrics: &Arc<Metrics>) -> Pipeline {
    ServiceBuilder::new()
        // What is asked for, and whether the key may ask for it.
        .layer(StepLayer(classify::step))
        // An answer that exists already needs no money and no upstream.
        .layer(StepLayer(cache::step))
        // The targets to try, in order.
        .layer(StepLayer(plan::step))
        // Leave to spend.
        .layer(StepLayer(budget::step))
        // The tries, up to the first answer that counts.
        .service(Dispatch::new(Arc::clone(metrics)))
}
