//! Starts the log.

mod whose;

use std::io;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use self::whose::Lines;
use crate::config::{LogFormat, Telemetry};

/// Logs to stderr as the configuration says.
///
/// # Errors
/// Directives that cannot be read.
pub fn start(telemetry: &Telemetry) -> Result<(), String> {
    let filter = EnvFilter::try_new(&telemetry.log)
        .map_err(|error| format!("telemetry.log: {error}; write a level like \"info\""))?;
    let registry = tracing_subscriber::registry().with(filter);
    // Colour only where a person looks; elsewhere it would be noise.
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let started = match telemetry.format {
        LogFormat::Text => {
            Lines(registry.with(fmt::layer().with_writer(io::stderr).with_ansi(ansi))).try_init()
        }
        LogFormat::Json => Lines(registry.with(fmt::layer().json().with_writer(io::stderr))).try_init(),
    };
    started.map_err(|error| format!("cannot start the log: {error}"))
}

/// Logs with the defaults, for commands without a configuration.
pub fn start_default() -> Result<(), String> {
    start(&Telemetry::default())
}
