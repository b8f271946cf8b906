//! The table of what is served, as a router.

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, delete, get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    dashboard, error,
    front::Front,
    handler,
    layer::{admin, auth, identify, shed},
    state::State,
};
use crate::openai::Endpoint;

/// Who may call a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever has a virtual key.
    Client,
    /// Whoever has the admin token; without one, programs of this machine.
    Admin,
    /// Anybody where there is an admin token, which the page asks for; without one, programs of this machine.
    Page,
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
    served(Method::POST, "/v1/chat/completions", Access::Client, false, || post(handler::ask::elsewhere)),
    served(Method::POST, "/v1/completions", Access::Client, false, || post(handler::ask::elsewhere)),
    served(Method::POST, "/v1/embeddings", Access::Client, false, || post(handler::ask::elsewhere)),
    served(Method::GET, "/v1/models", Access::Client, false, || get(handler::models::list)),
    served(Method::GET, "/v1/models/{*id}", Access::Client, false, || get(handler::models::one)),
    served(Method::GET, "/healthz", Access::Public, false, || get(handler::health::alive)),
    served(Method::GET, "/readyz", Access::Public, false, || get(handler::health::ready)),
    served(Method::GET, "/metrics", Access::Public, true, || get(handler::metrics::page)),
    served(Method::GET, "/dashboard", Access::Page, true, || get(dashboard::index)),
    served(Method::GET, "/dashboard/{file}", Access::Page, true, || get(dashboard::asset)),
    served(Method::GET, "/admin/live", Access::Admin, true, || get(dashboard::live)),
    served(Method::GET, "/admin/status", Access::Admin, true, || get(handler::targets::status)),
    served(Method::POST, "/admin/targets/{*path}", Access::Admin, true, || post(handler::targets::force)),
    served(Method::DELETE, "/admin/cache", Access::Admin, true, || delete(handler::cache::purge)),
    served(Method::GET, "/admin/budgets", Access::Admin, true, || get(handler::budgets::list)),
    served(Method::GET, "/admin/ledger", Access::Admin, true, || get(handler::ledger::rows)),
    served(Method::GET, "/admin/report", Access::Admin, true, || get(handler::ledger::report)),
    served(Method::POST, "/admin/reload", Access::Admin, true, || post(handler::admin::reload)),
    served(Method::GET, "/admin/keys", Access::Admin, true, || get(handler::keys::list)),
    served(Method::POST, "/admin/keys", Access::Admin, true, || post(handler::keys::create)),
    served(Method::DELETE, "/admin/keys/{*name}", Access::Admin, true, || delete(handler::keys::revoke)),
];

/// The paths of the table that ask a model; they are served with its clients' access.
const ASKS: &[(&str, Endpoint)] = &[
    ("/v1/chat/completions", Endpoint::Chat),
    ("/v1/completions", Endpoint::Completions),
    ("/v1/embeddings", Endpoint::Embeddings),
];

/// What serves the port for clients, or the one for operators. With one port for both, `both` is true.
pub fn router(state: &State, operators: bool, both: bool) -> Front {
    // What anybody may call and does not move, like health, is on both.
    let everywhere = |served: &Served| served.access == Access::Public && !served.moves;
    let here = |served: &&Served| both || served.moves == operators || everywhere(served);
    let routes = ROUTES.iter().filter(here).fold(Router::new(), |router, served| {
        let handler = (served.handler)();
        // Layers run from the last to the first: shed, then who it is.
        let guarded = match served.access {
            Access::Public => handler,
            Access::Client => handler
                .route_layer(from_fn_with_state(state.clone(), auth::layer))
                .route_layer(from_fn_with_state(state.clone(), shed::layer)),
            Access::Admin => handler.route_layer(from_fn_with_state(state.clone(), admin::layer)),
            Access::Page => handler.route_layer(from_fn_with_state(state.clone(), admin::page)),
        };
        router.route(served.path, guarded)
    });
    let router = routes
        .fallback(async |request: Request| error::not_found(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| error::method_not_allowed(request.method()))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(identify::layer))
        .with_state(state.clone());
    Front::new(state, if operators && !both { &[] } else { ASKS }, router)
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{Arc, Mutex, atomic::AtomicBool},
    };

    use arc_swap::ArcSwap;
    use axum::{body::Body, extract::ConnectInfo};
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        config::Config,
        edge::Shared,
        limit::{failures::Failures, registry::Limits},
        metrics::Metrics,
        pipeline::{Snapshot, Vault, pipeline},
        spend::Till,
    };

    /// A gateway without keys and without an admin token.
    fn bare() -> State {
        let metrics = Arc::new(Metrics::new().unwrap());
        let till = Till::in_memory(&metrics);
        let snapshot = Snapshot::build(Config::default(), None, &metrics, &till, Arc::default()).unwrap();
        let vault = Vault::new(&snapshot.config.cache, &metrics, &till);
        State(Arc::new(Shared {
            snapshot: ArcSwap::new(snapshot),
            turn: Mutex::new(()),
            keys_seen: Default::default(),
            pipeline: pipeline(&metrics, &till, &vault),
            vault,
            board: dashboard::Board::new(till.clock.clone()),
            till,
            tracer: crate::trace::Tracer::off(),
            exporter: None,
            metrics,
            limits: Limits::default(),
            failures: Failures::new(0),
            room: Arc::new(Semaphore::new(1)),
            body_room: Arc::new(Semaphore::new(1)),
            draining: AtomicBool::new(false),
            over: CancellationToken::new(),
            reload: Arc::new(|| Ok(())),
        }))
    }

    #[tokio::test]
    async fn without_keys_or_a_token_only_loopback_addresses_get_in() {
        let router = router(&bare(), false, true);
        for (peer, inside) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("192.0.2.1:1", false),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("[::ffff:192.0.2.1]:1", false),
            ("[fe80::1]:1", false),
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            for (method, path) in [(Method::GET, "/v1/models"), (Method::POST, "/admin/reload")] {
                let mut request = Request::new(Body::empty());
                *request.method_mut() = method.clone();
                *request.uri_mut() = path.parse().unwrap();
                request.headers_mut().insert("host", "localhost".parse().unwrap());
                request.extensions_mut().insert(ConnectInfo(peer));
                let status = router.clone().oneshot(request).await.unwrap().status();
                assert_eq!(status, if inside { 200 } else { 401 }, "{path} from {peer}");
                // What comes through a proxy could come from anywhere.
                let mut proxied = Request::new(Body::empty());
                (*proxied.method_mut(), *proxied.uri_mut()) = (method, path.parse().unwrap());
                proxied.headers_mut().insert("host", "localhost".parse().unwrap());
                proxied.headers_mut().insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
                proxied.extensions_mut().insert(ConnectInfo(peer));
                assert_eq!(router.clone().oneshot(proxied).await.unwrap().status(), 401, "{path} {peer}");
            }
        }
    }

    #[test]
    fn what_passes_the_router_by_stands_in_the_table() {
        for (path, _) in ASKS {
            let served = ROUTES.iter().find(|served| served.path == *path).unwrap();
            assert_eq!((&served.method, served.access, served.moves), (&Method::POST, Access::Client, false));
        }
    }

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
