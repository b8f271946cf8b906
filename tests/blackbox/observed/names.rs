//! Names of metrics, as the list has them, as the page shows them, as queries ask for them.

use std::collections::{BTreeMap, BTreeSet};

/// Each metric with its labels.
pub type Names = BTreeMap<String, BTreeSet<String>>;

/// What `docs/metrics.md` lists.
pub fn listed() -> Names {
    let table = include_str!("../../../docs/metrics.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let metrics = rows.map(|(name, rest)| {
        let labels = rest.split('|').nth(1).unwrap().split(',').map(str::trim);
        (name.to_owned(), labels.filter(|label| !label.is_empty()).map(str::to_owned).collect())
    });
    metrics.collect()
}

/// What a page shows. Parts of a histogram count as the histogram.
pub fn on_page(page: &str) -> Names {
    let mut names = Names::new();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0)).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = if families.contains(name) { name } else { whole(name) };
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
        names.entry(name.to_owned()).or_default().extend(labels);
    }
    names
}

/// The histogram of which a name is a part.
fn whole(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics of Weir and its process that a query names.
pub fn named(query: &str) -> BTreeSet<&str> {
    let names = query.split(|c| !is_of_name(c));
    let names = names.filter(|name| name.starts_with("weir_") || name.starts_with("process_"));
    names.map(|name| if name.ends_with("_total") { name } else { whole(name) }).collect()
}

/// The labels that a query groups by.
pub fn grouped_by(query: &str) -> BTreeSet<&str> {
    let groups = [" by (", " on ("].into_iter().flat_map(|by| query.split(by).skip(1));
    let lists = groups.filter_map(|rest| Some(rest.split_once(')')?.0));
    lists.flat_map(|list| list.split(',').map(str::trim)).filter(|label| !label.is_empty()).collect()
}

/// The series that a query reads, like `weir_requests_total{status="200"}`.
pub fn selectors(query: &str) -> BTreeSet<&str> {
    let starts = query.match_indices("weir_").map(|(at, _)| &query[at..]);
    let found = starts.map(|rest| {
        let name = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let end = if rest[name..].starts_with('{') { rest.find('}').unwrap() + 1 } else { name };
        &rest[..end]
    });
    found.collect()
}

#[test]
fn names_are_read_out_of_queries() {
    let query = "histogram_quantile(0.5, sum by (model, le) (rate(weir_a_seconds_bucket{x=\"1\"}[5m]))) > weir_b_total";
    assert_eq!(named(query), BTreeSet::from(["weir_a_seconds", "weir_b_total"]));
    assert_eq!(grouped_by(query), BTreeSet::from(["le", "model"]));
    assert_eq!(selectors(query), BTreeSet::from(["weir_a_seconds_bucket{x=\"1\"}", "weir_b_total"]));
    let page = "# TYPE weir_a histogram\nweir_a_bucket{m=\"x,y\",le=\"1\"} 1\nweir_a_count{m=\"z\"} 2\n# TYPE b_count gauge\nb_count 1\n";
    let names = on_page(page);
    assert_eq!(names["weir_a"], BTreeSet::from(["m".to_owned()]));
    assert!(names.contains_key("b_count") && names.len() == 2, "{names:?}");
}
