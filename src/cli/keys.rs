//! `weir keys`: makes virtual keys.

use std::{fmt::Write as _, io};

use clap::{Args, Subcommand};

use crate::keys::{self, Generated};

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 128;

/// Virtual keys.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    /// Make a key. Its secret is shown once; the configuration keeps only its hash.
    New(NewKey),
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
    /// Requests under way at once; 0: no limit
    #[arg(long, default_value_t = 0)]
    max_concurrent: u32,
}

/// Does what was asked and writes the result to `out`.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(args: &KeysArgs, out: &mut impl io::Write) -> io::Result<()> {
    match &args.command {
        KeysCommand::New(new) => print_new(new, &keys::generate(), out),
    }
}

fn print_new(new: &NewKey, made: &Generated, out: &mut impl io::Write) -> io::Result<()> {
    writeln!(out, "# The key. It is shown only this once:")?;
    writeln!(out, "# {}", made.secret.expose())?;
    writeln!(out, "\n# For the configuration, which keeps only the key's hash:")?;
    out.write_all(stanza(new, &made.hash).as_bytes())?;
    out.flush()
}

/// The `[[keys]]` table of a new key, as TOML.
fn stanza(new: &NewKey, hash: &str) -> String {
    let mut text = format!("[[keys]]\nname = {}\nhash = {}\n", quoted(&new.name), quoted(hash));
    for (field, names) in [("routes", &new.routes), ("models", &new.models)] {
        if let Some(names) = names {
            // `--models ""` says: none at all.
            let list: Vec<String> =
                names.iter().filter(|name| !name.is_empty()).map(|name| quoted(name)).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{field} = [{}]", list.join(", "));
        }
    }
    for (field, limit) in [("rpm", new.rpm), ("max_concurrent", new.max_concurrent)] {
        if limit > 0 {
            let _ = writeln!(text, "{field} = {limit}");
        }
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn parse_name(text: &str) -> Result<String, String> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"._:-/".contains(&b);
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(safe) {
        return Err(format!("a name is 1 to {MAX_NAME} letters, digits and . _ : - /"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        keys: KeysArgs,
    }

    fn output(line: &[&str]) -> Result<String, clap::Error> {
        let line = Line::try_parse_from(["keys"].iter().chain(line))?;
        let mut out = Vec::new();
        run(&line.keys, &mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn prints_the_secret_once_with_a_table_that_fits_it() {
        let text = output(&["new", "team/bot-1", "--routes", "auto,standard", "--models", "", "--rpm", "60"])
            .unwrap();
        let secret = text.lines().find_map(|line| line.strip_prefix("# sk-weir-")).unwrap();
        assert_eq!(text.matches("sk-weir-").count(), 1);
        let table = format!(
            "[[keys]]\nname = \"team/bot-1\"\nhash = \"{}\"\nroutes = [\"auto\", \"standard\"]\nmodels = []\nrpm = 60\n",
            keys::hash_text(&format!("sk-weir-{secret}"))
        );
        assert!(text.ends_with(&table), "{text}");
    }

    #[test]
    fn refuses_names_that_could_break_a_log_line() {
        for bad in ["", "a b", "a\"b", "a\nb", "é", &"x".repeat(MAX_NAME + 1)] {
            assert!(output(&["new", bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn quotes_what_toml_would_misread() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}é"), r#""a\"b\\c\U0000000A\U0000007Fé""#);
    }
}
