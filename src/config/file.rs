//! The text of a configuration file.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::Path,
};

use super::fault::Fault;

/// The largest configuration file, in bytes; a larger one is surely something else.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Reads a file whole.
pub(crate) fn text(file: &Path) -> Result<String, Fault> {
    let fault = |problem: String, remedy: &str| Fault {
        source: file.display().to_string(),
        key: String::new(),
        problem,
        remedy: remedy.to_owned(),
    };
    let mut text = String::new();
    let opened = File::open(file).map(|file| file.take(LARGEST + 1));
    match opened.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(length) if length as u64 > LARGEST => {
            Err(fault("the file is larger than 4 MiB".into(), "Name a configuration file."))
        }
        Ok(_) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = "Name a file that exists, or leave `--config` out for the defaults.";
            Err(fault("there is no such file".into(), remedy))
        }
        Err(error) => Err(fault(format!("the file cannot be read: {error}"), "Name a readable text file.")),
    }
}

/// The fault of a text that is not TOML; `at` is the byte where the parser gave up.
pub(crate) fn syntax(file: &Path, text: &str, at: Option<usize>, message: &str) -> Fault {
    let (line, column) = place(text, at.unwrap_or(0));
    Fault {
        source: format!("{}:{line}:{column}", file.display()),
        key: String::new(),
        problem: format!("the file is not TOML: {}", message.lines().collect::<Vec<_>>().join(", ")),
        remedy: "Text stands in double quotes, tables begin with [name]; see docs/config.md.".into(),
    }
}

/// The line with the column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_its_line_and_column() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a\nbö!", 5), (2, 3));
        assert_eq!(place("a", 99), (1, 2));
    }
}
