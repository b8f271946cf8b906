//! TLS.

use std::path::PathBuf;

use super::{
    http2::{get, http2},
    *,
};
use crate::edge::server::tls;

/// Writes a certificate for `localhost` with its key.
fn certificate(folder: &std::path::Path) -> (config::Tls, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = config::Tls {
        cert: write("cert.pem", made.cert.pem()),
        key: write("key.pem", made.signing_key.serialize_pem()),
    };
    (tls, made.cert.der().clone())
}

#[tokio::test]
async fn tls_serves_both_versions_and_drops_slow_handshakes() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, trusted) = certificate(folder.path());
    let server = config::Server {
        tls: Some(tls),
        header_timeout: config::Span(Duration::from_millis(500)),
        ..config::Server::default()
    };
    let running = start(ServerOptions::new(&server).unwrap(), LIMIT).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    for version in ["h2", "http/1.1"] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = vec![version.as_bytes().to_vec()];
        let mut io = tokio_rustls::TlsConnector::from(Arc::new(client))
            .connect("localhost".try_into().unwrap(), connect(&running).await)
            .await
            .unwrap();
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(version.as_bytes()));
        if version == "h2" {
            let (mut client, _ended) = http2(io).await;
            let answer = client.send_request(get("/a")).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "/a 127.0.0.1 Ok(0);");
        } else {
            io.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(until(&mut io, ";").await.contains("200 OK"));
        }
    }
    assert_eq!(exchange(&running, "").await, "");
}

#[test]
fn tls_faults_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = certificate(folder.path());
    let nowhere = folder.path().join("nowhere");
    let cases = [
        (nowhere.clone(), good.key.clone(), "server.tls.cert"),
        (good.key.clone(), good.key.clone(), "holds no PEM certificate"),
        (good.cert.clone(), nowhere, "server.tls.key"),
        (good.cert.clone(), good.cert.clone(), "server.tls.key"),
    ];
    for (cert, key, part) in cases {
        let fault = tls::acceptor(&config::Tls { cert, key }).err().unwrap();
        assert!(fault.contains(part), "{fault}");
    }
}
