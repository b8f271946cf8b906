//! Getting a connection, or learning why there is none.

use std::{net::IpAddr, sync::Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::time::Instant;

use super::{super::names::Names, *};

/// A server's certificate for `localhost`, and the file of the authority that signed it.
pub(super) fn authority(alpn: &[&str]) -> (TlsAcceptor, NamedTempFile) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), file)
}

async fn secure(alpn: &[&str]) -> (Origin, NamedTempFile) {
    let (tls, ca) = authority(alpn);
    let speech = Speech { tls: Some(tls), ..Speech::default() };
    let origin = Origin::start(speech, |_, request| async move {
        if request.version() == http::Version::HTTP_2 { answer("two") } else { answer("one") }
    })
    .await;
    (origin, ca)
}

fn trusting(host: &str, origin: &Origin, http: HttpVersion, ca: &NamedTempFile) -> Network {
    let mut options = options(&format!("https://{host}:{}", origin.address.port()), http);
    options.ca_file = Some(ca.path().to_owned());
    Network::new(&options).unwrap()
}

#[tokio::test]
async fn tls_and_the_protocol_by_alpn() {
    let (both, ca) = secure(&["h2", "http/1.1"]).await;
    assert_eq!(ask(&trusting("localhost", &both, HttpVersion::Auto, &ca)).await.unwrap(), "two");
    assert_eq!(ask(&trusting("127.0.0.1", &both, HttpVersion::Two, &ca)).await.unwrap(), "two");
    assert_eq!(ask(&trusting("localhost", &both, HttpVersion::One, &ca)).await.unwrap(), "one");

    let (old, ca) = secure(&["http/1.1"]).await;
    let network = trusting("localhost", &old, HttpVersion::Auto, &ca);
    let all = futures_util::future::join_all((0..10).map(|_| ask(&network))).await;
    assert!(all.into_iter().all(|text| text.unwrap() == "one"));
    let error = ask(&trusting("localhost", &old, HttpVersion::Two, &ca)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Connect, "{error}");
}

#[tokio::test]
async fn an_unknown_authority_or_name_is_refused_and_named() {
    let (origin, _) = secure(&["h2"]).await;
    let (_, other) = authority(&[]);
    let error = ask(&trusting("localhost", &origin, HttpVersion::Auto, &other)).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Connect);
    assert!(error.message.contains("certificate"), "{error}");

    let (origin, ca) = secure(&["h2"]).await;
    let mut options = options(&format!("https://llm.test:{}", origin.address.port()), HttpVersion::Auto);
    options.ca_file = Some(ca.path().to_owned());
    let script = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 1])]));
    let network = Network::with_names(&options, Names::script(script, Duration::from_secs(30))).unwrap();
    let error = ask(&network).await.unwrap_err();
    assert!(error.message.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_fails_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for http in [HttpVersion::One, HttpVersion::Two] {
        let network = network(address, http);
        for error in soon(futures_util::future::join_all((0..20).map(|_| ask(&network)))).await {
            let error = error.unwrap_err();
            assert_eq!(error.kind, TransportErrorKind::Connect);
            assert!(error.message.contains(&address.to_string()), "{error}");
        }
        assert_eq!(network.stats().in_flight, 0);
    }
}

async fn times_out(network: &Network, step: &str) {
    let start = Instant::now();
    let error = ask(network).await.unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.kind, TransportErrorKind::Connect);
    assert!(error.message.contains(step), "{error}");
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_millis(800), "{took:?}");
}

#[tokio::test]
async fn a_black_hole_costs_the_connect_timeout() {
    // Takes connections and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (origin, _ca) = secure(&["h2"]).await;
    let mut options = options(&format!("https://localhost:{port}"), HttpVersion::Auto);
    options.connect_timeout = Duration::from_millis(200);
    times_out(&Network::new(&options).unwrap(), "TLS").await;

    options.base_url = format!("https://llm.test:{}", origin.address.port()).parse().unwrap();
    let silent = Names::script(Arc::default(), Duration::from_secs(30));
    times_out(&Network::with_names(&options, silent).unwrap(), "name").await;
}

#[tokio::test]
async fn a_dead_address_leaves_time_for_the_next() {
    let origin = Origin::start(Speech::default(), |_, _| async { answer("yes") }).await;
    let options = options(&format!("http://llm.test:{}", origin.address.port()), HttpVersion::Auto);
    let script = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 9]), IpAddr::from([127, 0, 0, 1])]));
    let network = Network::with_names(&options, Names::script(script, Duration::from_secs(30))).unwrap();
    assert_eq!(ask(&network).await.unwrap(), "yes");
}

#[tokio::test]
async fn a_provider_that_moves_is_followed() {
    // Two servers on the same port of two loopback addresses.
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = one.local_addr().unwrap().port();
    let two = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    for (listener, text) in [(one, "one"), (two, "two")] {
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handler: Handler = Arc::new(move |_, _| Box::pin(async move { answer(text) }));
                tokio::spawn(serve(stream, Speech { two: true, ..Speech::default() }, 0, handler));
            }
        });
    }
    let mut options = options(&format!("http://llm.test:{port}"), HttpVersion::Two);
    options.idle_connection_timeout = Duration::from_millis(400);
    let script = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 1])]));
    let names = Names::script(script.clone(), Duration::from_millis(50));
    let network = Network::with_names(&options, names).unwrap();
    assert_eq!(ask(&network).await.unwrap(), "one");
    *script.lock().unwrap() = vec![IpAddr::from([127, 0, 0, 2])];
    soon(async {
        while ask(&network).await.unwrap() != "two" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    until(|| network.stats().connections == 1).await;
}

#[test]
fn a_bad_address_is_refused_with_a_reason() {
    for (url, reason) in [
        ("/v1", "needs a scheme"),
        ("ftp://llm.test", "neither"),
        ("https://me:hidden@llm.test", "must not carry"),
    ] {
        let error = Network::new(&options(url, HttpVersion::Auto)).unwrap_err();
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("hidden"));
    }
}

#[test]
fn a_provider_configures_it() {
    let provider = crate::config::Provider {
        base_url: "http://127.0.0.1:1/v1".into(),
        connect_timeout: crate::config::Span::secs(2),
        ..crate::config::Provider::default()
    };
    let options = TransportOptions::from_provider(&provider).unwrap();
    assert_eq!(options.connect_timeout, Duration::from_secs(2));
    assert_eq!(options.streams_per_connection, 100);
    let broken = crate::config::Provider { base_url: "not a url".into(), ..provider };
    assert!(TransportOptions::from_provider(&broken).unwrap_err().contains("base_url"));
}
