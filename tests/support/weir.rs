//! A gateway under test, as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Output},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    client::Client,
    process::{self, Exited, Process},
};

/// A running gateway with its configuration in a folder of its own, which is its working directory too.
pub struct Weir {
    process: Process,
    address: String,
    folder: TempDir,
    setup: Setup,
}

/// How to start one.
pub struct Setup {
    toml: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    through: Vec<String>,
}

impl Setup {
    /// Sets a variable of its otherwise clean environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds arguments behind `serve --config FILE`.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.into()));
        self
    }

    /// Starts it through another program, which gets the gateway's whole command line behind these arguments.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.through.extend(program.iter().map(|&argument| argument.into()));
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Weir {
        match self.try_start().await {
            Ok(weir) => weir,
            Err(exited) => panic!("weir ended with {}:\n{}", exited.status, exited.stderr),
        }
    }

    /// Starts it and waits until it listens or gives up.
    ///
    /// # Errors
    /// It ended first, with its outputs.
    pub async fn try_start(self) -> Result<Weir, Exited> {
        let folder = TempDir::new().unwrap();
        std::fs::write(config_file(&folder), &self.toml).unwrap();
        let (process, address) = self.spawn(&folder).await?;
        Ok(Weir { process, address, folder, setup: self })
    }

    async fn spawn(&self, folder: &TempDir) -> Result<(Process, String), Exited> {
        let file = config_file(folder);
        let mut command =
            process::command_through(&self.through, [Path::new("serve"), Path::new("--config"), &file]);
        command.args(&self.arguments).current_dir(folder.path());
        // A free port, unless the test is about `listen` itself.
        if !self.toml.contains("listen =") {
            command.env("WEIR_SERVER__LISTEN", "127.0.0.1:0");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn(command);
        let address = process.listening().await?;
        Ok((process, address))
    }
}

fn config_file(folder: &TempDir) -> PathBuf {
    folder.path().join("weir.toml")
}

impl Weir {
    /// Starts another one in the folder of this one, which ends first if it has not yet, with whatever configuration
    /// stands there.
    pub async fn again(mut self) -> Self {
        self.kill();
        self.restart().await;
        self
    }

    /// A setup with this configuration.
    pub fn with(toml: &str) -> Setup {
        Setup { toml: toml.to_owned(), environment: Vec::new(), arguments: Vec::new(), through: Vec::new() }
    }

    /// Starts one with this configuration.
    pub async fn start(toml: &str) -> Self {
        Self::with(toml).start().await
    }

    /// Runs `weir ARGS...` to its end in `folder`, like `weir check`.
    pub fn run(folder: &Path, arguments: &[&str]) -> Output {
        process::command(arguments).current_dir(folder).output().unwrap()
    }

    /// Where it listens, like `127.0.0.1:40001`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.url(""))
    }

    /// The folder with its configuration; its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces its configuration in one step, as a careful deployment would.
    pub fn write_config(&self, toml: &str) {
        let new = self.folder.path().join("weir.toml.new");
        std::fs::write(&new, toml).unwrap();
        std::fs::rename(new, config_file(&self.folder)).unwrap();
    }

    /// All of its log so far.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Waits until the log holds `text`.
    pub async fn logged(&self, text: &str) {
        self.process.logged(text, process::PATIENCE).await;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it if it runs, then starts it again in the same folder, on another port.
    pub async fn restart(&mut self) {
        self.process.kill();
        match self.setup.spawn(&self.folder).await {
            Ok((process, address)) => (self.process, self.address) = (process, address),
            Err(exited) => panic!("weir ended with {}:\n{}", exited.status, exited.stderr),
        }
    }

    /// Asks it to end.
    pub fn sigterm(&self) {
        self.process.signal("TERM");
    }

    /// Asks it to read its configuration again.
    pub fn sighup(&self) {
        self.process.signal("HUP");
    }

    /// Waits for its end.
    pub async fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        self.process.wait_exit(patience).await
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.process.rss_kib()
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.process.peak_rss_kib()
    }
}
