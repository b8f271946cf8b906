//! Logs, traces.

use http::{HeaderName, HeaderValue, Uri};
use tracing_subscriber::EnvFilter;

use super::{
    super::{
        Config, SecretSource, Telemetry,
        path::KeyPath,
        wording::{nearest, quoted, suggestion},
    },
    Report,
};

/// The levels of the log.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let telemetry = &config.telemetry;
    let path = KeyPath::of(&["telemetry"]);
    check_log(&telemetry.log, report);
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        check_endpoint(&path.key("otlp_endpoint"), endpoint, report);
    }
    check_headers(&path.key("otlp_headers"), telemetry, report);
    if !(0.0..=1.0).contains(&telemetry.sample) {
        report.fault(&path.key("sample"), "this is not a share", "Write a number from 0 to 1, like 0.1.");
    }
    if telemetry.service_name.trim().is_empty() {
        let remedy = "Write a name, or leave it out for \"weir\".";
        report.fault(&path.key("service_name"), "an empty name tells nobody anything", remedy);
    }
    let known = report.names("routes").into_iter().map(str::to_owned).collect::<Vec<_>>();
    for (at, route) in telemetry.content.iter().enumerate().filter(|(_, route)| !known.contains(route)) {
        let problem = format!("there is no route {}", quoted(route));
        let remedy = suggestion(route, known.iter().map(String::as_str), "routes");
        report.fault(&path.key("content").index(at), problem, remedy);
    }
}

/// The address is not repeated: it may hold a secret.
fn check_endpoint(path: &KeyPath, endpoint: &SecretSource, report: &mut Report<'_>) {
    let remedy = "Write the address of a collector, like \"http://localhost:4318\".";
    let address = match endpoint.resolve() {
        Err(error) => return report.fault(path, error, "Let Weir's user read the file."),
        Ok(None) if matches!(endpoint, SecretSource::Literal(_)) => return,
        Ok(None) => {
            let problem = format!("{endpoint} is not set, so nothing is traced");
            return report.warn(path, problem, "Set it, or leave the key out.");
        }
        Ok(Some(address)) => address,
    };
    let problem = match address.expose().parse::<Uri>() {
        Err(_) => "the address is not a URL",
        Ok(url) => match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                "the address holds credentials; those belong in `otlp_headers`"
            }
            (Some("http" | "https"), Some(authority)) if authority.host().is_empty() => {
                "the address names no host"
            }
            (Some("http" | "https"), Some(_)) if url.query().is_some() || address.expose().contains('#') => {
                "the address has a query or a fragment"
            }
            (Some("http" | "https"), Some(_)) => return,
            _ => "the address begins with neither http:// nor https://",
        },
    };
    report.fault(path, problem, remedy);
}

fn check_headers(path: &KeyPath, telemetry: &Telemetry, report: &mut Report<'_>) {
    for (name, value) in &telemetry.otlp_headers {
        let place = path.key(name);
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let remedy = "Use letters, digits and dashes, like \"x-api-key\".";
            report.fault(&place, "this is not the name of a header", remedy);
        }
        match value.resolve() {
            Err(error) => report.fault(&place, error, "Let Weir's user read the file."),
            Ok(None) => {
                let problem = format!("{value} is not set, so the header is left out");
                report.warn(&place, problem, "Set it, or leave the header out.");
            }
            Ok(Some(value)) if HeaderValue::from_str(value.expose()).is_err() => {
                let remedy = "Leave out line breaks and other control characters.";
                report.fault(&place, "the value holds characters that no header may hold", remedy);
            }
            Ok(Some(_)) => {}
        }
    }
}

fn check_log(log: &str, report: &mut Report<'_>) {
    let path = KeyPath::of(&["telemetry", "log"]);
    let remedy = format!("Write one of {}, or directives like \"weir=debug,info\".", LEVELS.join(", "));
    if EnvFilter::try_new(log).is_err() {
        report.fault(&path, format!("{} is not a log filter", quoted(log)), remedy);
        return;
    }
    for word in log.split(',').map(str::trim) {
        let lower = word.to_ascii_lowercase();
        // A bare word that is no level is read as a part's name, which hides a misspelt level.
        let is_plain = !word.contains(['=', '[', ':']) && !LEVELS.contains(&lower.as_str());
        if let Some(level) = nearest(word, LEVELS).filter(|_| is_plain) {
            let problem = format!("{} is not a level of the log", quoted(word));
            report.fault(&path, problem, format!("Did you mean {}?", quoted(level)));
        }
    }
}
