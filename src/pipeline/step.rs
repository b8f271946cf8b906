//! A tower layer made of one pure step: it refuses, or hands a richer request on.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::future::Either;
use tower::{Layer, Service};

use super::refusal::Refusal;

/// A step from `In` to `Out`.
pub type StepFn<In, Out> = fn(In) -> Result<Out, Box<Refusal>>;

/// Puts a step before a service that takes what the step makes.
#[derive(Debug)]
pub struct StepLayer<In, Out>(pub StepFn<In, Out>);

impl<In, Out> Clone for StepLayer<In, Out> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<In, Out, S> Layer<S> for StepLayer<In, Out> {
    type Service = Step<In, Out, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Step { step: self.0, inner }
    }
}

/// The service made by [`StepLayer`].
#[derive(Debug)]
pub struct Step<In, Out, S> {
    step: StepFn<In, Out>,
    inner: S,
}

impl<In, Out, S: Clone> Clone for Step<In, Out, S> {
    fn clone(&self) -> Self {
        Self { step: self.step, inner: self.inner.clone() }
    }
}

impl<In, Out, S> Service<In> for Step<In, Out, S>
where
    S: Service<Out, Error = Box<Refusal>>,
{
    type Response = S::Response;
    type Error = Box<Refusal>;
    type Future = Either<S::Future, Ready<Result<S::Response, Box<Refusal>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: In) -> Self::Future {
        match (self.step)(request) {
            Ok(next) => Either::Left(self.inner.call(next)),
            Err(refusal) => Either::Right(ready(Err(refusal))),
        }
    }
}
