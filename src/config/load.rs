//! The reading of files with the environment on top.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format as _, Toml},
    value::{Dict, Map, Tag, Value},
};

use super::{
    Config,
    environment::{self, Setting},
    fault::{Fault, Faults},
    file,
    path::KeyPath,
    presets,
    schema::Shape,
    tree::{DEFAULTS, Tree},
    validate::validate,
};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "config/weir.toml";

/// How deep tables may nest; the schema needs six.
const DEEPEST: usize = 32;

/// A configuration that passed every check.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed and still worth a word at start-up.
    pub warnings: Vec<Fault>,
    /// The files it was read from, in order; for watching them.
    pub files: Vec<PathBuf>,
}

/// Reads the files in order, later over earlier, then this process's environment over all.
///
/// Tables merge, arrays replace. Of the environment only `WEIR_..` names that contain `__` are settings
/// (`WEIR_SERVER__LISTEN` is `server.listen`), and `PORT` alone means `server.listen = "0.0.0.0:PORT"`. Names are
/// lower-cased, so what is named with dashes, dots or capitals can only be set in a file. Without a file:
/// `config/weir.toml` if it is there, else built-in defaults.
///
/// # Errors
/// Everything that is wrong, at once: missing files, syntax, structure, meaning.
pub fn load(files: &[PathBuf]) -> Result<Loaded, Faults> {
    load_from(files, Path::new(DEFAULT_FILE), environment())
}

/// Reads a text that Weir carries with it, called `name` in faults; then the files over it and the environment over all,
/// as [`load`] does, but for `PORT`.
///
/// # Errors
/// As [`load`].
pub fn load_over(name: &str, text: &str, files: &[PathBuf]) -> Result<Loaded, Faults> {
    assemble(
        vec![parse(Path::new(name), text)],
        files.to_vec(),
        environment().filter(|(name, _)| name != "PORT"),
    )
}

/// This process's environment.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// [`load`] with the environment as an argument, and with the file that is read where none is named.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    files: &[PathBuf],
    default_file: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Faults> {
    let files = match files {
        [] if default_file.exists() => vec![default_file.to_owned()],
        files => files.to_vec(),
    };
    assemble(Vec::new(), files, environment)
}

/// Lays the files over what is `beneath` them, the environment over all.
fn assemble(
    beneath: Vec<Result<Layer, Fault>>,
    files: Vec<PathBuf>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Faults> {
    let shape = Shape::new();
    let mut faults = Vec::new();
    let mut layers = Vec::new();
    for layer in beneath.into_iter().chain(files.iter().map(|file| read(file))) {
        match layer {
            Ok(layer) => layers.push(layer),
            Err(fault) => faults.push(fault),
        }
    }
    for setting in environment::settings(environment) {
        match setting {
            Ok(setting) => layers.push(layer(&setting, &shape)),
            Err(fault) => faults.push(fault),
        }
    }
    let main_source = files.first().map_or_else(|| DEFAULTS.to_owned(), |file| file.display().to_string());
    let mut tree = merge(layers, &shape, main_source, &mut faults);
    if !faults.is_empty() {
        // Without a whole tree further faults would be guesses.
        return Err(Faults(faults));
    }
    presets::apply(&mut tree);
    let (config, warnings) = validate(&tree, &shape)?;
    Ok(Loaded { config, warnings, files })
}

/// What one source says.
struct Layer {
    source: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn read(file: &Path) -> Result<Layer, Fault> {
    parse(file, &file::text(file)?)
}

fn parse(file: &Path, text: &str) -> Result<Layer, Fault> {
    let source = file.display().to_string();
    Toml::from_str::<Dict>(text)
        .map(|values| Layer { source, values })
        // Only the parser's message: its excerpt of the file could show a secret.
        .map_err(|error| file::syntax(file, text, error.span().map(|span| span.start), error.message()))
}

fn layer(setting: &Setting, shape: &Shape) -> Layer {
    let path = KeyPath::of(&setting.keys.iter().map(String::as_str).collect::<Vec<_>>());
    let values = nest(&setting.keys, parsed(&setting.text, &path, shape));
    Layer { source: setting.source.clone(), values }
}

/// A value of the environment: TOML where it is, else text. Where only a text fits it stays one, so that a
/// password of digits is no number.
fn parsed(text: &str, path: &KeyPath, shape: &Shape) -> Value {
    let written = Value::from(text.to_owned());
    let Ok(mut values) = Toml::from_str::<Dict>(&format!("value = {text}")) else {
        return written;
    };
    // A line end in the text could have brought further keys.
    let Some(value) = values.remove("value").filter(|_| values.is_empty()) else {
        return written;
    };
    let kind = match &value {
        Value::Bool(..) => "boolean",
        Value::Num(_, number) if number.to_f64().is_some() => "number",
        Value::Num(..) => "integer",
        Value::Dict(..) if as_date(&value).is_some() => "date",
        _ => return value,
    };
    let fits = shape.takes(path, kind) || (kind == "integer" && shape.takes(path, "number"));
    if !fits && shape.takes(path, "string") { written } else { value }
}

fn nest(keys: &[String], value: Value) -> Dict {
    let mut value = value;
    for key in keys.iter().rev() {
        value = Value::from(Dict::from([(key.clone(), value)]));
    }
    match value {
        Value::Dict(_, dict) => dict,
        _ => Dict::new(),
    }
}

fn merge(layers: Vec<Layer>, shape: &Shape, main_source: String, faults: &mut Vec<Fault>) -> Tree {
    let mut figment = Figment::new();
    for layer in layers {
        figment = figment.merge(layer);
    }
    let mut values = figment.data().unwrap_or_default();
    let root = Value::Dict(Tag::Default, values.remove(&Profile::Default).unwrap_or_default());
    let mut tree = Tree { main_source, ..Tree::default() };
    let mut grow = Grow { figment: &figment, shape, tree: &mut tree, faults };
    let root = grow.value(&KeyPath::default(), &root);
    tree.root = root;
    tree
}

/// The passage from the reader's values to ours.
struct Grow<'a> {
    figment: &'a Figment,
    shape: &'a Shape,
    tree: &'a mut Tree,
    faults: &'a mut Vec<Fault>,
}

impl Grow<'_> {
    fn value(&mut self, path: &KeyPath, value: &Value) -> serde_json::Value {
        if let Some(metadata) = self.figment.get_metadata(value.tag()) {
            self.tree.origins.insert(path.clone(), metadata.name.to_string());
        }
        if path.0.len() > DEEPEST {
            self.fault(path, "the tables are nested too deep", "");
            return serde_json::Value::Null;
        }
        match value {
            Value::String(_, text) => text.as_str().into(),
            Value::Char(_, letter) => letter.to_string().into(),
            Value::Bool(_, truth) => (*truth).into(),
            Value::Empty(..) => serde_json::Value::Null,
            Value::Num(_, number) => match number.to_f64() {
                Some(float) => self.float(path, float),
                None => whole(number.to_i128().or_else(|| number.to_u128().and_then(|n| n.try_into().ok()))),
            },
            Value::Array(_, items) => {
                let items = items.iter().enumerate();
                items.map(|(at, item)| self.value(&path.index(at), item)).collect()
            }
            Value::Dict(_, entries) => match as_date(value) {
                Some(date) => date.into(),
                None => {
                    let entries = entries.iter();
                    let entries =
                        entries.map(|(key, value)| (key.clone(), self.value(&path.key(key), value)));
                    serde_json::Value::Object(entries.collect())
                }
            },
        }
    }

    fn float(&mut self, path: &KeyPath, float: f64) -> serde_json::Value {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !float.is_finite() {
            self.fault(path, "the number is not finite", "Write a plain number.");
            return serde_json::Value::Null;
        }
        // `60.0` where a whole number is wanted is one; the types would refuse it with less clear words.
        let wants_whole = self.shape.takes(path, "integer") && !self.shape.takes(path, "number");
        if wants_whole && float.fract() == 0.0 && float.abs() < EXACT {
            return serde_json::Value::from(float as i64);
        }
        // Money is read digit by digit; the shortest text of the float is what stands in the file.
        if self.shape.holds_money(path) {
            return float.to_string().into();
        }
        serde_json::Value::from(float)
    }

    fn fault(&mut self, path: &KeyPath, problem: &str, remedy: &str) {
        self.faults.push(Fault {
            source: self.tree.origin(path).to_owned(),
            key: path.to_string(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

fn whole(number: Option<i128>) -> serde_json::Value {
    let number = number.and_then(|number| i64::try_from(number).ok());
    number.map_or(serde_json::Value::Null, serde_json::Value::from)
}

/// A TOML date; the reader gives one as a table with a single marked key.
fn as_date(value: &Value) -> Option<&str> {
    match value {
        Value::Dict(_, entries) if entries.len() == 1 => {
            entries.get("$__toml_private_datetime").and_then(Value::as_str)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
