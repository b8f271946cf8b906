//! Secrets that are written where they should only be named.

use super::{
    super::{Config, SecretSource, path::KeyPath, wording::looks_secret},
    Report,
};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    if let Some(token) = &config.server.admin_token {
        let path = KeyPath::of(&["server", "admin_token"]);
        check_source(&path, token, report);
        match token.resolve() {
            Ok(None) if !matches!(token, SecretSource::Literal(_)) => {
                let problem = format!("{token} is not set, so /admin answers only to this machine");
                report.warn(&path, problem, "Set it to use /admin from others, or leave the key out.");
            }
            Ok(_) => {}
            Err(error) => report.fault(&path, error, "Let Weir's user read the file."),
        }
    }
    for (at, key) in config.keys.iter().enumerate() {
        if let Some(secret) = &key.secret {
            check_source(&KeyPath::of(&["keys"]).index(at).key("secret"), secret, report);
        }
    }
    for (name, provider) in &config.providers {
        let path = KeyPath::of(&["providers", name]);
        for (at, key) in provider.api_keys.iter().flatten().enumerate() {
            check_source(&path.key("api_keys").index(at), key, report);
        }
        for (header, value) in &provider.headers {
            // Most headers are no secrets, like a team's name.
            if is_secret_header(header, value) {
                check_source(&path.key("headers").key(header), value, report);
            }
        }
    }
    for (header, value) in &config.telemetry.otlp_headers {
        if is_secret_header(header, value) {
            check_source(&KeyPath::of(&["telemetry", "otlp_headers", header]), value, report);
        }
    }
}

fn is_secret_header(name: &str, value: &SecretSource) -> bool {
    let name = name.to_ascii_lowercase();
    let smells = ["auth", "key", "token", "secret", "cookie"].iter().any(|mark| name.contains(mark));
    smells || !matches!(value, SecretSource::Literal(text) if !looks_secret(text.expose()))
}

fn check_source(path: &KeyPath, source: &SecretSource, report: &mut Report<'_>) {
    match source {
        SecretSource::Env(name) if name.is_empty() || name.contains(['=', '\0', ' ']) => {
            report.fault(path, "`env:` is not followed by a variable's name", "Write \"env:NAME\".");
        }
        SecretSource::File(file) if file.as_os_str().is_empty() => {
            report.fault(path, "`file:` is not followed by a path", "Write \"file:/run/secrets/name\".");
        }
        SecretSource::Literal(text) if text.expose().is_empty() => {
            report.warn(path, "the secret is empty, which counts as unset", "Write \"env:NAME\".");
        }
        SecretSource::Literal(_) if report.is_in_file(path) => {
            let remedy = "Write \"env:NAME\" or \"file:/run/secrets/name\", so that the file can be shared.";
            report.warn(path, "the secret itself stands in the file", remedy);
        }
        _ => {}
    }
}
