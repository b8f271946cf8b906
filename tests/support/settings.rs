//! Configurations of gateways under test, in pieces.

/// No keys needed, and no target is left alone because it failed: for tests of single tries.
pub const OPEN: &str = "[auth]\nmode = \"open\"\n[breaker]\nenabled = false\nmodel_rest = \"1ms\"\n";

/// No keys needed; breakers as they come.
pub const HEALTHY: &str = "[auth]\nmode = \"open\"\n";

/// A provider at `base_url` with a model, both called `name`; upstream the model is `theirs`. `more` and
/// `model` are further lines of the two tables.
pub fn target(name: &str, base_url: &str, more: &str, model: &str) -> String {
    format!(
        "[providers.{name}]\nbase_url = \"{base_url}\"\n{more}\n\
         [models.{name}]\nprovider = \"{name}\"\nupstream_model = \"theirs\"\n{model}\n"
    )
}

/// A route with its targets; `more` are further lines of its table.
pub fn route(name: &str, targets: &[&str], more: &str) -> String {
    format!("[routes.{name}]\ntargets = {targets:?}\n{more}\n")
}

/// An open gateway whose route `chain` tries these upstreams in order; each is a name with a base URL.
pub fn chain(upstreams: &[(&str, &str)]) -> String {
    chain_with(upstreams, "")
}

/// The same with further lines for every provider.
pub fn chain_with(upstreams: &[(&str, &str)], more: &str) -> String {
    let names: Vec<&str> = upstreams.iter().map(|(name, _)| *name).collect();
    let targets: String = upstreams.iter().map(|(name, base_url)| target(name, base_url, more, "")).collect();
    format!("{OPEN}{targets}{}", route("chain", &names, ""))
}

/// A line for a model's table: its price in USD per million tokens.
pub fn price(input: &str, output: &str) -> String {
    format!("price = {{ input = {input}, output = {output} }}")
}

/// A budget; `more` are further lines of its table.
pub fn budget(name: &str, scope: &str, more: &str) -> String {
    format!("[[budgets]]\nname = \"{name}\"\nscope = \"{scope}\"\n{more}\n")
}

/// An open gateway over one provider `a` with two models: the routes `chain` and `other` lead to one each. `more` are
/// further lines of the provider's table.
pub fn two_models(base_url: &str, more: &str) -> String {
    let other = "[models.b]\nprovider = \"a\"\nupstream_model = \"their-other\"\n";
    let routes = [route("chain", &["a"], ""), route("other", &["b"], "")].concat();
    [OPEN, &target("a", base_url, more, ""), other, &routes].concat()
}
