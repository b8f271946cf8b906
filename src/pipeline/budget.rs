//! Takes leave to spend before anything is sent.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::{Layer, Service};

use crate::{
    base::boxed::boxed,
    budget::{Action, Exceeded},
    config::Ack,
    keys::VirtualKey,
    ledger::Origin,
    price::Price,
    route::{Chain, Missing},
    spend::{Purpose, Purse, Till, Unfunded},
    upstream::Trail,
};

use super::{
    answer::{Answer, facts},
    job::{Funded, Job, Planned},
    plan,
    refusal::Refusal,
    verdict::Verdict,
};

/// Puts the budgets before a service that may spend.
#[derive(Clone, Debug)]
pub struct BudgetLayer(pub Arc<Till>);

impl<S> Layer<S> for BudgetLayer {
    type Service = Budget<S>;

    fn layer(&self, inner: S) -> Budget<S> {
        Budget { till: Arc::clone(&self.0), inner }
    }
}

/// The service made by [`BudgetLayer`].
#[derive(Clone, Debug)]
pub struct Budget<S> {
    till: Arc<Till>,
    inner: S,
}

impl<S> Service<Planned> for Budget<S>
where
    S: Service<Funded, Response = Answer, Error = Box<Refusal>, Future: Send> + Clone + Send + 'static,
{
    type Response = Answer;
    type Error = Box<Refusal>;
    type Future = BoxFuture<'static, Result<Answer, Box<Refusal>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, planned: Planned) -> Self::Future {
        let till = Arc::clone(&self.till);
        let next = self.inner.clone();
        // The one that was polled ready serves this call.
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Planned { mut job, mut chain, verdict } = planned;
        boxed(|| async move {
            // By reference: what is handed on by value would have room in both futures.
            let (purse, downgraded) = fund(&till, &mut job, &mut chain, verdict).await?;
            let tier = purse.cheaper_tier();
            let mut result = inner.call(Funded { job, chain, purse, downgraded }).await;
            if tier.is_some()
                && let Some(facts) = facts(&mut result)
            {
                facts.verdict.tier = tier;
            }
            result
        })
    }
}

/// Holds what the first try may cost: on the chain, or on a cheaper one where a budget says so.
/// Gives what pays for it, with whether it is that one.
async fn fund(
    till: &Arc<Till>,
    job: &mut Job,
    chain: &mut Chain,
    verdict: Verdict,
) -> Result<(Purse, bool), Box<Refusal>> {
    let purpose = purpose(job, chain, verdict);
    let purse = Purse::open(till, purpose).map_err(|unfunded| refusal(chain, &unfunded))?;
    match ready(&purse, chain).await {
        Ok(()) => Ok((purse, false)),
        // Boxed, as what is seldom run: else its future would be a part of every request's.
        Err(unfunded) => boxed(|| downgrade(purse, job, chain, unfunded)).await,
    }
}

/// Sends what no budget has room for to the cheaper chain that one names.
async fn downgrade(
    purse: Purse,
    job: &Job,
    chain: &mut Chain,
    mut unfunded: Unfunded,
) -> Result<(Purse, bool), Box<Refusal>> {
    if let Some((route, mut cheaper)) = cheaper(job, chain, &unfunded) {
        purse.downgrade();
        match ready(&purse, &mut cheaper).await {
            Ok(()) => {
                purse.goes_to(route);
                *chain = cheaper;
                return Ok((purse, true));
            }
            Err(also) => unfunded = also,
        }
    }
    let refusal = refusal(chain, &unfunded);
    purse.refused(refusal.code.as_str());
    Err(refusal)
}

fn refusal(chain: &Chain, unfunded: &Unfunded) -> Box<Refusal> {
    Box::new(Refusal::unfunded(chain, unfunded, Trail::default()))
}

/// What the purse of a request has to know.
fn purpose(job: &mut Job, chain: &Chain, verdict: Verdict) -> Purpose {
    let snapshot = &job.snapshot;
    let key = job.key.as_deref();
    let is_own = key.is_some_and(VirtualKey::is_own);
    let origin = Origin {
        request_id: Arc::clone(job.id.text()),
        key: key.map_or_else(|| "".into(), |key| Arc::clone(key.name())),
        tags: Arc::clone(&job.tags),
        route: Arc::clone(&chain.route),
        tier: verdict.tier,
        task: verdict.task,
        complexity: verdict.complexity,
        requested_model: requested(job, chain),
        stream: job.ask.stream(),
        cache: job.cache,
    };
    Purpose {
        origin,
        own_tags: key.map(|key| Arc::clone(key.tags())).unwrap_or_default(),
        ask: Arc::clone(&job.ask),
        bound: snapshot.bound.clone(),
        deadline: job.timing.deadline,
        defaults: Arc::clone(&chain.defaults),
        routes: chain.routes.clone(),
        route_label: Arc::clone(&chain.label),
        first_choice: chain.targets.first().and_then(|target| target.price.clone()),
        // Who always uses the baseline model has no need of Weir's own calls: all that they cost is lost again.
        baseline: snapshot
            .baseline
            .clone()
            .map(|baseline| if is_own { Arc::new(Price::free()) } else { baseline }),
        ceiling: job.wishes.max_cost,
        durable: snapshot.config.ledger.ack == Ack::Durable,
        tokens: job.tokens.take(),
    }
}

/// What the client named; most name the route itself.
fn requested(job: &Job, chain: &Chain) -> Arc<str> {
    let named = job.ask.model();
    if *named == *chain.route { Arc::clone(&chain.route) } else { named.into() }
}

/// Holds for the first target that may be paid for; those before it are passed over. Where each is out of the question
/// for a reason of its own, others may settle what they hold there.
async fn ready(purse: &Purse, chain: &mut Chain) -> Result<(), Unfunded> {
    let refused = match pass(purse, chain, false).await {
        Err(refused) if refused.may_free() => refused,
        result => return result,
    };
    chain.skipped.retain(|(_, missing)| !matches!(missing, Missing::Budget(_)));
    pass(purse, chain, true).await.map_err(|_| refused)
}

/// Holds for the first target that may be paid for now, or once others have settled (`wait`).
pub(super) async fn pass(purse: &Purse, chain: &mut Chain, wait: bool) -> Result<(), Unfunded> {
    let mut told: Option<Unfunded> = None;
    for (at, target) in chain.targets.iter().enumerate() {
        match purse.ready(target, wait).await {
            Ok(()) => {
                chain.start = at;
                return Ok(());
            }
            Err(unfunded) if unfunded.only_here() => {
                let missing = missing(&unfunded);
                tracing::info!(model = %target.name, lacks = %missing, "is passed over");
                chain.skipped.push((Arc::clone(target), missing));
                // A spent budget says more than a price that nobody knows.
                told = match told {
                    Some(told) if !matches!(told, Unfunded::Unpriced(_)) => Some(told),
                    _ => Some(unfunded),
                };
            }
            Err(unfunded) => return Err(unfunded),
        }
    }
    Err(told.expect("a planned chain has a target"))
}

/// What a target lacks that may not be paid for.
fn missing(unfunded: &Unfunded) -> Missing {
    match unfunded {
        Unfunded::Budget(exceeded) => Missing::Budget(Arc::clone(&exceeded.budget)),
        Unfunded::Unpriced(_) | Unfunded::Ledger => Missing::Price,
    }
}

/// The route that the budget names for requests that do not fit, with its chain: it stands in for the route that was
/// asked for.
fn cheaper(job: &Job, chain: &Chain, unfunded: &Unfunded) -> Option<(Arc<str>, Chain)> {
    let Unfunded::Budget(Exceeded { budget, action: Action::Downgrade(route), .. }) = unfunded else {
        return None;
    };
    let wanted = job.snapshot.book.route(route).ok()?;
    let cheaper = plan::chain(job, &[wanted], None).ok()?;
    tracing::info!(%budget, to = %route, "a budget has no room: the request is downgraded");
    let instead = Arc::clone(&cheaper.route);
    let (route, defaults) = (Arc::clone(&chain.route), Arc::clone(&chain.defaults));
    let cheaper = Chain {
        route,
        label: Arc::clone(&chain.label),
        routes: chain.routes.clone(),
        configured: chain.configured,
        defaults,
        // What is to be cheap is not made dearer again.
        cascade: None,
        least: chain.least,
        ..cheaper
    };
    Some((instead, cheaper))
}
