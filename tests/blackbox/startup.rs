//! What the gateway refuses to start with.

use super::support::{
    process::Exited,
    weir::{Setup, Weir},
};

const SIM: &str = "[providers.s]\nprotocol = \"sim\"\n[models.m]\nprovider = \"s\"\n";

/// Starts what must not start; its log has to hold each of `words`.
async fn refused(setup: Setup, words: &[&str]) {
    let Err(Exited { status, stderr, .. }) = setup.try_start().await else {
        panic!("it starts, though it should say: {words:?}");
    };
    assert!(!status.success() && status.code().is_some(), "{status}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in:\n{stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("listening on"), "{stderr}");
}

#[tokio::test]
async fn an_open_gateway_on_the_network_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = format!("{SIM}[server]\nlisten = \"{listen}\"\n[auth]\nmode = \"open\"\n");
        refused(Weir::with(&config), &["auth.mode", listen, "allow_open_network"]).await;
    }
    // Said in the environment it is the same.
    let config = format!("{SIM}[auth]\nmode = \"open\"\n[server]\n# listen =\n");
    refused(Weir::with(&config).env("WEIR_SERVER__LISTEN", "0.0.0.0:0"), &["auth.mode"]).await;
}

#[tokio::test]
async fn a_gateway_without_keys_on_the_network_is_refused() {
    let config = format!("{SIM}[server]\nlisten = \"0.0.0.0:0\"\n");
    refused(Weir::with(&config), &["server.listen", "no key is configured", "[[keys]]"]).await;
    let config = format!("{SIM}# listen =\n");
    refused(Weir::with(&config).env("PORT", "18081"), &["0.0.0.0:18081", "no key is configured"]).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = Weir::start(SIM).await;
    let taken = format!("{SIM}[server]\nlisten = \"{}\"\n", first.address());
    refused(Weir::with(&taken), &["server.listen", first.address()]).await;
    let config = format!("{SIM}[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"{}\"\n", first.address());
    refused(Weir::with(&config), &["server.admin_listen", first.address()]).await;
    let both = "[server]\nlisten = \"127.0.0.1:18082\"\nadmin_listen = \"127.0.0.1:18082\"\n";
    refused(Weir::with(both), &["server.admin_listen"]).await;
    refused(Weir::with("[server]\nlisten = \"127.0.0.1\"\n"), &["server.listen", "127.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let missing = Weir::with(SIM).args(&["--config", "missing.toml"]);
    refused(missing, &["missing.toml"]).await;
    refused(Weir::with(SIM).args(&["--config", "/"]), &["/"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latin.toml");
    std::fs::write(&file, b"[server]\nlisten = \"\xe9\"\n").unwrap();
    let file = file.to_str().unwrap();
    refused(Weir::with(SIM).args(&["--config", file]), &[file, "UTF-8"]).await;
    refused(Weir::with("[server\nlisten = 5"), &["weir.toml:1:8", "not TOML"]).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) =
        (write("cert.pem", &made.cert.pem()), write("key.pem", &made.signing_key.serialize_pem()));
    let (junk, foreign) = (write("junk.pem", "junk"), write("foreign.pem", &other.serialize_pem()));
    for (cert, key, word) in [
        ("/nowhere/cert.pem", key.as_str(), "server.tls.cert"),
        (&cert, "/nowhere/key.pem", "server.tls.key"),
        (&junk, &key, "server.tls.cert"),
        (&cert, &junk, "server.tls.key"),
        (&cert, &foreign, "server.tls"),
    ] {
        let config = format!("{SIM}[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
        refused(Weir::with(&config), &[word]).await;
    }
}

#[tokio::test]
async fn a_log_level_that_is_none_is_named() {
    refused(Weir::with(&format!("{SIM}[telemetry]\nlog = \"infos\"\n")), &["telemetry.log"]).await;
}
