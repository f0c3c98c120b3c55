//! The program while it runs, and what it leaves.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::api::Client;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// From what the standard library gives.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output of a run that ended well.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The same as one JSON value.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.fine()).unwrap()
    }

    /// The same as JSON values, one a line.
    #[track_caller]
    pub fn json_lines(self) -> Vec<Value> {
        let text = self.fine();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A run that has not ended; it is killed when the test drops it.
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: PathBuf,
}

impl Process {
    /// Starts a command whose standard error goes to the file `said`.
    pub fn start(mut command: Command, said: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            said,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line on standard output that begins so; none when there is none.
    pub fn line(&mut self, beginning: &str) -> Option<String> {
        self.lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix(beginning).map(str::to_owned))
    }

    /// Everything that was said on standard error so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Kills it where it stands.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal and waits for the end.
    pub async fn signal(mut self, signal: Signal) -> ExitStatus {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap();
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        ended.await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that listens.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub url: String,
    /// A client with the admin token.
    pub admin: Client,
}

impl Server {
    /// Waits until a process listens; the admin token is where the first start wrote it.
    #[track_caller]
    pub fn listening(mut process: Process, token_file: &Path) -> Self {
        let Some(url) = process.line("listening on ") else {
            panic!("it does not listen: {}", process.said());
        };
        let token = std::fs::read_to_string(token_file).unwrap();
        let admin = Client::new(&url, token.trim());
        Self {
            process,
            url,
            admin,
        }
    }

    /// Stops it orderly.
    pub async fn stop(self) {
        let said = self.process.said.clone();
        let status = self.process.signal(Signal::TERM).await;
        let said = std::fs::read_to_string(said).unwrap_or_default();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}
