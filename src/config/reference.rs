//! The reference of every key, written from the schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    path::KeyPath,
    schema::{Shape, choices, types},
};

/// The sections' order: as a reader meets them. What is not named here follows by name.
const ORDER: [&str; 15] = [
    "server",
    "auth",
    "keys",
    "providers",
    "models",
    "routes",
    "breaker",
    "retry",
    "classifier",
    "budgets",
    "cache",
    "degraded",
    "ledger",
    "alerts",
    "telemetry",
];

/// How a doc comment says that a reload leaves a key as it is.
const FIXED: &str = "A reload does not";

const INTRO: &str = include_str!("reference_intro.md");

/// The whole reference, as Markdown. `docs/config.md` holds its text.
pub fn reference() -> String {
    let shape = Shape::new();
    let mut page = INTRO.to_owned();
    let mut names: Vec<&str> = shape.keys(&KeyPath::default());
    names.sort_by_key(|name| {
        let place = ORDER.iter().position(|ordered| ordered == name);
        (place.unwrap_or(ORDER.len()), *name)
    });
    for name in names {
        let node = property(shape.root(), name);
        Section { shape: &shape, name: name.to_owned() }.write(node, &mut page);
    }
    page
}

struct Section<'a> {
    shape: &'a Shape,
    /// The name in TOML, like `providers.NAME`.
    name: String,
}

/// A table within a table, which gets a section of its own.
struct Inner<'a> {
    heading: String,
    table: &'a Value,
    about: String,
}

impl Section<'_> {
    /// Writes the section of the table, of the named tables, or of the array of tables that `node` is.
    fn write(&self, node: &Value, page: &mut String) {
        for inner in self.tables(&self.name, node) {
            self.write_table(&inner, page);
        }
    }

    /// The tables that stand at a node, with their headings.
    fn tables<'a>(&'a self, name: &str, node: &'a Value) -> Vec<Inner<'a>> {
        let mut found = Vec::new();
        for way in self.shape.alternatives(node) {
            let about = text_of(node, "description");
            if way.get("properties").is_some() {
                found.push(Inner { heading: format!("[{name}]"), table: way, about });
                continue;
            }
            let named = way.get("additionalProperties").map(|node| (format!("[{name}.NAME]"), node));
            let listed = way.get("items").map(|node| (format!("[[{name}]]"), node));
            for (heading, node) in named.into_iter().chain(listed) {
                let tables = self.shape.alternatives(node).into_iter();
                let tables = tables.filter(|table| table.get("properties").is_some());
                found.extend(tables.map(|table| Inner {
                    heading: heading.clone(),
                    table,
                    about: about.clone(),
                }));
            }
        }
        found
    }

    fn write_table(&self, inner: &Inner<'_>, page: &mut String) {
        let Some(fields) = inner.table.get("properties").and_then(Value::as_object) else {
            return;
        };
        let name = inner.heading.trim_matches(['[', ']']);
        // The type's own first sentence says again what the table is.
        let own = text_of(inner.table, "description");
        let more = own.split_once(". ").map_or("", |(_, more)| more);
        let about = format!("{} {more}", inner.about);
        let _ = write!(page, "\n## `{}`\n\n{}\n\n", inner.heading, about.trim_end());
        page.push_str("| key | type | default | meaning | reload |\n|---|---|---|---|---|\n");
        let mut below = Vec::new();
        for (key, node) in fields {
            let tables = self.tables(&format!("{name}.{key}"), node);
            let only_tables = !tables.is_empty() && self.is_table(node);
            below.extend(tables);
            if !only_tables {
                self.write_row(key, node, inner, page);
            }
        }
        for inner in below {
            self.write_table(&inner, page);
        }
    }

    /// Whether nothing but tables may stand at the node.
    fn is_table(&self, node: &Value) -> bool {
        let ways = self.shape.alternatives(node);
        ways.iter().all(|way| types(way).any(|kind| kind == "object"))
    }

    fn write_row(&self, key: &str, node: &Value, inner: &Inner<'_>, page: &mut String) {
        let required = inner.table.get("required").and_then(Value::as_array);
        let default = match node.get("default") {
            _ if required.is_some_and(|keys| keys.iter().any(|name| name == key)) => "required".to_owned(),
            None | Some(Value::Null) => "absent".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let meaning = self.meaning(node);
        let is_fixed = meaning.contains(FIXED) || inner.about.contains(FIXED);
        let reload = if is_fixed { "no" } else { "yes" };
        let kind = self.kind(node);
        let cells = [format!("`{key}`"), kind, default, meaning, reload.to_owned()];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }

    fn meaning(&self, node: &Value) -> String {
        let mut meaning = text_of(node, "description");
        for way in self.shape.alternatives(node) {
            let names = choices(way);
            // Where the key's own words explain each choice, once is enough.
            if names.iter().all(|name| meaning.contains(&format!("`{name}`"))) {
                continue;
            }
            for choice in way.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
                let name = text_of(choice, "const");
                let _ = write!(meaning, " `{name}`: {}", text_of(choice, "description"));
            }
        }
        meaning
    }

    fn kind(&self, node: &Value) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for way in self.shape.alternatives(node) {
            let kind = self.kind_of(way);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.join(" or ")
    }

    fn kind_of(&self, way: &Value) -> String {
        let choices = choices(way);
        if !choices.is_empty() {
            return choices.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", ");
        }
        match way.get("format").and_then(Value::as_str) {
            Some("span") => return "span".to_owned(),
            Some("size") => return "size".to_owned(),
            Some("hedge") => return "span or `\"p95\"`".to_owned(),
            Some("secret") => return "secret".to_owned(),
            _ => {}
        }
        match types(way).find(|kind| *kind != "null") {
            Some("string") => "text".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("array") => {
                let items = way.get("items").map(|items| self.kind(items));
                format!("array of: {}", items.unwrap_or_default())
            }
            Some("object") => match way.get("additionalProperties").filter(|node| node.is_object()) {
                Some(node) => format!("table of: {}", self.kind(node)),
                None => "table".to_owned(),
            },
            _ => "any value".to_owned(),
        }
    }
}

fn property<'a>(node: &'a Value, key: &str) -> &'a Value {
    node.get("properties").and_then(|fields| fields.get(key)).unwrap_or(&Value::Null)
}

fn text_of(node: &Value, key: &str) -> String {
    node.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_reference_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
        let reference = reference();
        if std::env::var_os("WEIR_BLESS").is_some_and(|bless| bless == "1") {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &reference).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(written == reference, "docs/config.md is stale: run this test with WEIR_BLESS=1");
    }

    #[test]
    fn every_key_has_its_row_and_its_reload() {
        let reference = reference();
        let row = |key: &str| {
            let start = format!("| `{key}` |");
            reference.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned()
        };
        assert!(row("listen").ends_with("| no |"), "{}", row("listen"));
        assert!(row("max_in_flight").contains("| `4096` |") && row("max_in_flight").ends_with("| no |"));
        assert!(row("max_body").ends_with("| yes |"));
        assert!(row("cert").ends_with("| no |"));
        assert!(row("provider").contains("| required |"));
        for heading in ["[server.tls]", "[[keys]]", "[providers.NAME.sim]", "[[routes.NAME.targets]]"] {
            assert!(reference.contains(&format!("\n## `{heading}`\n")), "{heading}");
        }
    }
}
