//! The whole pipeline, top to bottom.

use std::sync::Arc;

use tower::ServiceBuilder;

use crate::{metrics::Metrics, spend::Till};

use super::{
    budget::{Budget, BudgetLayer},
    cache::{Cache, CacheLayer, Vault},
    classify::{Classify, ClassifyLayer, Desk},
    dispatch::Dispatch,
    idempotency::{Idempotency, IdempotencyLayer},
    job::{Missed, Planned},
    judge::{Bench, Judge, JudgeLayer},
    plan,
    step::{Step, StepLayer},
};

/// The pipeline as a service; its type is the order of the steps.
pub type Pipeline = Idempotency<Classify<Judge<Cache<Step<Missed, Planned, Budget<Dispatch>>>>>>;

/// Builds the pipeline.
pub fn pipeline(metrics: &Arc<Metrics>, till: &Arc<Till>, vault: &Arc<Vault>) -> Pipeline {
    ServiceBuilder::new()
        // The same answer for the same idempotency key.
        .layer(IdempotencyLayer(Arc::clone(till)))
        // What is asked for, and whether the key may ask for it.
        .layer(ClassifyLayer(Arc::new(Desk::new(metrics, till))))
        // A share of the answers is graded afterwards.
        .layer(JudgeLayer(Bench::new(metrics)))
        // An answer that exists already needs no money and no upstream.
        .layer(CacheLayer(Arc::clone(vault)))
        // The targets to try, in order.
        .layer(StepLayer(plan::step))
        // Leave to spend.
        .layer(BudgetLayer(Arc::clone(till)))
        // The tries, up to the first answer that counts.
        .service(Dispatch::new(Arc::clone(metrics)))
}
