//! `weir sim`: the simulated provider as a server.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

use crate::{
    base::secret::Secret,
    config::Span,
    sim::{Fault, Sim, SimSettings, serve},
};

/// Serve the simulated provider: the APIs of OpenAI (Azure's paths too), Anthropic and Gemini with made-up answers and faults.
///
/// A request can name a fault behind its model (`sim-small?status=500`), and `POST /sim/control` changes
/// faults and pace while it runs. `GET /sim/log` and `GET /sim/stats` tell what it was asked.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// The seed of its texts and of chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The time to the first token, like 200ms.
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = Span::parse)]
    pub first_token: Span,
    /// Tokens a second after the first; 0: all at once.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub tokens_per_second: f64,
    /// A fault to show, like status=500, hang, reset-after=3, status=429,retry-after=7.
    #[arg(long, value_name = "FAULT", default_value = "", value_parser = parse_fault)]
    pub fault: Fault,
    /// The share of requests that show the fault, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    pub fault_rate: Option<f64>,
    /// The models that it lists; requests may name any.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "sim-large,sim-small,sim-embedding"
    )]
    pub models: Vec<String>,
    /// An API key to accept, and then no other; may be repeated.
    #[arg(long = "api-key", value_name = "KEY", value_parser = parse_key)]
    pub api_keys: Vec<Secret>,
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    text.parse()
}

fn parse_key(text: &str) -> Result<Secret, String> {
    match text.trim() {
        "" => Err("a key is not empty".to_owned()),
        key => Ok(Secret::new(key)),
    }
}

/// Serves until the process is told to stop.
///
/// # Errors
/// Says what is wrong with the arguments, or why the address cannot be used.
pub async fn run(args: SimArgs) -> Result<(), String> {
    let mut fault = args.fault;
    fault.rate = args.fault_rate.or(fault.rate);
    let sim = Sim::new(SimSettings {
        seed: args.seed,
        first_token: args.first_token.0,
        tokens_per_second: args.tokens_per_second,
        fault,
        models: args.models,
        api_keys: args.api_keys,
        ..SimSettings::default()
    })?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address =
        listener.local_addr().map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    tracing::info!("simulated provider listening on http://{address}/v1");
    serve(listener, sim, stopped()).await;
    Ok(())
}

/// Ready when the process is interrupted or terminated.
pub(super) async fn stopped() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler there is no such signal to wait for.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: SimArgs,
    }

    fn parse(args: &[&str]) -> Result<SimArgs, String> {
        let args = std::iter::once(&"sim").chain(args);
        Cli::try_parse_from(args).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_and_flags_are_read() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen.to_string(), "127.0.0.1:9090");
        assert_eq!(args.models.len(), 3);
        let args =
            parse(&["--api-key", "a", "--api-key=b", "--fault", "status=500,first=2", "--models", "x,y"])
                .unwrap();
        assert_eq!((args.api_keys.len(), args.models), (2, vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(args.fault.first, Some(2));
    }

    #[test]
    fn bad_flags_are_told() {
        assert!(parse(&["--fault", "bogus"]).unwrap_err().contains("known are"));
        assert!(parse(&["--first-token", "soon"]).unwrap_err().contains("span of time"));
    }
}
