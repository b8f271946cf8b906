//! A child process of the binary under test: its log, its signals, its end.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a process may take until it listens, or until it is gone.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a waiting test looks again.
const LOOK: Duration = Duration::from_millis(2);
/// What the log says once connections are taken, before the address.
const LISTENING: &str = "listening on http://";

/// The binary under test with `args` and a clean environment: only `PATH`, no `PORT`, no `WEIR_*`.
pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    command_through(&[], args)
}

/// The same, started through another program with arguments of its own; none: directly.
pub fn command_through<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(program: &[String], args: I) -> Command {
    let weir = env!("CARGO_BIN_EXE_weir");
    let mut command = match program {
        [] => Command::new(weir),
        [program, before @ ..] => {
            let mut command = Command::new(program);
            command.args(before).arg(weir);
            command
        }
    };
    command.args(args).env_clear().stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A running process. Dropping it kills it, reaps it, and joins the threads that read its output.
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// A process that ended before it listened.
#[derive(Debug)]
pub struct Exited {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts it; both outputs are read to the end, so that the process never blocks on them.
    pub fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// The address (`127.0.0.1:PORT`) that the log names, as soon as it does.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn listening(&mut self) -> Result<String, Exited> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(address) = address_in(&self.logs()) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(self.exited(status));
            }
            assert!(Instant::now() < end, "it does not listen after {PATIENCE:?}:\n{}", self.logs());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn exited(&mut self, status: ExitStatus) -> Exited {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Exited { status, stdout: self.output(), stderr: self.logs() }
    }

    /// All of stderr so far.
    pub fn logs(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// All of stdout so far.
    pub fn output(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits until the log holds `text`.
    pub async fn logged(&self, text: &str, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.logs().contains(text) {
            assert!(Instant::now() < end, "no `{text}` in the log after {patience:?}:\n{}", self.logs());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without `SIG`, like `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: every machine has it, and no unsafe call is needed.
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status().unwrap();
        assert!(status.success(), "{line}");
    }

    /// Kills it at once (SIGKILL) without a chance to clean up, then reaps it.
    pub fn kill(&mut self) {
        // An error only says that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits for its end; all of its output is here then.
    pub async fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(Instant::now() < end, "still running after {patience:?}:\n{}", self.logs());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

/// Copies a pipe into `text`, line by line, until it ends.
fn collect(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// The address behind the first complete "listening on" of a log.
fn address_in(logs: &str) -> Option<String> {
    let (_, rest) = logs.split_once(LISTENING)?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command)
    }

    #[test]
    fn an_address_is_read_from_text_logs_as_from_json_ones() {
        assert_eq!(address_in("INFO weir listening on http://127.0.0.1:80"), None);
        assert_eq!(address_in("x listening on http://127.0.0.1:8080\n"), Some("127.0.0.1:8080".into()));
        assert_eq!(
            address_in("{\"message\":\"listening on http://[::1]:8080\"}\n"),
            Some("[::1]:8080".into())
        );
    }

    #[tokio::test]
    async fn a_process_says_where_it_listens_then_obeys_a_signal() {
        let mut process = shell(
            "trap 'exit 3' TERM; echo listening on http://127.0.0.1:9 >&2; while :; do sleep 0.01; done",
        );
        assert_eq!(process.listening().await.unwrap(), "127.0.0.1:9");
        assert!(process.rss_kib() > 0);
        process.signal("TERM");
        assert_eq!(process.wait_exit(PATIENCE).await.code(), Some(3));
    }

    #[tokio::test]
    async fn a_process_that_ends_early_tells_why() {
        let exited = shell("echo out; echo broken >&2; exit 1").listening().await.unwrap_err();
        assert_eq!(exited.status.code(), Some(1));
        assert_eq!((exited.stdout.as_str(), exited.stderr.as_str()), ("out\n", "broken\n"));
    }
}
