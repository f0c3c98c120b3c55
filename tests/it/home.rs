//! A data directory, and the program that is run on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Ended, Process, Server};

/// A data directory of a test's own, with the environment that the program gets there.
pub struct Home {
    directory: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Home {
    /// Nothing is there yet.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let env = Vec::new();
        Self { directory, env }
    }

    /// One whose webhooks may go to this machine.
    pub fn with_local_webhooks() -> Self {
        Self::new().env("EVENKEEL_WEBHOOKS_ALLOW_NETWORKS", "127.0.0.0/8")
    }

    /// The same with a variable in the environment.
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A place for files that are not the program's.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program, not started. Of the environment it sees the search path and its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("EVENKEEL_DATA", self.data())
            .env("EVENKEEL_LISTEN", "127.0.0.1:0")
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Starts the program; what it says on standard error goes to a file beside the data.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let said = self.beside("stderr");
        let file = File::options().create(true).append(true).open(&said);
        let mut command = self.command(arguments);
        command.stderr(file.unwrap());
        Process::start(command, said)
    }

    /// Starts the server and waits until it listens.
    pub fn serve(&self) -> Server {
        Server::listening(self.start(&["serve"]), &self.token_file())
    }

    fn token_file(&self) -> PathBuf {
        self.data().join("admin.token")
    }

    /// The stored log's one big file.
    pub fn stored_log(&self) -> PathBuf {
        self.data().join("log").join("sled").join("db")
    }
}

/// A file with this text.
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
