//! The client of the control plane: Weir's own calls, never a client's request.

mod admin;

use std::{sync::Arc, time::Duration};

pub use admin::{Admin, Request};

/// A client for calls to Weir itself on this machine: no proxy, no redirect, five seconds.
///
/// # Errors
/// If the client cannot be set up, which is a fault of the build.
pub fn local() -> Result<reqwest::Client, String> {
    client(rustls::RootCertStore::empty(), Duration::from_secs(5))
}

/// A client for addresses that the operator has configured: TLS by the built-in authorities, no proxy, no redirect,
/// ten seconds.
///
/// # Errors
/// If the client cannot be set up, which is a fault of the build.
pub fn operators() -> Result<reqwest::Client, String> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    client(roots, Duration::from_secs(10))
}

/// A client of its own with its own means of TLS: without them `reqwest` panics, even where nothing is encrypted.
fn client(roots: rustls::RootCertStore, timeout: Duration) -> Result<reqwest::Client, String> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_client_can_be_made() {
        super::local().unwrap();
        super::operators().unwrap();
    }
}
