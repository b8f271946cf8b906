//! The end of a provider's stack: the network, or the simulated provider inside this process.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower::Service as _;

use crate::{
    config::{Protocol, Provider},
    sim::{Sim, SimBody, SimBroken, SimSettings},
};

use super::transport::{Letter, Network, NetworkBody, TransportError, TransportErrorKind, TransportOptions};

/// What carries a request to its provider.
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

    /// Sends a request; resolves at the head of its answer.
    ///
    /// # Errors
    /// The provider was not reached, or broke off.
    pub async fn send(&self, letter: &Letter) -> Result<Response<LeafBody>, TransportError> {
        match self {
            Self::Network(network) => Ok(network.send(letter).await?.map(|body| LeafBody::Network { body })),
            Self::Sim(sim) => {
                if let Some(progress) = &letter.progress {
                    progress.handed_over();
                }
                let answer = sim.clone().call(request(letter)).await;
                let answer = answer.map_err(|broken| broke(TransportErrorKind::Reset, &broken))?;
                // Boxed, as it is large and the others are not.
                Ok(answer.map(|body| LeafBody::Sim { body: Box::pin(body) }))
            }
        }
    }
}

/// The same as the simulated provider takes it.
fn request(letter: &Letter) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(letter.body.whole()));
    *request.method_mut() = letter.method.clone();
    *request.uri_mut() = letter.path.clone().into();
    request.headers_mut().clone_from(letter.head.headers());
    request
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
        Sim { body: Pin<Box<SimBody>> },
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
            LeafBodyProjection::Sim { body } => body.as_mut().poll_frame(cx).map(|frame| {
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

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Network { body } => body.size_hint(),
            Self::Sim { body } => body.size_hint(),
        }
    }
}
