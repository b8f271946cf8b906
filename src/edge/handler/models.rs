//! `/v1/models`: what the caller's key may name.

use axum::{
    Extension,
    extract::{self, Path, rejection::PathRejection},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    edge::{error, layer::auth::Caller, state::State},
    openai::models::{ModelList, ModelObject},
    pipeline::{Code, Refusal},
    route::AUTO,
};

/// `GET /v1/models`.
pub async fn list(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
) -> Response {
    json(&ModelList::new(visible(&state, &caller)))
}

/// `GET /v1/models/{id}`; ids may hold slashes.
pub async fn one(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    // An id that is no text names nothing.
    let named = |id: &str| visible(&state, &caller).into_iter().find(|model| model.id == id);
    match id.ok().and_then(|Path(id)| named(&id)) {
        Some(model) => json(&model),
        None => {
            let message = "There is no such route or model here. GET /v1/models lists what there is.";
            error::refused(&state, &Refusal::new(Code::ModelNotFound, message))
        }
    }
}

fn visible(state: &State, Caller(key): &Caller) -> Vec<ModelObject> {
    let snapshot = state.snapshot();
    let may_route = |name: &str| key.as_ref().is_none_or(|key| key.may_use_route(name));
    let may_model = |name: &str| key.as_ref().is_none_or(|key| key.may_use_model(name));
    let routes = snapshot.book.routes().filter(|route| may_route(&route.name));
    let routes = routes.map(|route| ModelObject::new(&*route.name, 0, "weir"));
    let auto = snapshot.tiers.is_some() && may_route(AUTO);
    let auto = auto.then(|| ModelObject::new(AUTO, 0, "weir"));
    let on = snapshot.book.targets().filter(|target| snapshot.fleet.is_on(&target.provider));
    let models = on.filter(|target| may_model(&target.name));
    auto.into_iter()
        .chain(routes)
        .chain(models.map(|target| ModelObject::new(&*target.name, 0, &*target.provider)))
        .collect()
}

fn json(body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("plain structs always serialize");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
