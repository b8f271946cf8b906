//! Prints a new key as tables for the configuration file.

use std::{fmt::Write as _, io};

use super::{NewKey, granted};
use crate::keys::Generated;

/// Prints the secret once, with the tables that fit it.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn print(new: &NewKey, made: &Generated, out: &mut impl io::Write) -> io::Result<()> {
    writeln!(out, "# The key. It is shown only this once:")?;
    writeln!(out, "# {}", made.secret.expose())?;
    writeln!(out, "\n# For the configuration, which keeps only the key's hash:")?;
    out.write_all(stanza(new, &made.hash).as_bytes())?;
    out.flush()
}

/// The `[[keys]]` table of a new key as TOML, with a table for its budget if it has one.
fn stanza(new: &NewKey, hash: &str) -> String {
    let mut text = format!("[[keys]]\nname = {}\nhash = {}\n", quoted(&new.name), quoted(hash));
    // Writing to a string cannot fail.
    for (field, names) in [("routes", &new.routes), ("models", &new.models)] {
        if let Some(names) = names {
            let list: Vec<String> = granted(names).into_iter().map(quoted).collect();
            let _ = writeln!(text, "{field} = [{}]", list.join(", "));
        }
    }
    for (field, limit) in [
        ("rpm", u64::from(new.rpm)),
        ("tpm", new.tpm.into()),
        ("max_concurrent", new.max_concurrent.into()),
        ("requests_per_month", new.requests_per_month),
    ] {
        if limit > 0 {
            let _ = writeln!(text, "{field} = {limit}");
        }
    }
    let tags: Vec<String> =
        new.tags().iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
    if !tags.is_empty() {
        let _ = writeln!(text, "tags = {{ {} }}", tags.join(", "));
    }
    if new.limits().iter().any(|(_, limit)| limit.is_some()) {
        let scope = quoted(&format!("key:{}", new.name));
        let _ = write!(text, "\n[[budgets]]\nname = {scope}\nscope = {scope}\n");
        for (field, limit) in new.limits() {
            if let Some(limit) = limit {
                let _ = writeln!(text, "{field} = \"{limit}\"");
            }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::keys;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        new: NewKey,
    }

    fn output(line: &[&str]) -> String {
        let line = Line::try_parse_from(["new"].iter().chain(line)).unwrap();
        let mut out = Vec::new();
        print(&line.new, &keys::generate(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_the_secret_once_with_a_table_that_fits_it() {
        let text = output(&["team/bot-1", "--routes", "auto,standard", "--models", "", "--rpm", "60"]);
        let secret = text.lines().find_map(|line| line.strip_prefix("# sk-weir-")).unwrap();
        assert_eq!(text.matches("sk-weir-").count(), 1);
        let table = format!(
            "[[keys]]\nname = \"team/bot-1\"\nhash = \"{}\"\nroutes = [\"auto\", \"standard\"]\nmodels = []\nrpm = 60\n",
            keys::hash_text(&format!("sk-weir-{secret}"))
        );
        assert!(text.ends_with(&table), "{text}");
    }

    #[test]
    fn prints_tags_with_a_table_for_the_budget() {
        let text = output(&["a", "--tpm", "5", "--tag", "team=x", "--daily", "1.50", "--print"]);
        let rest = "\ntpm = 5\ntags = { \"team\" = \"x\" }\n\n\
                    [[budgets]]\nname = \"key:a\"\nscope = \"key:a\"\ndaily = \"1.5\"\n";
        assert!(text.ends_with(rest), "{text}");
    }

    #[test]
    fn quotes_what_toml_would_misread() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}é"), r#""a\"b\\c\U0000000A\U0000007Fé""#);
    }
}
