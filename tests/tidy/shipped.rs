//! Files for other programs: what they name is there, what Prometheus alerts of stands in the operations guide.

use std::path::Path;

/// Alerts without a section of their own in the guide, or with a link that leads nowhere.
pub fn unexplained(alerts: &str, guide: &str) -> Vec<String> {
    let headings: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut found = Vec::new();
    let mut alert = "";
    for line in alerts.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alert = name.trim();
            if !headings.contains(&alert) {
                found.push(format!("docs/operations.md has no `## {alert}`"));
            }
        } else if let Some(link) = line.strip_prefix("runbook_url: ") {
            let anchor = format!("docs/operations.md#{}", alert.to_lowercase());
            if !link.contains(&anchor) {
                found.push(format!("{alert}: its runbook is {link}, not {anchor}"));
            }
        }
    }
    if alert.is_empty() {
        found.push("no alert was found".to_owned());
    }
    found
}

/// What is wrong with a compose file: `exists` tells whether a path of the project is there.
pub fn miscomposed(compose: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut mounts = 0;
    for line in compose.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((from, to)) = line.strip_prefix("- ./").and_then(|mount| mount.split_once(':')) {
            mounts += 1;
            if !exists(from) {
                found.push(format!("{from} is mounted, but not there"));
            }
            if !to.ends_with(":ro") {
                found.push(format!("{from} is mounted to be written to"));
            }
        }
        if let Some(ports) = line.strip_prefix("ports: ") {
            let open = |port: &&str| !port.contains("127.0.0.1:");
            let bare = ports.trim_matches(['[', ']']).split(',').find(open);
            found.extend(bare.map(|port| format!("{port} is open to other machines")));
        }
        if let Some(image) = line.strip_prefix("image: ")
            && image != "weir:latest"
            && image.rsplit_once(':').is_none_or(|(_, tag)| !tag.contains('.'))
        {
            found.push(format!("{image} is not pinned to a version"));
        }
        if line.contains('\t') {
            found.push(format!("`{line}` has a tab, which YAML does not take"));
        }
    }
    if mounts == 0 {
        found.push("nothing is mounted".to_owned());
    }
    found
}

/// Links and pictures of a page that lead nowhere: `exists` tells whether a path beside the page is there.
pub fn broken_links(page: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut targets = Vec::new();
    for (start, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
        targets.extend(
            page.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(target, _)| target),
        );
    }
    let path = |target: &&str| target.split('#').next().is_some_and(|path| !path.is_empty() && !exists(path));
    targets.retain(|target| !target.starts_with("http") && !target.contains(char::is_whitespace));
    targets.iter().filter(|target| path(target)).map(|target| format!("{target} is not there")).collect()
}

/// What is wrong with the links of the pages for users: the README, all of `docs/`.
fn lost(root: &Path) -> Vec<String> {
    let mut pages = vec![root.join("README.md")];
    let docs = std::fs::read_dir(root.join("docs")).into_iter().flatten().flatten().map(|entry| entry.path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        let folder = page.parent().unwrap_or(root);
        let broken = broken_links(&text, |path| folder.join(path).exists());
        found.extend(broken.into_iter().map(|problem| format!("{}: {problem}", page.display())));
    }
    found
}

/// Checks the project's own files.
pub fn check(root: &Path) -> Vec<String> {
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
    let mut found = Vec::new();
    match (read("config/prometheus/alerts.yml"), read("docs/operations.md")) {
        (Ok(alerts), Ok(guide)) => found.extend(unexplained(&alerts, &guide)),
        (alerts, guide) => found.extend([alerts, guide].into_iter().filter_map(Result::err)),
    }
    for file in ["docker-compose.yml", "config/compose/gateway.yml"] {
        match read(file) {
            Ok(compose) => found.extend(miscomposed(&compose, |path| root.join(path).exists())),
            Err(error) => found.push(error),
        }
    }
    found.extend(lost(root));
    found
}
