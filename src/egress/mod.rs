//! The client of the control plane: Weir's own calls, never a client's request.

mod admin;
mod listen;

use std::{fmt, path::Path, sync::Arc, time::Duration};

pub use admin::{Admin, Request, reason};
pub use listen::{Heard, Listener};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// A variable that names a PEM file of more authorities to trust, as other tools read it.
const MORE_AUTHORITIES: &str = "SSL_CERT_FILE";

/// A client of the command line for a running Weir: TLS by the built-in authorities with those of the file that
/// `SSL_CERT_FILE` names, no proxy, no redirect, five seconds.
///
/// # Errors
/// That file cannot be read; the client cannot be set up, which is a fault of the build.
pub fn local() -> Result<reqwest::Client, String> {
    let more = std::env::var_os(MORE_AUTHORITIES).filter(|path| !path.is_empty());
    client(authorities(more.as_deref().map(Path::new))?, Duration::from_secs(5))
}

/// The built-in authorities with those of a PEM file.
fn authorities(more: Option<&Path>) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = more {
        let bad = |why: &dyn fmt::Display| format!("{MORE_AUTHORITIES}: `{}`: {why}", path.display());
        for found in CertificateDer::pem_file_iter(path).map_err(|why| bad(&why))? {
            roots.add(found.map_err(|why| bad(&why))?).map_err(|why| bad(&why))?;
        }
    }
    Ok(roots)
}

/// A client for addresses that the operator has configured: TLS by the built-in authorities, no proxy, no redirect,
/// ten seconds.
///
/// # Errors
/// If the client cannot be set up, which is a fault of the build.
pub fn operators() -> Result<reqwest::Client, String> {
    client(authorities(None)?, Duration::from_secs(10))
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
        super::Listener::new(std::time::Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn a_file_adds_to_the_authorities() {
        let built_in = super::authorities(None).unwrap().len();
        assert!(built_in > 10);
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(file.path(), made.cert.pem()).unwrap();
        assert_eq!(super::authorities(Some(file.path())).unwrap().len(), built_in + 1);
        let missing = super::authorities(Some("/nowhere.pem".as_ref())).unwrap_err();
        assert!(missing.contains("SSL_CERT_FILE") && missing.contains("/nowhere.pem"), "{missing}");
    }
}
