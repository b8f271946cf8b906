//! `/dashboard`: the page itself, which holds no figures of its own.

use std::sync::LazyLock;

use axum::{
    body::Body,
    extract::{self, Path},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    config::SecretSource,
    edge::{error, state::State},
};

/// The page may use what comes with it, ask the gateway that it came from, and nothing else. No text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal, $kind:expr, $path:literal) => {
        File { name: $name, kind: $kind, bytes: include_bytes!($path) }
    };
}

/// Everything that the page needs.
const FILES: [File; 10] = [
    file!("style.css", CSS, "page/style.css"),
    file!("app.js", JS, "page/app.js"),
    file!("charts.js", JS, "page/charts.js"),
    file!("view.js", JS, "page/view.js"),
    file!("theme.js", JS, "page/theme.js"),
    file!("link.js", JS, "page/link.js"),
    file!("words.js", JS, "page/words.js"),
    file!("uplot.js", JS, "vendor/uPlot.iife.min.js"),
    file!("uplot.css", CSS, "vendor/uPlot.min.css"),
    file!("icon.svg", "image/svg+xml", "page/icon.svg"),
];

/// The page as it asks for the token, or as it does not.
static PAGES: LazyLock<[Bytes; 2]> = LazyLock::new(|| {
    let page = include_str!("page/index.html");
    [true, false].map(|token| {
        let told = if token { "needed" } else { "none" };
        Bytes::from(page.replace("{{token}}", told))
    })
});

/// `GET /dashboard`.
pub async fn index(extract::State(state): extract::State<State>, headers: HeaderMap) -> Response<Body> {
    let token = &state.snapshot().config.server.admin_token;
    // One that is named and cannot be read lets nobody in, so it is asked for all the same.
    let needed = token.as_ref().map(SecretSource::resolve).is_some_and(|token| !matches!(token, Ok(None)));
    serve("text/html; charset=utf-8", &PAGES[usize::from(!needed)], &headers)
}

/// `GET /dashboard/{file}`.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => serve(file.kind, &Bytes::from_static(file.bytes), &headers),
        None => error::not_found(&format!("/dashboard/{name}")),
    }
}

/// A file, or that the browser has it already.
fn serve(kind: &'static str, bytes: &Bytes, asked: &HeaderMap) -> Response<Body> {
    let hash: String = Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
    });
    let mut response = match known {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(bytes.clone())),
    };
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", kind),
        // Another version may run behind the same address tomorrow: the tag decides.
        ("cache-control", "no-cache"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let tag = HeaderValue::from_str(&tag).expect("digits in quotes make a header value");
    headers.insert(header::ETAG, tag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_has_a_file_does_not_get_it_again() {
        let file = &FILES[0];
        let bytes = Bytes::from_static(file.bytes);
        let first = serve(file.kind, &bytes, &HeaderMap::new());
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(first.status(), StatusCode::OK);
        for (known, status) in [
            (tag.to_str().unwrap().to_owned(), 304),
            (format!("W/{}", tag.to_str().unwrap()), 304),
            ("\"x\"".into(), 200),
        ] {
            let headers = [(header::IF_NONE_MATCH, known.parse().unwrap())].into_iter().collect();
            assert_eq!(serve(file.kind, &bytes, &headers).status().as_u16(), status, "{known}");
        }
    }

    /// What a page without a build step can get wrong: a name that is not served, a script or style in the markup.
    #[test]
    fn the_page_names_only_what_is_served_and_holds_no_script() {
        let page = include_str!("page/index.html");
        for name in page.split(['"', '\'']).filter_map(|text| text.strip_prefix("dashboard/")) {
            assert!(FILES.iter().any(|file| file.name == name), "{name}");
        }
        for bad in ["<script>", "<style", "style=", "onclick", "http://", "https://", "javascript:"] {
            assert!(!page.contains(bad), "{bad}");
        }
        for (name, text) in [
            ("app.js", include_str!("page/app.js")),
            ("charts.js", include_str!("page/charts.js")),
            ("view.js", include_str!("page/view.js")),
            ("theme.js", include_str!("page/theme.js")),
            ("link.js", include_str!("page/link.js")),
            ("words.js", include_str!("page/words.js")),
        ] {
            for bad in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(bad), "{bad} in {name}");
            }
        }
    }
}
