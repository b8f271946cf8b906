//! `weir demo` as a newcomer meets it: what it says, how it ends, what it leaves behind.

use std::time::Duration;

use tempfile::TempDir;

use super::support::{
    client::Client,
    process::{Process, command},
};

/// How long a machine with much else to do may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn demo(folder: &TempDir, arguments: &[&str]) -> Process {
    let mut command = command(["demo"].iter().chain(arguments));
    command.current_dir(folder.path());
    Process::spawn(command)
}

/// Waits until the output holds `text`.
async fn printed(process: &Process, text: &str) {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if process.output().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no `{text}` in\n{}\n{}", process.output(), process.logs());
}

/// The lines under this word, without their times.
fn lines<'a>(output: &'a str, word: &str) -> Vec<&'a str> {
    let text = |line: &'a str| line.get(7..)?.strip_prefix(word)?.strip_prefix(' ').map(str::trim_start);
    output.lines().filter_map(text).collect()
}

#[tokio::test]
async fn the_story_is_told_to_its_end() {
    let folder = TempDir::new().unwrap();
    let mut process = demo(&folder, &["--once", "--speed", "5", "--seed", "7"]);
    let status = process.wait_exit(PATIENCE).await;
    let output = process.output();
    assert!(status.success(), "{output}\n{}", process.logs());
    let has = |word: &str, part: &str| {
        let found = lines(&output, word);
        assert!(found.iter().any(|line| line.contains(part)), "no `{part}` under `{word}`:\n{output}");
    };
    has("auto", " of 10 hard: route premium, answered by ");
    has("opened", "Model medium at flaky is left alone: ");
    has("moved", "what medium would have got is answered by deep (");
    has("probe", "medium gets a single request");
    has("closed", "Model medium at flaky is used again: ");
    has("moved", "while medium was away its requests were answered by deep (");
    has("limited", "limited answers 429 and wants a pause of ");
    has("shared", "20 clients asked the same at one moment: 1 call to a provider, ");
    has("kept", "a regular's question: the kept answer of ");
    has("budget", "50 % of what research may spend (daily) is gone: ");
    has("cheaper", "or held for answers under way: tiny answers, no error.");
    has("end", "the story is told");
    assert!(lines(&output, "ERROR").is_empty() && !output.contains("clients saw errors"), "{output}");
    let (_, summary) = output.split_once("\nIn ").unwrap();
    assert!(summary.contains("no client saw an error.") && summary.contains(" saved ("), "{summary}");
    assert!(summary.contains("\nModel ") && summary.contains('█'), "{summary}");
    // No terminal, so nothing but lines; nothing is left behind.
    assert!(!output.contains('\x1b') && process.logs().is_empty(), "{output}\n{}", process.logs());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_signal_ends_it_with_a_summary() {
    let folder = TempDir::new().unwrap();
    // A file of the folder is not its business, nor is the port of a service that it happens to run in.
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/weir.toml"), "no = toml [").unwrap();
    for signal in ["INT", "TERM"] {
        let mut command = command(["demo", "--rate", "20"]);
        command.current_dir(folder.path()).env("PORT", "1");
        let mut process = Process::spawn(command);
        printed(&process, "status").await;
        let output = process.output();
        let (_, rest) = output.split_once("dashboard  ").unwrap();
        let (address, _) = rest.split_once("/dashboard\n").unwrap();
        assert!(address.starts_with("http://127.0.0.1:"), "{address}");
        let client = Client::new(address);
        assert_eq!(client.get("/healthz").await.status, 200);
        // A reload keeps what it runs.
        assert_eq!(client.post("/admin/reload", "").await.status, 200);
        let models = client.get("/v1/models").await.text();
        assert!(models.contains("\"research\""), "{models}");
        process.signal(signal);
        assert!(process.wait_exit(PATIENCE).await.success(), "{}", process.output());
        let output = process.output();
        assert!(output.contains("  stopped\n") && output.contains("no client saw an error."), "{output}");
    }
}

#[tokio::test]
async fn it_ends_by_itself_when_its_time_is_over() {
    let folder = TempDir::new().unwrap();
    let mut process = demo(&folder, &["--duration", "500ms"]);
    assert!(process.wait_exit(PATIENCE).await.success());
    assert!(process.output().contains("the time of --duration is over"), "{}", process.output());
}

#[test]
fn its_configuration_is_one_that_check_takes() {
    let folder = TempDir::new().unwrap();
    let run = |arguments: &[&str]| command(arguments).current_dir(folder.path()).output().unwrap();
    let printed = run(&["demo", "--print-config"]);
    assert!(printed.status.success());
    std::fs::write(folder.path().join("demo.toml"), &printed.stdout).unwrap();
    let checked = run(&["check", "--config", "demo.toml"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && said.contains("The configuration is good (0 warnings)."), "{said}");
    // Others could reach it, with nothing to show who they are.
    let open = run(&["demo", "--listen", "0.0.0.0:0", "--duration", "1s"]);
    let said = String::from_utf8(open.stderr).unwrap();
    assert!(!open.status.success() && said.contains("no key is configured"), "{said}");
    let file = run(&["demo", "--config", "missing.toml"]);
    assert!(String::from_utf8(file.stderr).unwrap().contains("missing.toml"));
}
