//! Keys in the ledger that the configuration names, beside a server that may be using it.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    config::{self, Config, LedgerPlace},
    ledger::{self, Books, Ledger, LedgerError, Minted, Wanted},
};

/// Makes a key; gives its secret with the ledger's url.
///
/// # Errors
/// What is wrong with the wanted key, the configuration or the ledger.
pub async fn create(files: &[PathBuf], wanted: &Value) -> Result<(String, String), String> {
    let (config, Some(books)) = open(files, true)? else {
        return Err("the ledger was not made".into());
    };
    let wanted = Wanted::parse(wanted.to_string().as_bytes()).map_err(|fault| fault.to_string())?;
    if config.keys.iter().any(|key| key.name == wanted.name) {
        return Err(format!("the configuration has a key `{}` already; choose another name", wanted.name));
    }
    let Minted { row, secret } = wanted
        .mint(&config, now())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    books.put_key(row).await.map_err(|error| error.to_string())?;
    Ok((secret.expose().to_owned(), config.ledger.url))
}

/// All keys, as the admin API lists them.
///
/// # Errors
/// What is wrong with the configuration or the ledger.
pub async fn list(files: &[PathBuf]) -> Result<Value, String> {
    let (config, books) = open(files, false)?;
    let made = match books {
        Some(books) => books.keys().await.map_err(|error| error.to_string())?,
        // No ledger has no keys; looking makes none.
        None => Vec::new(),
    };
    Ok(ledger::listing(&config, &made))
}

/// Revokes a key.
///
/// # Errors
/// There is no such key in the ledger; what is wrong with the configuration or the ledger.
pub async fn revoke(files: &[PathBuf], name: &str) -> Result<(), String> {
    let (config, books) = open(files, false)?;
    let revoked = match books {
        Some(books) => books.revoke_key(name.to_owned(), now()).await,
        None => Err(LedgerError::NoSuchKey(name.to_owned())),
    };
    match revoked {
        Err(LedgerError::NoSuchKey(_)) if config.keys.iter().any(|key| key.name == name) => {
            Err(format!("the key `{name}` stands in the configuration: take it out of the [[keys]] there"))
        }
        result => result.map_err(|error| error.to_string()),
    }
}

/// The configuration with its ledger, which is made only where `make` says so.
fn open(files: &[PathBuf], make: bool) -> Result<(Config, Option<Books>), String> {
    let loaded = config::load(files).map_err(|faults| format!("the configuration has faults:\n{faults}"))?;
    let config = loaded.config;
    if LedgerPlace::parse(&config.ledger.url) == Some(LedgerPlace::Memory) {
        return Err(
            "the configured ledger is in the server's memory: name the server with --server URL".into()
        );
    }
    let books = Ledger::open_shared(&config.ledger, make).map_err(|error| error.to_string())?;
    Ok((config, books))
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
