//! The settings among the variables of the environment.

use super::fault::Fault;

/// How deep a setting may lie; the schema needs six.
const DEEPEST: usize = 16;

/// What one variable sets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// `environment NAME`, for faults.
    pub(crate) source: String,
    /// The keys from the root to the value.
    pub(crate) keys: Vec<String>,
    /// The value as it is written.
    pub(crate) text: String,
}

/// Picks the settings out of an environment, in the order in which they apply: `PORT` first, so that
/// `WEIR_SERVER__LISTEN` wins over it, then by name, so that nothing depends on the environment's own order.
pub(crate) fn settings(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Vec<Result<Setting, Fault>> {
    let is_setting =
        |name: &str| name == "PORT" || name.strip_prefix("WEIR_").is_some_and(|rest| rest.contains("__"));
    let mut found: Vec<_> = environment
        .into_iter()
        .filter(|(name, text)| is_setting(name) && !(name == "PORT" && text.is_empty()))
        .collect();
    found.sort();
    found.into_iter().map(|(name, text)| setting(&name, text)).collect()
}

fn setting(name: &str, text: String) -> Result<Setting, Fault> {
    let source = format!("environment {name}");
    let fault = |problem: &str, remedy: &str| Fault {
        source: source.clone(),
        key: String::new(),
        problem: problem.to_owned(),
        remedy: remedy.to_owned(),
    };
    // What was not UTF-8 was replaced by this mark when it was read.
    if text.contains('\u{fffd}') {
        return Err(fault("the value is not UTF-8", "Set it to plain text."));
    }
    if name == "PORT" {
        let Ok(port) = text.trim().parse::<u16>() else {
            return Err(fault("the value is not a port", "Write a number from 0 to 65535."));
        };
        let keys = vec!["server".to_owned(), "listen".to_owned()];
        let text = format!("0.0.0.0:{port}");
        return Ok(Setting { source, keys, text });
    }
    let rest = name.strip_prefix("WEIR_").unwrap_or(name).to_ascii_lowercase();
    let keys: Vec<String> = rest.split("__").map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) || keys.len() > DEEPEST {
        let remedy = "Write WEIR_TABLE__KEY, as in WEIR_SERVER__LISTEN for server.listen.";
        return Err(fault("the name is not that of a setting", remedy));
    }
    Ok(Setting { source, keys, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_picked_port_first() {
        let names = ["WEIR_SERVER__LISTEN", "WEIR_ADMIN_TOKEN", "PATH", "PORT"];
        let found = settings(names.map(|name| (name.to_owned(), "80".to_owned())));
        let keys: Vec<_> = found.into_iter().map(|setting| setting.unwrap().keys.join(".")).collect();
        assert_eq!(keys, ["server.listen", "server.listen"]);
        assert!(settings([("PORT".to_owned(), String::new())]).is_empty());
    }

    #[test]
    fn a_replaced_character_is_a_fault() {
        let found = settings([("WEIR_A__B".to_owned(), "\u{fffd}".to_owned())]);
        assert!(found[0].is_err());
    }
}
