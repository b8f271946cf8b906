//! What the machine has to allow for a test with many connections.

use std::process::Command;

use tokio::sync::{Mutex, MutexGuard};

static QUIET: Mutex<()> = Mutex::const_new(());

/// Keeps tests that load the machine apart from tests that measure time.
pub async fn quiet() -> MutexGuard<'static, ()> {
    QUIET.lock().await
}

/// Sees to it that this process, with those that it starts from now on, may open so many files.
pub fn open_files(wanted: u64) {
    if allowed() < wanted {
        // The tool of every Linux; what counts is the limit that is read afterwards.
        let (pid, limit) = (std::process::id().to_string(), format!("--nofile={wanted}:"));
        let _ = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    }
    assert!(allowed() >= wanted, "this test needs {wanted} open files: raise `ulimit -n`, now {}", allowed());
}

fn allowed() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    match line.split_whitespace().next().unwrap() {
        "unlimited" => u64::MAX,
        number => number.parse().unwrap(),
    }
}
