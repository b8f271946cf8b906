//! The route for the model name `auto`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;
use tower::Service;

use crate::{
    budget::Who,
    classify::{Prompt, Task, language, least},
    config::ClassifierKind,
    metrics::{NONE, OTHER},
    openai::Endpoint,
    route::{AUTO, Nature, Pick, RouteEntry, Tiers, Unknown, Wanted, WantedBy},
};

use super::{
    answer::Answer,
    classify::{Desk, Found, forbidden, may_use, unknown_name},
    conversations::Kept,
    job::{Classified, Job},
    plan,
    refusal::{Code, Refusal},
    verdict::Verdict,
};

/// By how much complexity may rise within a conversation before its route is chosen anew.
const RISE: u8 = 3;
/// Questions longer than this, in bytes, may not fit into every model's window.
const LONG: usize = 16 * 1024;

/// The tier that the client named.
///
/// # Errors
/// There is no such tier; the refusal names those that there are.
pub fn wished_tier(job: &Job) -> Result<Option<&Arc<RouteEntry>>, Box<Refusal>> {
    // Without tiers the header has no meaning, and `auto` is refused anyway.
    let (Some(name), Some(tiers)) = (&job.wishes.tier, &job.snapshot.tiers) else { return Ok(None) };
    tiers.named(name).map(Some).ok_or_else(|| {
        let names: Vec<&str> = tiers.names().collect();
        Box::new(Refusal::bad_header("x-weir-tier", &format!("one of {}", names.join(", "))))
    })
}

/// Chooses the route. `inner` is the pipeline behind, for a model that rates requests.
pub(super) async fn find<S>(
    desk: &Desk,
    job: &Job,
    by: WantedBy<'_>,
    inner: &mut S,
) -> Result<Found, Box<Refusal>>
where
    S: Service<Classified, Response = Answer, Error = Box<Refusal>, Future: Send> + Clone + Send,
{
    let tier = wished_tier(job)?;
    let tiers = job.snapshot.tiers.as_deref().ok_or_else(no_tiers)?;
    may_use_auto(job, tier)?;
    if job.ask.endpoint() == Endpoint::Embeddings {
        return Err(no_embeddings());
    }
    // All that may be refused is looked at first: a rating costs money.
    let listed = listed(job, by)?;
    let prompt = Prompt::of(&job.ask);
    let is_rated = job.snapshot.config.classifier.kind == ClassifierKind::Llm && tier.is_none();
    let (rated, waited) = match is_rated && is_worth_a_rating(desk, job, tiers) {
        true => {
            let begun = Instant::now();
            // Boxed: few gateways ask a model, and its question is as large as a whole request.
            let rating = Box::pin(desk.ratings.rate(job, &prompt.text, inner.clone())).await;
            desk.metrics.rated(rating.as_str());
            (rating.number(), begun.elapsed())
        }
        false => (None, Duration::ZERO),
    };
    let opinion = job.snapshot.classifier.classify(&prompt);
    let task = job.wishes.task.as_deref().unwrap_or(opinion.task.as_str());
    let complexity = rated.map_or(opinion.complexity, |rated| rated.max(least(&prompt.shape)));
    let language = tiers.minds_language().then(|| language(&prompt.text)).flatten();
    let question = Question { desk, job, tiers, tier, task, complexity };
    Ok(Found { waited, ..question.answer(listed, language) })
}

/// A request for `auto`, as far as it is known.
struct Question<'a> {
    desk: &'a Desk,
    job: &'a Job,
    tiers: &'a Tiers,
    /// The tier that the client named.
    tier: Option<&'a Arc<RouteEntry>>,
    task: &'a str,
    complexity: u8,
}

impl Question<'_> {
    fn answer(&self, listed: Option<Vec<Listed>>, language: Option<&str>) -> Found {
        let Self { desk, job, tier, complexity, .. } = *self;
        let nature = Nature { tier, task: self.task, language, complexity };
        // A list is the client's own order.
        let place = if listed.is_none() { desk.conversations.place(job, AUTO) } else { None };
        let before = place.as_ref().and_then(|place| place.before.as_ref());
        let (pick, keep, chosen_for) = match before.and_then(|before| self.stays(before, &nature)) {
            Some(stays) => stays,
            None => {
                let pick = self.able(self.tiers.pick(&nature));
                // What rises from here is meant to reach a higher tier, never a lower one.
                let least = pick.tier.as_deref().map_or(0, |tier| self.tiers.least(tier));
                (pick, None, complexity.max(least))
            }
        };
        let task_label = match self.tiers.has_task(self.task) || Task::parse(self.task).is_some() {
            true => self.task,
            false => OTHER,
        };
        desk.metrics.classified(pick.tier.as_deref().unwrap_or(NONE), task_label);
        tracing::debug!(route = %pick.route.name, task = self.task, complexity, "is classified");
        let verdict =
            Verdict { tier: pick.tier, task: Some(self.task.into()), complexity: Some(complexity), keep };
        let chosen = || Wanted::Route(Arc::clone(&pick.route));
        let wanted = match listed {
            None => vec![chosen()],
            Some(items) => items.into_iter().map(|Listed(item)| item.unwrap_or_else(chosen)).collect(),
        };
        Found { wanted, verdict, place, chosen_for, waited: Duration::ZERO }
    }

    /// Whether the client named what stands for a route.
    fn is_named(&self) -> bool {
        let by_task = self.job.wishes.task.as_deref().is_some_and(|task| self.tiers.has_task(task));
        self.tier.is_some() || by_task
    }

    /// The route that has the conversation, with the target that has it and the complexity for which it was chosen;
    /// `None`: it is chosen anew. What the client names goes before.
    fn stays(&self, before: &Kept, nature: &Nature<'_>) -> Option<(Pick, Option<Arc<str>>, u8)> {
        if self.is_named() {
            let pick = self.tiers.pick(nature);
            return (pick.route.name == before.route)
                .then(|| (pick, before.target.clone(), before.complexity));
        }
        let route = self.tiers.route(&before.route)?;
        let stays = self.complexity < before.complexity.saturating_add(RISE);
        let pick = self.able(Pick { route: Arc::clone(route), tier: before.tier.clone() });
        (stays && pick.route.name == before.route).then(|| (pick, before.target.clone(), before.complexity))
    }

    /// The choice, or the first tier from that of its complexity on that can do what the request needs. What the client
    /// names is not corrected.
    fn able(&self, pick: Pick) -> Pick {
        let is_able =
            |pick: &Pick| plan::chain(self.job, &[Wanted::Route(Arc::clone(&pick.route))], None).is_ok();
        if self.is_named() || !is_demanding(self.job) || is_able(&pick) {
            return pick;
        }
        let tier = self.tiers.pick(&Nature { complexity: self.complexity, ..Nature::default() });
        let above = self.tiers.above(&tier.route.name);
        let found = [tier.clone()].into_iter().chain(above).find(is_able);
        found.unwrap_or(pick)
    }
}

/// Whether a request may need more than every model can.
fn is_demanding(job: &Job) -> bool {
    let needs = job.ask.needs(None);
    let special = needs.tools || needs.vision || needs.audio || needs.files;
    special || needs.json_schema || needs.json_mode || job.ask.body().len() > LONG
}

/// An item of a client's list; `None`: the route that is chosen for `auto`.
struct Listed(Option<Wanted>);

/// The client's own list, if it has one.
fn listed(job: &Job, by: WantedBy<'_>) -> Result<Option<Vec<Listed>>, Box<Refusal>> {
    let WantedBy::List(names) = by else { return Ok(None) };
    let items = names.iter().map(|name| {
        if name == AUTO {
            return Ok(Listed(None));
        }
        let item = job.snapshot.book.find(name).map_err(|unknown| Box::new(unknown_name(&unknown)))?;
        may_use(job, &item).map(|()| Listed(Some(item)))
    });
    items.collect::<Result<_, _>>().map(Some)
}

/// Whether a rating can matter: not where the task decides, where nothing is sent, where no money is left to answer.
fn is_worth_a_rating(desk: &Desk, job: &Job, tiers: &Tiers) -> bool {
    if job.wishes.cache.only_if_cached || job.wishes.task.as_deref().is_some_and(|task| tiers.has_task(task))
    {
        return false;
    }
    let nobody = BTreeMap::new();
    let key = job.key.as_deref();
    let who = Who {
        key: key.map_or("", |key| key.name()),
        tags: key.map_or(&nobody, |key| key.tags()),
        routes: &[],
    };
    !desk.till.accounts.is_spent(&job.snapshot.bound, &who, desk.till.clock.seconds())
}

/// A key may have `auto` with every route behind it; without that, a tier that it names and may use.
fn may_use_auto(job: &Job, tier: Option<&Arc<RouteEntry>>) -> Result<(), Box<Refusal>> {
    let Some(key) = &job.key else { return Ok(()) };
    let named = tier.is_some_and(|tier| key.may_use_route(&tier.name));
    if named || key.may_use_route(AUTO) { Ok(()) } else { Err(forbidden(key.name(), AUTO)) }
}

fn no_tiers() -> Box<Refusal> {
    let refusal = unknown_name(&Unknown(AUTO.to_owned()));
    let hint =
        "Whoever runs this gateway can give it `classifier.tiers`, the routes that `auto` chooses from.";
    Box::new(Refusal { message: format!("{} {hint}", refusal.message), ..refusal })
}

fn no_embeddings() -> Box<Refusal> {
    let message = "Vectors of different models cannot be compared: name a model or a route, not `auto`.";
    Box::new(Refusal { param: Some("model".into()), ..Refusal::new(Code::InvalidRequest, message) })
}
