//! `weir health`: asks a running gateway whether it is alive.

use std::path::PathBuf;

use clap::Args;

use crate::{config, egress};

/// Arguments of `weir health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The gateway's address, like http://127.0.0.1:8080; absent: the configured one, on this machine. With https it
    /// is trusted by the built-in authorities, or by those in the PEM file that SSL_CERT_FILE names.
    #[arg(long)]
    url: Option<String>,
}

/// Fails unless `/healthz` answers with success.
pub async fn run(files: &[PathBuf], args: HealthArgs) -> Result<(), String> {
    let base = match args.url {
        Some(url) => url,
        None => configured(files)?,
    };
    let url = format!("{}/healthz", base.trim_end_matches('/'));
    let answer = egress::local()?.get(&url).send().await.map_err(|error| format!("{url}: {error}"))?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(format!("{url} answered {}", answer.status())),
    }
}

fn configured(files: &[PathBuf]) -> Result<String, String> {
    let loaded = config::load(files).map_err(|faults| faults.to_string())?;
    let server = &loaded.config.server;
    if server.tls.is_some() {
        return Err("the gateway serves TLS: name its plain admin address with --url".into());
    }
    let listen = server.listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    Ok(format!("http://{listen}"))
}
