//! The end of a provider's stack: the network, or the simulated provider inside this process.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tower::Service;

use crate::{
    config::{Protocol, Provider},
    sim::{Sim, SimBody, SimBroken, SimSettings},
};

use super::{
    progress::Progress,
    transport::{Network, NetworkBody, TransportError, TransportErrorKind, TransportOptions},
    unit::RequestBody,
};

/// What carries a request to its provider.
#[derive(Clone)]
pub enum Leaf {
    /// Connections over the network.
    Network(Network),
    /// The simulated provider.
    Sim(Sim),
}

impl Leaf {
    /// The leaf that the settings ask for.
    ///
    /// # Errors
    /// Which setting cannot be used, and why.
    pub fn new(settings: &Provider) -> Result<Self, String> {
        match settings.protocol {
            Protocol::Sim => Ok(Self::Sim(Sim::new(SimSettings::from_options(&settings.sim)?)?)),
            _ => Ok(Self::Network(Network::new(&TransportOptions::from_provider(settings)?)?)),
        }
    }
}

impl Service<http::Request<RequestBody>> for Leaf {
    type Response = http::Response<LeafBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Self::Response, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        match self {
            Self::Network(network) => {
                let answer = network.call(request);
                Box::pin(async { Ok(answer.await?.map(|body| LeafBody::Network { body })) })
            }
            Self::Sim(sim) => {
                Progress::of(&request).inspect(|progress| progress.handed_over());
                let answer = sim.call(request);
                Box::pin(async {
                    let answer = answer.await.map_err(|broken| broke(TransportErrorKind::Reset, &broken))?;
                    Ok(answer.map(|body| LeafBody::Sim { body }))
                })
            }
        }
    }
}

fn broke(kind: TransportErrorKind, broken: &SimBroken) -> TransportError {
    TransportError { kind, message: broken.to_string() }
}

pin_project! {
    /// The body of a leaf's answer.
    #[project = LeafBodyProjection]
    pub enum LeafBody {
        /// From the network.
        Network { #[pin] body: NetworkBody },
        /// From the simulated provider.
        Sim { #[pin] body: SimBody },
    }
}

impl Body for LeafBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match self.project() {
            LeafBodyProjection::Network { body } => body.poll_frame(cx),
            LeafBodyProjection::Sim { body } => body.poll_frame(cx).map(|frame| {
                frame.map(|result| result.map_err(|broken| broke(TransportErrorKind::Body, &broken)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Network { body } => body.is_end_stream(),
            Self::Sim { body } => body.is_end_stream(),
        }
    }
}
