//! Keeps web pages, reverse proxies out where a loopback address alone lets callers in.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Uri, header, uri::Authority};

use crate::{
    config::Server,
    pipeline::{Code, Refusal},
};

/// What reverse proxies add: behind one, everybody comes from a loopback address.
const PROXIED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// What a browser says of the page that sends a request.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What programs of this machine nearly always call it, before a port.
const PLAIN: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A door that is open to this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/v1`, where there is no key. A web page of this machine may use it.
    Keyless,
    /// `/v1` in open mode, likewise.
    Open,
    /// `/admin`, where there is no token. Only a page of its own may use it.
    Admin,
}

impl Door {
    /// What opens it to others.
    fn remedy(self) -> &'static str {
        match self {
            Self::Keyless => "make a key with `weir keys new NAME` and send it",
            Self::Open => "set `auth.mode = \"keys\"` and send a key, or `auth.allow_open_network = true`",
            Self::Admin => "set `server.admin_token` and send it",
        }
    }
}

/// Lets in what a program on this machine sends: not what comes through a proxy, nor what a browser sends for a page of
/// another site, even where that site's name leads here (DNS rebinding).
///
/// # Errors
/// Why it is refused, with what to configure.
pub fn check(
    door: Door,
    server: &Server,
    peer: SocketAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Box<Refusal>> {
    let refused = |why: &str| {
        let message =
            format!("This gateway answers only to this machine here, and {why}: {}.", door.remedy());
        Err(Box::new(Refusal::new(Code::InvalidApiKey, message)))
    };
    if !peer.ip().to_canonical().is_loopback() {
        return refused("the request comes from another one");
    }
    if headers.keys().any(|name| PROXIED.contains(&name.as_str())) {
        return refused("the request came through a proxy, which hides where it is from");
    }
    if !is_for_here(server, uri, headers) {
        return refused("`Host` names neither a loopback address nor the one that it listens on");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
    let from_page = origins.peek().is_some();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_origin_here(server, origin))) {
        return refused("another web site's page sent the request");
    }
    let mut sites = headers.get_all(SITE).iter();
    let own = sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    match own || (door != Door::Admin && from_page) {
        true => Ok(()),
        false => refused("another web site's page sent the request"),
    }
}

/// Whether everything that names the server's host names this one. A request that names none is no browser's, but no
/// proper one either.
fn is_for_here(server: &Server, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter().peekable();
    let named = uri.authority().is_some() || hosts.peek().is_some();
    let is_here =
        |text: &str| is_plainly_here(text) || text.parse().is_ok_and(|authority| is_here(server, &authority));
    named
        && uri.authority().is_none_or(|authority| self::is_here(server, authority))
        && hosts.all(|host| host.to_str().is_ok_and(is_here))
}

/// What [`is_here`] says of nearly all that it is asked, without reading it as an authority.
fn is_plainly_here(text: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    PLAIN.iter().filter_map(|name| text.strip_prefix(name)).any(|rest| match rest.strip_prefix(':') {
        Some(port) => is_port(port),
        None => rest.is_empty(),
    })
}

fn is_origin_here(server: &Server, origin: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.and_then(|text| text.parse().ok()).is_some_and(|authority| is_here(server, &authority))
}

/// Whether a name stands for this machine: `localhost`, a loopback address, or what is listened on.
fn is_here(server: &Server, authority: &Authority) -> bool {
    let host = bare(authority.host());
    let address: Option<IpAddr> = host.parse().ok();
    let listens = |listen: &str| {
        let name = listen.rsplit_once(':').map(|(name, _)| bare(name));
        let any = address.is_some_and(|address| address.is_unspecified());
        !any && name.is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    host.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
        || listens(&server.listen)
        || listens(&server.admin_listen)
}

/// A host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(door: Door, headers: &[(&'static str, &str)]) -> bool {
        let map = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header's value"))
        });
        let mut all = HeaderMap::new();
        for (name, value) in map {
            all.append(name, value);
        }
        let server = Server { listen: "192.0.2.7:8080".into(), ..Server::default() };
        let peer = "127.0.0.1:1".parse().unwrap();
        check(door, &server, peer, &Uri::from_static("/v1/models"), &all).is_ok()
    }

    #[test]
    fn only_hosts_of_this_machine_are_served() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:8080", "192.0.2.7:8080"]
        {
            assert!(with(Door::Keyless, &[("host", host)]), "{host}");
            assert!(!with(Door::Keyless, &[("host", host), ("host", "evil.example")]), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "192.0.2.8",
            "0.0.0.0:8080",
            "weir",
            "",
        ] {
            assert!(!with(Door::Keyless, &[("host", host)]), "{host}");
        }
        assert!(!with(Door::Admin, &[]));
    }

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let asked = |door, headers: &[(&'static str, &str)]| {
            with(door, &[&[("host", "localhost:8080")], headers].concat())
        };
        for (headers, client, admin) in [
            (&[][..], true, true),
            (&[("sec-fetch-site", "none")], true, true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8080")], true, true),
            (&[("origin", "http://127.0.0.1:3000")], true, true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")], true, false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://[::1]:3000")], true, false),
            (&[("sec-fetch-site", "cross-site")], false, false),
            (&[("sec-fetch-site", "same-site")], false, false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false, false),
            (&[("origin", "https://evil.example")], false, false),
            (&[("origin", "http://localhost"), ("origin", "http://evil.example")], false, false),
            (&[("origin", "null")], false, false),
            (&[("origin", "")], false, false),
        ] {
            assert_eq!(asked(Door::Keyless, headers), client, "{headers:?}");
            assert_eq!(asked(Door::Admin, headers), admin, "{headers:?}");
        }
    }

    #[test]
    fn proxies_are_kept_out_with_a_word_on_what_to_do() {
        for name in PROXIED {
            assert!(!with(Door::Keyless, &[("host", "localhost"), (name, "127.0.0.1")]), "{name}");
        }
        let other = "192.0.2.1:1".parse().unwrap();
        let ask = |door| check(door, &Server::default(), other, &Uri::from_static("/"), &HeaderMap::new());
        assert!(ask(Door::Keyless).unwrap_err().message.contains("weir keys new"));
        assert!(ask(Door::Admin).unwrap_err().message.contains("server.admin_token"));
    }

    #[test]
    fn an_address_in_the_request_line_counts_as_host() {
        let ask = |uri: &'static str| {
            let peer = "[::1]:1".parse().unwrap();
            check(Door::Keyless, &Server::default(), peer, &Uri::from_static(uri), &HeaderMap::new()).is_ok()
        };
        assert!(ask("http://localhost:8080/v1/models") && !ask("http://evil.example/v1/models"));
    }
}
