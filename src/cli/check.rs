//! `weir check`: the configuration as it would serve, or all that is wrong with it.

use std::{collections::BTreeSet, io, io::Write, path::PathBuf};

use crate::{
    config::{
        AuthMode, ClassifierKind, Config, Enforce, Fault, Key, Loaded, Protocol, Provider, Tier, load,
        needs_a_key,
    },
    pipeline::snapshot,
    price::{Catalogue, Price, Rates},
    sim::SimSettings,
};

/// Checks the files with the environment, offline, and prints what came of it. No secret is printed. Gives whether
/// all is good.
///
/// # Errors
/// Only those of `out`.
pub fn run(files: &[PathBuf], out: &mut impl Write) -> io::Result<bool> {
    match load(files) {
        Ok(loaded) => {
            // Who serves reads the calibration's file; what it would refuse is a fault here.
            if let Err(problem) = snapshot::classifier(&loaded.config.classifier) {
                writeln!(out, "  {problem}\n    Write it anew with `weir calibrate`, or leave it out.")?;
                writeln!(out, "\n1 fault: nothing would be served.")?;
                return Ok(false);
            }
            let refused = refused_sims(&loaded.config);
            if !refused.is_empty() {
                for problem in &refused {
                    writeln!(out, "  {problem}")?;
                }
                let count = refused.len();
                writeln!(out, "\n{count} fault{}: nothing would be served.", plural(count))?;
                return Ok(false);
            }
            print(&loaded, out)?;
            Ok(true)
        }
        Err(faults) => {
            print_faults(&faults.0, out)?;
            let count = faults.0.len();
            writeln!(out, "\n{count} fault{}: nothing would be served.", plural(count))?;
            Ok(false)
        }
    }
}

/// What the simulated providers would not start with.
fn refused_sims(config: &Config) -> Vec<String> {
    let sims = config.providers.iter().filter(|(_, provider)| provider.protocol == Protocol::Sim);
    sims.filter_map(|(name, provider)| {
        let refused = SimSettings::from_options(&provider.sim).err()?;
        Some(format!("providers.{name}.sim: {refused}"))
    })
    .collect()
}

fn print(loaded: &Loaded, out: &mut impl Write) -> io::Result<()> {
    let config = &loaded.config;
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    match files.as_slice() {
        [] => writeln!(out, "Configuration: built-in defaults")?,
        files => writeln!(out, "Configuration: {}", files.join(", "))?,
    }
    print_server(config, out)?;
    print_providers(config, out)?;
    print_routes(config, out)?;
    print_auto(config, out)?;
    let unpriced = print_prices(config, out)?;
    print_keys(config, out)?;
    print_money(config, out)?;
    let keyless = needs_a_key(config);
    if !loaded.warnings.is_empty() || keyless.is_some() {
        writeln!(out, "\nWarnings")?;
        print_faults(&loaded.warnings, out)?;
    }
    if let Some(keyless) = &keyless {
        writeln!(out, "  {keyless}")?;
    }
    if !unpriced.is_empty() {
        writeln!(out, "\nWithout a price")?;
        for name in &unpriced {
            writeln!(out, "  models.{name:?}: no price is known, so nothing under a budget may use it")?;
        }
        writeln!(
            out,
            "    Give each one, like `price = {{ input = 2.00, output = 8.00 }}` in USD per million tokens."
        )?;
    }
    let count = loaded.warnings.len() + usize::from(keyless.is_some()) + unpriced.len();
    writeln!(out, "\nThe configuration is good ({count} warning{}).", plural(count))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn print_faults(faults: &[Fault], out: &mut impl Write) -> io::Result<()> {
    for fault in faults {
        for line in fault.to_string().lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn print_server(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let server = &config.server;
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    writeln!(out, "Listening:     {scheme}://{}", server.listen)?;
    if !server.admin_listen.is_empty() {
        writeln!(out, "Admin:         {}", server.admin_listen)?;
    }
    let who = match (config.auth.mode, config.keys.len()) {
        (AuthMode::Open, _) => "open: no key is needed".to_owned(),
        (AuthMode::Keys, 0) => "keys: none is configured, so loopback addresses need none".to_owned(),
        (AuthMode::Keys, count) => format!("keys: {count} configured"),
    };
    writeln!(out, "Clients:       {who}")
}

fn print_providers(config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nProviders")?;
    let width = widest(config.providers.keys());
    for (name, provider) in &config.providers {
        let (state, why) = state(provider);
        writeln!(out, "  {name:width$}  {state:3}  {why}")?;
    }
    if !config.providers.values().any(is_on) {
        writeln!(out, "  None is on: the simulated provider serves in their place.")?;
    }
    Ok(())
}

/// Whether a provider has what it needs to be asked.
pub(super) fn is_on(provider: &Provider) -> bool {
    !matches!(provider.resolve_keys(), Ok(Some(keys)) if keys.is_empty())
}

fn state(provider: &Provider) -> (&'static str, String) {
    if provider.protocol == Protocol::Sim {
        return ("on", "simulated, inside this process".into());
    }
    let sources = provider.api_keys.as_deref().unwrap_or_default();
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    match provider.resolve_keys() {
        Ok(None) => ("on", format!("{}, needs no key", provider.base_url)),
        Ok(Some(keys)) if keys.is_empty() && sources.is_empty() => ("off", "`api_keys` is empty".into()),
        Ok(Some(keys)) if keys.is_empty() => ("off", format!("unset: {}", sources.join(", "))),
        Ok(Some(keys)) => {
            let count = keys.len();
            ("on", format!("{}, {count} key{} set", provider.base_url, plural(count)))
        }
        Err(error) => ("off", error),
    }
}

fn print_routes(config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nRoutes, each with its whole chain")?;
    if config.routes.is_empty() {
        writeln!(out, "  None.")?;
    }
    for name in config.routes.keys() {
        writeln!(out, "  {name}")?;
        for (at, line) in chain(config, name).iter().enumerate() {
            writeln!(out, "    {}. {line}", at + 1)?;
        }
    }
    let routed: BTreeSet<&str> =
        config.routes.values().flat_map(|route| route.targets.iter().map(|target| target.model())).collect();
    let direct: Vec<&String> = config.models.keys().filter(|name| !routed.contains(name.as_str())).collect();
    if !direct.is_empty() {
        writeln!(out, "\nModels of no route; clients may name them directly")?;
        for name in direct {
            let fallback = config.models[name].fallback.as_deref();
            let then = fallback.map_or_else(String::new, |route| format!(", then the route {route}"));
            writeln!(out, "  {}{then}", target(config, name))?;
        }
    }
    Ok(())
}

/// The routes behind the model name `auto`.
fn print_auto(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let classifier = &config.classifier;
    if classifier.tiers.is_empty() {
        return Ok(());
    }
    let kind = match classifier.kind {
        ClassifierKind::Builtin => "the built-in classifier",
        ClassifierKind::Keywords => "keywords",
        ClassifierKind::Llm => &format!("asking {}", classifier.llm.model),
    };
    writeln!(out, "\nauto, by {kind}")?;
    let mut tiers: Vec<&Tier> = classifier.tiers.iter().collect();
    tiers.sort_by_key(|tier| std::cmp::Reverse(tier.min));
    let mut most = 10;
    for tier in tiers {
        writeln!(out, "  complexity {:2} to {most:2}  {}", tier.min, tier.route)?;
        most = tier.min.saturating_sub(1);
    }
    for (what, routes) in [("task", &classifier.tasks), ("language", &classifier.languages)] {
        for (name, route) in routes {
            writeln!(out, "  {what} {name}  {route}")?;
        }
    }
    Ok(())
}

/// The targets of a route in their order, then those of the routes behind it.
fn chain(config: &Config, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    let mut at = Some(name);
    // A checked configuration has no circle; the set keeps an unchecked one from looping.
    while let Some((current, route)) = at.and_then(|name| config.routes.get_key_value(name)) {
        if !seen.insert(current) {
            break;
        }
        let total: f64 = route.targets.iter().map(|target| target.weight()).sum();
        for entry in &route.targets {
            let mut line = target(config, entry.model());
            if route.order == crate::config::Order::Weighted && total > 0.0 {
                line.push_str(&format!(", {:.0} % of first tries", entry.weight() / total * 100.0));
            }
            if current != name {
                line.push_str(&format!(", by fallback {current}"));
            }
            lines.push(line);
        }
        at = route.fallback.as_deref();
    }
    lines
}

fn target(config: &Config, name: &str) -> String {
    let Some(model) = config.models.get(name) else {
        return name.to_owned();
    };
    let upstream = match &model.upstream_model {
        Some(upstream) if upstream != name => format!(" as {upstream}"),
        _ => String::new(),
    };
    let off = match config.providers.get(&model.provider) {
        Some(provider) if is_on(provider) => "",
        _ => " (off)",
    };
    format!("{name} at {}{off}{upstream}", model.provider)
}

/// Prints what the models cost; gives those of which nobody knows it. The simulated provider costs nothing.
fn print_prices<'a>(config: &'a Config, out: &mut impl Write) -> io::Result<Vec<&'a String>> {
    let mut unpriced = Vec::new();
    let mut lines = Vec::new();
    for (name, model) in &config.models {
        let Some(provider) = config.providers.get(&model.provider) else { continue };
        match Catalogue::shipped().of(name, model, provider).price {
            Some(price) => lines.push((name, prices(&price))),
            None if provider.protocol == Protocol::Sim => {}
            None => unpriced.push(name),
        }
    }
    if !lines.is_empty() {
        writeln!(out, "\nPrices, in USD per million tokens")?;
    }
    let width = widest(lines.iter().map(|(name, _)| *name));
    for (name, line) in lines {
        writeln!(out, "  {name:width$}  {line}")?;
    }
    Ok(unpriced)
}

fn prices(price: &Price) -> String {
    let rates = |rates: &Rates| {
        let mut line =
            format!("input {}, cached {}, output {}", rates.input, rates.cached_input, rates.output);
        for (kind, own, default) in [
            ("cache write", rates.cache_write, rates.input),
            ("cache write 1h", rates.cache_write_1h, rates.cache_write),
            ("reasoning", rates.reasoning, rates.output),
            ("audio input", rates.audio_input, rates.input),
            ("audio output", rates.audio_output, rates.output),
        ] {
            if own != default {
                line.push_str(&format!(", {kind} {own}"));
            }
        }
        line
    };
    let tiers = price.tiers().iter().map(|(above, tier)| format!("; above {above} tokens: {}", rates(tier)));
    rates(price.base()) + &tiers.collect::<String>()
}

fn print_keys(config: &Config, out: &mut impl Write) -> io::Result<()> {
    if config.keys.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nKeys")?;
    let width = widest(config.keys.iter().map(|key| &key.name));
    for key in &config.keys {
        writeln!(out, "  {:width$}  {}", key.name, grants(key))?;
    }
    Ok(())
}

fn grants(key: &Key) -> String {
    let list = |what: &str, names: &Option<Vec<String>>| match names.as_deref() {
        None => format!("all {what}"),
        Some([]) => format!("no {what}"),
        Some(names) => format!("{what} {}", names.join(", ")),
    };
    let limit = |what: &str, number: u32| match number {
        0 => format!("any number of {what}"),
        number => format!("{number} {what}"),
    };
    [
        list("routes", &key.routes),
        list("models", &key.models),
        limit("requests a minute", key.rpm),
        limit("requests at once", key.max_concurrent),
    ]
    .join("; ")
}

/// The budgets, each with its limits, and where the ledger is.
fn print_money(config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nLedger:        {}", config.ledger.url)?;
    if config.budgets.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nBudgets")?;
    let width = widest(config.budgets.iter().map(|budget| &budget.name));
    for budget in &config.budgets {
        let limits = budget.limits().map(|(period, limit)| format!("{period} ${limit}"));
        let each = budget.per_request.map(|limit| format!("per request ${limit}"));
        let limits: Vec<String> = limits.chain(each).collect();
        let how = if budget.enforce == Enforce::Hard { "hard" } else { "soft" };
        writeln!(
            out,
            "  {:width$}  {}: {} ({how}, {}, {})",
            budget.name,
            budget.scope,
            limits.join(", "),
            budget.timezone,
            budget.on_exceeded
        )?;
    }
    Ok(())
}

fn widest<'a>(names: impl Iterator<Item = &'a String>) -> usize {
    names.map(String::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checked(text: &str) -> (bool, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut out = Vec::new();
        let good = run(&[file.path().to_owned()], &mut out).unwrap();
        (good, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_configuration_is_printed_resolved_without_secrets() {
        let (good, said) = checked(
            r#"
            [providers.p]
            base_url = "http://127.0.0.1:1/v1"
            api_keys = ["canary-key"]
            [providers.q]
            base_url = "http://127.0.0.1:2/v1"
            api_keys = ["env:WEIR_TEST_SURELY_UNSET"]
            [models.a]
            provider = "p"
            [models.b]
            provider = "q"
            upstream_model = "bee"
            [models.c]
            provider = "p"
            fallback = "low"
            price = { input = 2.50, cached_input = "0.25", output = 10, tiers = [{ above = 200_000, input = 5, output = 15 }] }
            [routes.high]
            order = "weighted"
            targets = [{ model = "a", weight = 3 }, "b"]
            fallback = "low"
            [routes.low]
            targets = ["b"]
            [classifier]
            tiers = [{ min = 1, route = "low" }, { min = 6, route = "high" }]
            tasks = { legal = "high" }
            [[keys]]
            name = "team"
            secret = "canary-secret"
            routes = ["high"]
            rpm = 60
            "#,
        );
        assert!(good, "{said}");
        assert!(!said.contains("canary"), "{said}");
        for part in [
            "p  on   http://127.0.0.1:1/v1, 1 key set",
            "q  off  unset: env:WEIR_TEST_SURELY_UNSET",
            "1. a at p, 75 % of first tries",
            "3. b at q (off) as bee, by fallback low",
            "c at p, then the route low",
            "auto, by the built-in classifier\n  complexity  6 to 10  high\n  complexity  1 to  5  low\n  task legal  high",
            "team  routes high; all models; 60 requests a minute; any number of requests at once",
            "c  input 2.5, cached 0.25, output 10; above 200000 tokens: input 5, cached 0.5, output 15",
            "models.\"a\": no price is known",
            "The configuration is good (5 warnings).",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    }

    #[test]
    fn a_bad_configuration_is_refused_with_all_faults() {
        let (good, said) = checked("[server]\nlisen = \"x\"\n[routes.r]\ntargets = [\"m\"]");
        assert!(!good);
        assert!(said.contains("server.lisen: unknown key") && said.contains("2 faults"), "{said}");
    }

    #[test]
    fn a_broken_calibration_is_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let asset = crate::classify::Builtin::asset();
        for (content, good) in [(asset, true), (&asset[..5000], false)] {
            fs::write(file.path(), content).unwrap();
            let path = file.path().display().to_string();
            let (found, said) = checked(&format!("[classifier]\ncalibration = '{path}'"));
            assert_eq!(found, good, "{said}");
            assert_eq!(said.contains("classifier.calibration") && said.contains("1 fault:"), !good, "{said}");
        }
    }

    #[test]
    fn a_simulated_fault_that_is_none_is_a_fault() {
        let sim = |options: &str| checked(&format!("[providers.s]\nprotocol = 'sim'\nsim = {{ {options} }}"));
        let (good, said) = sim("fault = 'cut=3'");
        let words = "providers.s.sim: fault: `cut` is not a fault";
        assert!(!good && said.contains(words) && said.contains("1 fault:"), "{said}");
        let (good, said) = sim("fault = 'reset-after=3'");
        assert!(good, "{said}");
    }

    #[test]
    fn without_a_provider_the_simulated_one_is_announced() {
        let (_, said) = checked("");
        assert!(said.contains("the simulated provider serves"), "{said}");
    }
}
