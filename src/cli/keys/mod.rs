//! `weir keys`: virtual keys, in the ledger or for the configuration file.

mod file;
mod remote;
mod stanza;
mod table;

use std::{collections::BTreeMap, io, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    base::{money::Nanos, tag},
    config::{self, KEY_NAME_FORM},
};

/// Virtual keys.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    /// Make a key. Its secret is shown once; only its hash is kept, in the ledger, where a running server notices it
    /// within a second.
    New(Box<NewKey>),
    /// List all keys: those of the ledger, those of the configuration.
    List(ListKeys),
    /// Revoke a key of the ledger. Its requests under way go on, later ones are refused.
    Revoke(RevokeKey),
}

/// What a new key may do.
#[derive(Args, Clone, Debug)]
struct NewKey {
    /// What the key is called in logs, metrics and reports: letters, digits and . _ : - /
    #[arg(value_parser = parse_name)]
    name: String,
    /// The routes it may ask for, separated by commas; absent: all
    #[arg(long, value_delimiter = ',', value_name = "ROUTE,...")]
    routes: Option<Vec<String>>,
    /// The models it may name directly, separated by commas; absent: all
    #[arg(long, value_delimiter = ',', value_name = "MODEL,...")]
    models: Option<Vec<String>>,
    /// Requests a minute; 0: no limit
    #[arg(long, default_value_t = 0)]
    rpm: u32,
    /// Tokens a minute; 0: no limit
    #[arg(long, default_value_t = 0)]
    tpm: u32,
    /// Requests under way at once; 0: no limit
    #[arg(long, default_value_t = 0)]
    max_concurrent: u32,
    /// Requests a calendar month; 0: no quota
    #[arg(long, default_value_t = 0)]
    requests_per_month: u64,
    /// What its requests are counted under, like team=support; may be repeated
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// What it may spend a calendar day, in USD
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    daily: Option<Nanos>,
    /// What it may spend a calendar month, in USD
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    monthly: Option<Nanos>,
    /// What it may ever spend, in USD
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    total: Option<Nanos>,
    /// What one request may cost, in USD
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    per_request: Option<Nanos>,
    /// Print the key's tables for the configuration file instead of writing the key into the ledger
    #[arg(long, conflicts_with = "server")]
    print: bool,
    #[command(flatten)]
    place: Place,
}

/// Where the keys are.
#[derive(Args, Clone, Debug)]
struct Place {
    /// Ask the running server at this address, like http://127.0.0.1:8080, with the token in WEIR_ADMIN_TOKEN if it
    /// is set (https: trusted by the built-in authorities, or those in the file that SSL_CERT_FILE names); absent: the
    /// ledger that the configuration names
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ListKeys {
    /// Print what the admin API answers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Clone, Debug)]
struct RevokeKey {
    /// The key's name
    #[arg(value_parser = parse_name)]
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Does what was asked, with the configuration in `files`. Results go to `out`, words about them to `notes`.
///
/// # Errors
/// What could not be done, and why.
pub async fn run(
    files: &[PathBuf],
    args: &KeysArgs,
    out: &mut impl io::Write,
    notes: &mut impl io::Write,
) -> Result<(), String> {
    match &args.command {
        KeysCommand::New(new) if new.print => {
            stanza::print(new, &crate::keys::generate(), out).map_err(|error| error.to_string())
        }
        KeysCommand::New(new) => {
            let (secret, place) = match &new.place.server {
                Some(server) => (remote::create(server, &new.wanted()).await?, server.clone()),
                None => file::create(files, &new.wanted()).await?,
            };
            written(writeln!(
                notes,
                "The key `{}` is in {place}. Its secret, shown only this once:",
                new.name
            ))?;
            written(writeln!(out, "{secret}").and_then(|()| out.flush()))
        }
        KeysCommand::List(list) => {
            let keys = match &list.place.server {
                Some(server) => remote::list(server).await?,
                None => file::list(files).await?,
            };
            let text = if list.json { format!("{keys:#}\n") } else { table::of(&keys) };
            written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
        }
        KeysCommand::Revoke(revoke) => {
            match &revoke.place.server {
                Some(server) => remote::revoke(server, &revoke.name).await?,
                None => file::revoke(files, &revoke.name).await?,
            }
            written(writeln!(
                notes,
                "The key `{}` is revoked; a running server refuses it within a second.",
                revoke.name
            ))
        }
    }
}

fn written(result: io::Result<()>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

impl NewKey {
    /// What the admin API takes.
    fn wanted(&self) -> Value {
        let budget: Map<String, Value> = self
            .limits()
            .into_iter()
            .filter_map(|(name, limit)| Some((name.to_owned(), limit?.to_string().into())))
            .collect();
        json!({
            "name": self.name,
            "routes": self.routes.as_deref().map(granted),
            "models": self.models.as_deref().map(granted),
            "rpm": self.rpm,
            "tpm": self.tpm,
            "max_concurrent": self.max_concurrent,
            "requests_per_month": self.requests_per_month,
            "tags": self.tags(),
            "budget": budget,
        })
    }

    /// The limits of its own budget, by their names.
    fn limits(&self) -> [(&'static str, Option<Nanos>); 4] {
        [
            ("daily", self.daily),
            ("monthly", self.monthly),
            ("total", self.total),
            ("per_request", self.per_request),
        ]
    }

    fn tags(&self) -> BTreeMap<&str, &str> {
        self.tags.iter().map(|(name, value)| (&**name, &**value)).collect()
    }
}

/// The names of a list; `--models ""` says: none at all.
fn granted(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect()
}

fn parse_name(text: &str) -> Result<String, String> {
    match config::is_key_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("a name is {KEY_NAME_FORM}")),
    }
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if tag::is_name(name) && tag::is_value(value) => Ok((name.into(), value.into())),
        _ => Err(format!("a tag is NAME=VALUE; a name is {}, a value {}", tag::NAME_FORM, tag::VALUE_FORM)),
    }
}

fn parse_usd(text: &str) -> Result<Nanos, String> {
    match Nanos::parse(text) {
        Ok(amount) if amount > Nanos::ZERO => Ok(amount),
        Ok(_) => Err("it is not above 0; leave it out for no limit".into()),
        Err(bad) => Err(format!("{bad}; write {}", Nanos::FORM)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ledger::Wanted;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        keys: KeysArgs,
    }

    fn new(line: &[&str]) -> Result<NewKey, clap::Error> {
        let line = Line::try_parse_from(["keys", "new"].iter().chain(line))?;
        match line.keys.command {
            KeysCommand::New(new) => Ok(*new),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_line_says_is_what_the_ledger_takes() {
        let line = [
            "team/bot-1",
            "--routes",
            "auto,standard",
            "--models",
            "",
            "--rpm",
            "60",
            "--tpm",
            "7",
            "--tag",
            "a=b",
            "--tag",
            "c=d/e",
            "--daily",
            "1.50",
            "--per-request",
            "0.01",
            "--requests-per-month",
            "9",
        ];
        let wanted = Wanted::parse(new(&line).unwrap().wanted().to_string().as_bytes()).unwrap();
        assert_eq!(wanted.name, "team/bot-1");
        assert_eq!(wanted.settings.routes.unwrap(), ["auto", "standard"]);
        assert_eq!(wanted.settings.models, Some(vec![]));
        assert_eq!(
            (wanted.settings.rpm, wanted.settings.tpm, wanted.settings.requests_per_month),
            (60, 7, 9)
        );
        assert_eq!(wanted.settings.tags["c"], "d/e");
        assert_eq!(wanted.settings.budgets[0].daily, Some(Nanos(1_500_000_000)));
        let bare = Wanted::parse(new(&["a"]).unwrap().wanted().to_string().as_bytes()).unwrap();
        assert!(bare.settings.budgets.is_empty() && bare.settings.routes.is_none());
    }

    #[test]
    fn refuses_names_that_could_break_a_log_line() {
        for bad in ["", "a b", "a\"b", "a\nb", "é", "..", &"x".repeat(65)] {
            assert!(new(&[bad]).is_err(), "{bad:?}");
        }
        for bad in [
            &["a", "--tag", "b"][..],
            &["a", "--tag", "b=c d"],
            &["a", "--daily", "0"],
            &["a", "--daily", "x"],
        ] {
            assert!(new(bad).is_err(), "{bad:?}");
        }
        assert!(new(&["a", "--print", "--server", "http://h"]).is_err());
    }
}
