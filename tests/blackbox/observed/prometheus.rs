//! A real Prometheus that scrapes a gateway under test every second.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    client::Client,
    process::{PATIENCE, Process},
};

use super::read;

/// A running one, with the rules and the configuration that ship, but quicker.
pub struct Prometheus {
    _process: Process,
    client: Client,
    _folder: TempDir,
}

/// An alert rule as it is seen.
pub struct Rule {
    pub name: String,
    pub query: String,
    pub state: String,
    pub health: String,
    pub error: String,
}

/// A command of Debian's package `prometheus`: from the system, or where `tools/setup.sh` puts it.
pub fn tool(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus/usr/bin");
    let found =
        std::env::split_paths(&path).chain([own]).map(|folder| folder.join(name)).find(|path| path.exists());
    let Some(found): Option<PathBuf> = found else {
        panic!(
            "`{name}` is not here: install Debian's package `prometheus`, or run tools/setup.sh as `make test` does"
        );
    };
    let mut command = Command::new(found);
    command.env_clear();
    command
}

impl Prometheus {
    /// Starts one on a free port.
    pub async fn start(weir: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = read("prometheus/prometheus.yml")
            .replace("weir:8080", weir)
            .replace("scrape_interval: 5s", "scrape_interval: 1s");
        assert!(config.contains(weir) && config.contains("scrape_interval: 1s"), "{config}");
        let rules = read("prometheus/alerts.yml").replace("interval: 30s", "interval: 1s");
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), rules).unwrap();
        let mut command = tool("prometheus");
        command.current_dir(folder.path()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ]);
        let process = Process::spawn(command);
        let address = listening(&process).await;
        process.logged("Server is ready", PATIENCE).await;
        Self { _process: process, client: Client::new(&format!("http://{address}")), _folder: folder }
    }

    /// The values of a query now.
    pub async fn query(&self, query: &str) -> Vec<f64> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.client.get(&format!("/api/v1/query?query={encoded}")).await.json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let results = answer["data"]["result"].as_array().unwrap();
        results.iter().map(|result| result["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// The alert rules, once all of them were evaluated.
    pub async fn rules(&self) -> Vec<Rule> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.get("/api/v1/rules").await.json();
            let groups = answer["data"]["groups"].as_array().unwrap();
            let rules: Vec<Rule> =
                groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).map(Rule::read).collect();
            if rules.iter().all(|rule| rule.health != "unknown") || Instant::now() > end {
                return rules;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            query: text("query"),
            state: text("state"),
            health: text("health"),
            error: text("lastError"),
        }
    }
}

/// The address that its log names.
async fn listening(process: &Process) -> String {
    let says = "msg=\"Listening on\" address=";
    process.logged(says, PATIENCE).await;
    process.logs().split_once(says).unwrap().1.split_whitespace().next().unwrap().to_owned()
}
