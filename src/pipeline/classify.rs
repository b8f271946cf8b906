//! What a request asks for, by the precedence of the contract; only what its key may use gets through.

use crate::route::{Unknown, Wanted, WantedBy};

use super::{
    job::{Asked, Classified, Job},
    refusal::Refusal,
};

/// Reads what the client named: its own list, else a route, else `model`.
pub fn step(Asked(job): Asked) -> Result<Classified, Box<Refusal>> {
    let names = names(&job);
    let by = match (names, &job.wishes.route) {
        ([], Some(route)) => WantedBy::Route(route),
        ([], None) => WantedBy::Name(job.ask.model()),
        (names, _) => WantedBy::List(names),
    };
    let wanted = job.snapshot.book.wanted(by).map_err(|unknown| Box::new(unknown_name(&unknown)))?;
    for item in &wanted {
        may_use(&job, item)?;
    }
    Ok(Classified { wanted, job })
}

/// The client's own ordered list, from its header or else from its body.
fn names(job: &Job) -> &[String] {
    match job.wishes.models.is_empty() {
        true => job.ask.models(),
        false => &job.wishes.models,
    }
}

fn unknown_name(Unknown(name): &Unknown) -> Refusal {
    let shown: String = name.chars().take(100).collect();
    Refusal::unknown_model(format!(
        "There is no route or model `{shown}` here. GET /v1/models lists what there is; `provider/model` names a provider's own."
    ))
}

fn may_use(job: &Job, wanted: &Wanted) -> Result<(), Box<Refusal>> {
    let Some(key) = &job.key else { return Ok(()) };
    let (name, allowed) = match wanted {
        Wanted::Route(route) => (&route.name, key.may_use_route(&route.name)),
        Wanted::Model(target) => (&target.name, key.may_use_model(&target.name)),
        Wanted::Pinned(target, pinned) => {
            (pinned, key.may_use_model(pinned) || target.configured && key.may_use_model(&target.name))
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(Box::new(Refusal::not_allowed(format!(
            "The key `{}` may not use `{name}`. Ask whoever runs this gateway to grant it.",
            key.name()
        )))),
    }
}
