//! Whom we trust on the other side of TLS.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::HttpVersion;

/// The TLS settings towards a provider: `ca_file`'s authorities instead of the built-in ones if it is given.
///
/// # Errors
/// Says what is wrong with `ca_file`.
pub(super) fn client(http: HttpVersion, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca_file {
        Some(path) => authorities(path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match http {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::One => vec![b"http/1.1".to_vec()],
        HttpVersion::Two => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| format!("ca_file {shown} cannot be read: {error}"))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("ca_file {shown} is not PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("ca_file {shown} holds a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("ca_file {shown} holds no certificate (\"-----BEGIN CERTIFICATE-----\")"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_ca_file_is_named() {
        let missing = client(HttpVersion::Auto, Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(missing.contains("/nowhere/ca.pem cannot be read"), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = client(HttpVersion::Auto, Some(file.path())).unwrap_err();
        assert!(empty.contains("holds no certificate"), "{empty}");
        assert!(client(HttpVersion::One, None).is_ok());
    }
}
