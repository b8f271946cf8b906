//! `/admin/cache`: throws kept answers away.

use axum::{
    extract,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    cache::store::Which,
    edge::{
        error,
        parameters::{Parameters, bad},
        state::State,
    },
    pipeline::Refusal,
};

/// `DELETE /admin/cache`: of a key (`?key=NAME`), a route (`?route=NAME`), a tag (`?tag=NAME=VALUE`), or all.
pub async fn purge(extract::State(state): extract::State<State>, uri: Uri) -> Response {
    match which(&uri) {
        Ok(which) => {
            let purged = state.0.vault.purge(&which);
            tracing::info!(purged, "kept answers were thrown away");
            let body = json!({ "purged": purged });
            ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
        Err(refusal) => error::refused(&state, &refusal),
    }
}

fn which(uri: &Uri) -> Result<Which, Box<Refusal>> {
    let parameters = Parameters::read(uri, &["key", "route", "tag"])?;
    match (parameters.get("key"), parameters.get("route"), parameters.get("tag")) {
        (None, None, None) => Ok(Which::All),
        (Some(key), None, None) => Ok(Which::Key(key.to_owned())),
        (None, Some(route), None) => Ok(Which::Route(route.to_owned())),
        (None, None, Some(tag)) => match tag.split_once('=') {
            Some((name, value)) => Ok(Which::Tag(name.to_owned(), value.to_owned())),
            None => Err(bad("tag", "it must be NAME=VALUE")),
        },
        // More than was meant could go otherwise.
        _ => Err(bad("key", "only one of key, route, tag can be given at a time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_at_a_time() {
        let read = |query: &str| which(&format!("/admin/cache{query}").parse().unwrap()).ok();
        assert_eq!(read(""), Some(Which::All));
        assert_eq!(read("?key=a"), Some(Which::Key("a".into())));
        assert_eq!(read("?route=a%2Fb"), Some(Which::Route("a/b".into())));
        assert_eq!(read("?tag=team%3Dx%3Dy"), Some(Which::Tag("team".into(), "x=y".into())));
        for bad in ["?tag=team", "?key=a&route=b", "?all=1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
