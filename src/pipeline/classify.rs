//! What a request asks for, by the precedence of the contract; only what its key may use gets through.

use std::{
    future::ready,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either};
use tower::{Layer, Service};

use crate::{
    base::boxed::boxed,
    config::Order,
    metrics::Metrics,
    route::{AUTO, RouteEntry, Unknown, Wanted, WantedBy},
    spend::Till,
};

use super::{
    answer::{Answer, facts},
    auto,
    conversations::{Conversations, Kept, Place},
    job::{Asked, Classified, Job},
    rate::Ratings,
    refusal::Refusal,
    verdict::Verdict,
};

/// What the classifier remembers, for the whole life of the process.
#[derive(Debug)]
pub struct Desk {
    pub(super) metrics: Arc<Metrics>,
    pub(super) till: Arc<Till>,
    pub(super) conversations: Conversations,
    pub(super) ratings: Ratings,
}

impl Desk {
    /// One that remembers nothing yet.
    pub fn new(metrics: &Arc<Metrics>, till: &Arc<Till>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            till: Arc::clone(till),
            conversations: Conversations::default(),
            ratings: Ratings::default(),
        }
    }
}

/// What was found out about a request.
#[derive(Debug)]
pub(super) struct Found {
    /// What it asks for.
    pub(super) wanted: Vec<Wanted>,
    /// What the classifier says.
    pub(super) verdict: Verdict,
    /// Where it stands in its conversation, if that is to be remembered.
    pub(super) place: Option<Place>,
    /// The complexity for which its route was chosen.
    pub(super) chosen_for: u8,
    /// How long a model took to rate it.
    pub(super) waited: Duration,
}

/// Puts the classifier before a service.
#[derive(Clone, Debug)]
pub struct ClassifyLayer(pub Arc<Desk>);

impl<S> Layer<S> for ClassifyLayer {
    type Service = Classify<S>;

    fn layer(&self, inner: S) -> Classify<S> {
        Classify { desk: Arc::clone(&self.0), inner }
    }
}

/// The service made by [`ClassifyLayer`].
#[derive(Clone, Debug)]
pub struct Classify<S> {
    desk: Arc<Desk>,
    inner: S,
}

impl<S> Service<Asked> for Classify<S>
where
    S: Service<Classified, Response = Answer, Error = Box<Refusal>, Future: Send> + Clone + Send + 'static,
{
    type Response = Answer;
    type Error = Box<Refusal>;
    type Future = Either<S::Future, BoxFuture<'static, Result<Answer, Box<Refusal>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Asked(job): Asked) -> Self::Future {
        let by = wanted_by(&job);
        if asks_auto(by) {
            let (desk, mut inner) = (Arc::clone(&self.desk), self.inner.clone());
            return Either::Right(boxed(|| async move {
                let found = auto::find(&desk, &job, wanted_by(&job), &mut inner).await?;
                answer(&desk, job, found, inner).await
            }));
        }
        match named(&self.desk, &job, by) {
            // Nothing is to be done with the answer.
            Ok(Found { wanted, verdict, place: None, .. }) => {
                Either::Left(self.inner.call(Classified { job, wanted, verdict }))
            }
            Ok(found) => {
                let (desk, inner) = (Arc::clone(&self.desk), self.inner.clone());
                Either::Right(boxed(|| async move { answer(&desk, job, found, inner).await }))
            }
            Err(refusal) => Either::Right(Box::pin(ready(Err(refusal)))),
        }
    }
}

/// What the service behind makes of a request, with what was found out about it; remembers who has its conversation.
async fn answer<S>(desk: &Desk, job: Box<Job>, mut found: Found, mut inner: S) -> Result<Answer, Box<Refusal>>
where
    S: Service<Classified, Response = Answer, Error = Box<Refusal>>,
{
    let wanted = std::mem::take(&mut found.wanted);
    let route = only_route(&wanted).filter(|_| found.place.is_some()).cloned();
    let snapshot = Arc::clone(&job.snapshot);
    let verdict = found.verdict.clone();
    let mut result = inner.call(Classified { job, wanted, verdict }).await;
    if let (Ok(answer), Some(place), Some(route)) = (&result, &found.place, &route)
        && let Some(kept) = kept(answer, &found, route)
    {
        desk.conversations.keep(place, kept, &snapshot.config.classifier.sticky);
    }
    if let Some(facts) = facts(&mut result) {
        // A budget may have sent it to another tier.
        let tier = facts.verdict.tier.take().or(found.verdict.tier);
        facts.verdict = Verdict { tier, ..found.verdict };
        facts.waited += found.waited;
    }
    result
}

/// What the client named: its own list, else a route, else `model`.
fn wanted_by(job: &Job) -> WantedBy<'_> {
    match (names(job), &job.wishes.route) {
        ([], Some(route)) => WantedBy::Route(route),
        ([], None) => WantedBy::Name(job.ask.model()),
        (names, _) => WantedBy::List(names),
    }
}

/// Whether a route is to be chosen.
fn asks_auto(by: WantedBy<'_>) -> bool {
    match by {
        WantedBy::Name(name) | WantedBy::Route(name) => name == AUTO,
        WantedBy::List(names) => names.iter().any(|name| name == AUTO),
    }
}

/// Finds what the client named.
fn named(desk: &Desk, job: &Job, by: WantedBy<'_>) -> Result<Found, Box<Refusal>> {
    // A name that stands for no tier is wrong also where no tier is chosen.
    auto::wished_tier(job)?;
    let wanted = job.snapshot.book.wanted(by).map_err(|unknown| Box::new(unknown_name(&unknown)))?;
    for item in &wanted {
        may_use(job, item)?;
    }
    let route = only_route(&wanted).filter(|route| route.order != Order::Listed && route.targets.len() > 1);
    let place = route.and_then(|route| desk.conversations.place(job, &route.name));
    let keep = place.as_ref().and_then(|place| place.before.as_ref()?.target.clone());
    let verdict = Verdict { keep, ..Verdict::default() };
    Ok(Found { wanted, verdict, place, chosen_for: 0, waited: Duration::ZERO })
}

/// The route, where exactly one is wanted.
fn only_route(wanted: &[Wanted]) -> Option<&Arc<RouteEntry>> {
    match wanted {
        [Wanted::Route(route)] => Some(route),
        _ => None,
    }
}

/// What to remember of an answer; nothing of one that a budget sent elsewhere.
fn kept(answer: &Answer, found: &Found, route: &RouteEntry) -> Option<Kept> {
    let own = |name: &Arc<str>| route.targets.iter().any(|(target, _)| target.name == *name);
    let target = answer.facts.target.as_ref().map(|target| Arc::clone(&target.name));
    (!answer.facts.money.downgraded).then(|| Kept {
        route: Arc::clone(&route.name),
        tier: found.verdict.tier.clone(),
        target: target.filter(own),
        complexity: found.chosen_for,
    })
}

/// The client's own ordered list, from its header or else from its body.
fn names(job: &Job) -> &[String] {
    match job.wishes.models.is_empty() {
        true => job.ask.models(),
        false => &job.wishes.models,
    }
}

/// The refusal of a name that stands for nothing.
pub(super) fn unknown_name(Unknown(name): &Unknown) -> Refusal {
    let shown: String = name.chars().take(100).collect();
    Refusal::unknown_model(format!(
        "There is no route or model `{shown}` here. GET /v1/models lists what there is; `provider/model` names a provider's own."
    ))
}

/// Whether the key may name it.
pub(super) fn may_use(job: &Job, wanted: &Wanted) -> Result<(), Box<Refusal>> {
    let Some(key) = &job.key else { return Ok(()) };
    let (name, allowed) = match wanted {
        Wanted::Route(route) => (&route.name, key.may_use_route(&route.name)),
        Wanted::Model(target) => (&target.name, key.may_use_model(&target.name)),
        Wanted::Pinned(target, pinned) => {
            (pinned, key.may_use_model(pinned) || target.configured && key.may_use_model(&target.name))
        }
    };
    if allowed { Ok(()) } else { Err(forbidden(key.name(), name)) }
}

/// The refusal of a name that the key may not use.
pub(super) fn forbidden(key: &str, name: &str) -> Box<Refusal> {
    Box::new(Refusal::not_allowed(format!(
        "The key `{key}` may not use `{name}`. Ask whoever runs this gateway to grant it."
    )))
}
