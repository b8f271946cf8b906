//! The simulated provider as a tower service.

use std::{
    error::Error,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{
    body::{SimBody, SimBroken},
    choice::{self, Chooser, Chosen, Order},
    fault::Ending,
    log::{Finished, Log, LogEntry},
    play::play,
    prefix::Prefixes,
    protocol::{Call, Protocol, Request as Asked},
    settings::SimSettings,
    watch::{Gauges, Record, Stats, Watch},
};

/// A simulated provider. Clones are the same one.
#[derive(Clone)]
pub struct Sim(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: SimSettings,
    pub(crate) chooser: Chooser,
    pub(crate) record: Arc<Record>,
    pub(crate) prefixes: Prefixes,
}

impl Sim {
    /// A provider with these settings.
    ///
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn new(settings: SimSettings) -> Result<Self, String> {
        settings.check()?;
        let record =
            Record { log: Log::new(settings.log_entries), gauges: Gauges::default(), seed: settings.seed };
        let chooser = Chooser::new(&settings);
        Ok(Self(Arc::new(Inner {
            settings,
            chooser,
            record: Arc::new(record),
            prefixes: Prefixes::default(),
        })))
    }

    /// What it was asked, the oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.0.record.log.entries()
    }

    /// Forgets what it was asked.
    pub fn clear_log(&self) {
        self.0.record.log.clear();
    }

    /// What goes on.
    pub fn stats(&self) -> Stats {
        self.0.record.stats()
    }

    /// Changes the fault or the pace from now on.
    ///
    /// # Errors
    /// Says what is wrong with the order; nothing is changed then.
    pub fn order(&self, order: Order) -> Result<(), String> {
        self.0.chooser.order(order)
    }

    /// Forgets all orders and counts: the settings stand again.
    pub fn reset(&self) {
        self.0.chooser.reset();
        self.0.prefixes.clear();
    }

    async fn answer<B>(self, head: request::Parts, body: B) -> Result<Response<SimBody>, SimBroken>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Inner { settings, chooser, record, prefixes } = &*self.0;
        let protocol = Protocol::of(&head);
        let key = protocol.key(&head);
        let mut watch = Watch::begin(record, &head, key);
        let id = watch.entry.request_id.clone();
        let refuse = |reply, watch| async move { Ok(play(reply, protocol, &Chosen::default(), watch).await) };
        let body = match Limited::new(body, settings.max_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return refuse(protocol.too_large(settings.max_body, &id), watch).await;
            }
            Err(_) => return Err(SimBroken),
        };
        let request = Asked::read(protocol, &head, &body);
        let model = request.model();
        watch.received(&body, model);
        if !is_let_in(settings, protocol, key) {
            return refuse(protocol.bad_key(key, &id), watch).await;
        }
        let chosen = match chooser.choose(model, watch.entry.seq, request.asks()) {
            Ok(chosen) => chosen,
            Err(error) => return refuse(protocol.bad_fault(&error, &id), watch).await,
        };
        watch.entry.fault = Some(chosen.fault.to_string()).filter(|text| !text.is_empty());
        match chosen.fault.ending {
            Some(Ending::Hang) => {
                watch.log();
                pending::<()>().await;
            }
            Some(Ending::Reset) => {
                watch.finish(Finished::Fault);
                return Err(SimBroken);
            }
            _ => {}
        }
        let (model, _) = choice::split(model.unwrap_or_default());
        let (seed, seq) = (settings.seed, watch.entry.seq);
        let (chosen, models, request_id) = (&chosen, &settings.models, &id);
        let call = Call { seed, seq, request_id, model, chosen, models, key, prefixes };
        let reply = request.answer(&call);
        Ok(play(reply, protocol, chosen, watch).await)
    }
}

/// Whether the key opens: any where the settings list none.
fn is_let_in(settings: &SimSettings, protocol: Protocol, key: Option<&str>) -> bool {
    let listed = &settings.api_keys;
    match key {
        None => listed.is_empty() && !protocol.needs_key(),
        Some(key) => listed.is_empty() || listed.iter().any(|known| known.matches(key)),
    }
}

impl<B> tower::Service<Request<B>> for Sim
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<SimBody>;
    type Error = SimBroken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<SimBody>, SimBroken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SimBroken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        Box::pin(self.clone().answer(head, body))
    }
}
