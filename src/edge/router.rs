//! The table of what is served, as a router.

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    error, handler,
    layer::{admin, auth, identify, shed},
    state::State,
};

/// Who may call a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever has a virtual key.
    Client,
    /// Whoever has the admin token; without one, loopback addresses.
    Admin,
}

/// A path of the table.
#[derive(Clone, Debug)]
pub struct Served {
    /// The method.
    pub method: Method,
    /// The path, in the router's notation.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it moves to `server.admin_listen` where that is set.
    pub moves: bool,
    handler: fn() -> MethodRouter<State>,
}

const fn served(
    method: Method,
    path: &'static str,
    access: Access,
    moves: bool,
    handler: fn() -> MethodRouter<State>,
) -> Served {
    Served { method, path, access, moves, handler }
}

/// Everything that is served. A path can only be added here, with its access, so none is open by oversight.
pub const ROUTES: &[Served] = &[
    served(Method::POST, "/v1/chat/completions", Access::Client, false, || post(handler::ask::chat)),
    served(Method::POST, "/v1/completions", Access::Client, false, || post(handler::ask::completions)),
    served(Method::POST, "/v1/embeddings", Access::Client, false, || post(handler::ask::embeddings)),
    served(Method::GET, "/v1/models", Access::Client, false, || get(handler::models::list)),
    served(Method::GET, "/v1/models/{*id}", Access::Client, false, || get(handler::models::one)),
    served(Method::GET, "/healthz", Access::Public, false, || get(handler::health::alive)),
    served(Method::GET, "/readyz", Access::Public, false, || get(handler::health::ready)),
    served(Method::GET, "/metrics", Access::Public, true, || get(handler::metrics::page)),
    served(Method::POST, "/admin/reload", Access::Admin, true, || post(handler::admin::reload)),
];

/// The router of the port for clients, or of the one for operators. With one port for both, `both` is true.
pub fn router(state: &State, operators: bool, both: bool) -> Router {
    let here = |served: &&Served| both || served.moves == operators || served.access == Access::Public;
    let group = |access: Access| {
        ROUTES
            .iter()
            .filter(here)
            .filter(|served| served.access == access)
            .fold(Router::new(), |router, served| router.route(served.path, (served.handler)()))
    };
    // Layers run from the last to the first: shed, then who it is.
    let clients = group(Access::Client)
        .route_layer(from_fn_with_state(state.clone(), auth::layer))
        .route_layer(from_fn_with_state(state.clone(), shed::layer));
    let admins = group(Access::Admin).route_layer(from_fn_with_state(state.clone(), admin::layer));
    group(Access::Public)
        .merge(clients)
        .merge(admins)
        .fallback(async |request: Request| error::not_found(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| error::method_not_allowed(request.method()))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(identify::layer))
        .with_state(state.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_can_spend_needs_a_key() {
        for served in ROUTES.iter().filter(|served| served.path.starts_with("/v1/")) {
            assert_eq!(served.access, Access::Client, "{}", served.path);
        }
        for served in ROUTES.iter().filter(|served| served.path.starts_with("/admin/")) {
            assert_eq!(served.access, Access::Admin, "{}", served.path);
        }
    }
}
