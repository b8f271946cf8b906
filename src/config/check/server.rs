//! The listening side, who may ask.

use std::{net::SocketAddr, path::Path};

use crate::base::tag;

use super::{
    super::{AuthMode, Config, Server, Size, Span, path::KeyPath, wording::quoted},
    Report,
};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let server = &config.server;
    check_addresses(config, report);
    check_limits(server, report);
    if let Some(tls) = &server.tls {
        let path = KeyPath::of(&["server", "tls"]);
        check_file(&path.key("cert"), &tls.cert, report);
        check_file(&path.key("key"), &tls.key, report);
    }
    check_client_tags(&config.auth.client_tags, report);
}

/// Reads an address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
///
/// # Errors
/// Says what an address looks like.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        "Write an IP address and a port, like \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::1]:8080\"."
            .to_owned()
    })
}

fn check_addresses(config: &Config, report: &mut Report<'_>) {
    let server = KeyPath::of(&["server"]);
    let mut read = |key: &str, text: &str| match listen_address(text) {
        Ok(address) => Some(address),
        Err(remedy) => {
            report.fault(&server.key(key), format!("{} is not an address", quoted(text)), remedy);
            None
        }
    };
    let listen = read("listen", &config.server.listen);
    let admin = match config.server.admin_listen.as_str() {
        "" => None,
        text => read("admin_listen", text),
    };
    if listen.is_some() && listen == admin && listen.is_some_and(|address| address.port() != 0) {
        let remedy = "Give it a port of its own, or \"\" to serve both on one.";
        report.fault(&server.key("admin_listen"), "the address is that of `server.listen`", remedy);
    }
    let is_open = listen.is_some_and(|address| !address.ip().to_canonical().is_loopback());
    if !is_open || report.is_incomplete(&["auth"]) {
        return;
    }
    let listen = &config.server.listen;
    if config.auth.mode == AuthMode::Open && !config.auth.allow_open_network {
        let problem = format!("anybody who reaches {listen} could spend your money");
        let remedy = "Use `mode = \"keys\"`, listen on 127.0.0.1, or say `allow_open_network = true`.";
        report.fault(&KeyPath::of(&["auth", "mode"]), problem, remedy);
    }
}

/// What is wrong with an address that others can reach where the configuration has no key: nobody could ask, unless
/// the ledger has a key. Keys whose variables are unset count.
pub fn needs_a_key(config: &Config) -> Option<String> {
    let address = listen_address(&config.server.listen).ok()?;
    let reachable = !address.ip().to_canonical().is_loopback();
    let keyless = config.auth.mode == AuthMode::Keys && config.keys.is_empty();
    (reachable && keyless).then(|| {
        format!(
            "server.listen: no key is configured, so nobody who reaches {address} could ask. Make one with \
             `weir keys new NAME`, add a [[keys]] entry, or listen on 127.0.0.1: there no key is needed."
        )
    })
}

fn check_limits(server: &Server, report: &mut Report<'_>) {
    let path = KeyPath::of(&["server"]);
    for (key, Size(size)) in [
        ("max_body", server.max_body),
        ("max_body_memory", server.max_body_memory),
        ("max_header_bytes", server.max_header_bytes),
    ] {
        nonzero(&path.key(key), size == 0, report);
    }
    for (key, number) in
        [("max_in_flight", server.max_in_flight), ("max_connections", server.max_connections)]
    {
        nonzero(&path.key(key), number == 0, report);
    }
    for (key, Span(span)) in [
        ("header_timeout", server.header_timeout),
        ("body_timeout", server.body_timeout),
        ("write_timeout", server.write_timeout),
        ("request_timeout", server.request_timeout),
    ] {
        nonzero(&path.key(key), span.is_zero(), report);
    }
    if server.max_body_memory < server.max_body && server.max_body_memory.0 > 0 {
        let problem = format!("one body of `max_body` ({}) would not fit", server.max_body);
        let remedy = "Make it at least as large as `server.max_body`.";
        report.fault(&path.key("max_body_memory"), problem, remedy);
    }
}

/// Refuses a limit of 0.
pub(super) fn nonzero(path: &KeyPath, is_zero: bool, report: &mut Report<'_>) {
    if is_zero {
        report.fault(path, "with 0 nothing could be served", "Write more than 0, or leave it out.");
    }
}

/// Checks that a named file is there.
pub(super) fn check_file(path: &KeyPath, file: &Path, report: &mut Report<'_>) {
    if !file.is_file() {
        let problem = format!("there is no file {}", quoted(&file.display().to_string()));
        let remedy = "Name a PEM file; a relative path starts where Weir is started.";
        report.fault(path, problem, remedy);
    }
}

fn check_client_tags(names: &[String], report: &mut Report<'_>) {
    let path = KeyPath::of(&["auth", "client_tags"]);
    for (at, name) in names.iter().enumerate() {
        if !tag::is_name(name) {
            let problem = format!("{} cannot name a tag", quoted(name));
            report.fault(&path.index(at), problem, format!("Use {}.", tag::NAME_FORM));
        } else if names[..at].contains(name) {
            report.fault(&path.index(at), format!("{} stands there twice", quoted(name)), "Keep one.");
        }
    }
}
