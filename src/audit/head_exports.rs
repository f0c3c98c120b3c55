//! Signed heads on a schedule: a line in a file for somebody to carry away, while a server runs.
//!
//! A rewritten history is found only by what left the machine before: let the file be on a disk
//! that others hold, or be shipped by whatever ships logs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_actors::ports::Clock;
use evenkeel_domain::values::Timestamp;
use evenkeel_events::{EventLog, Head};

use super::heads::SigningKey;

/// Where statements go.
pub struct HeadExports {
    key: SigningKey,
    file: File,
    path: PathBuf,
    last: Option<Head>,
}

impl HeadExports {
    /// Statements by a key, at the end of a file, which is made when there is none.
    pub fn open(key: SigningKey, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self {
            key,
            file,
            path: path.to_owned(),
            last: None,
        })
    }

    /// Appends a statement, durably, unless the last one says the same.
    pub fn export(&mut self, head: Head, time: Timestamp) -> io::Result<()> {
        if self.last == Some(head) {
            return Ok(());
        }
        let line = serde_json::to_string(&self.key.sign(&head, time)).map_err(io::Error::other)?;
        // In one write: a crash leaves no half of a line in front of the next.
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()?;
        self.last = Some(head);
        Ok(())
    }

    /// Exports the head of a log at once and every so often. What fails is told, and tried again
    /// at the next time: the log goes on without its statements.
    pub async fn run(mut self, log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, every: Duration) {
        let mut times = tokio::time::interval(every);
        loop {
            times.tick().await;
            let (head, now) = (log.head(), clock.now());
            let exported = tokio::task::spawn_blocking(move || {
                let result = self.export(head, now);
                (self, result)
            });
            let Ok((back, result)) = exported.await else {
                return tracing::error!("signed heads are written no more: a panic");
            };
            self = back;
            if let Err(error) = result {
                tracing::error!(path = %self.path.display(), %error, "the signed head was not written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;
    use crate::audit::heads::VerifyingKey;

    #[test]
    fn each_head_is_stated_once_and_what_stood_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (key, path) = (folder.path().join("key"), folder.path().join("heads"));
        let key = SigningKey::make(&key).unwrap();
        let trusted = VerifyingKey::read(&key.public_key()).unwrap();
        let head = |position| Head {
            position,
            hash: [9; 32],
        };
        let now = Timestamp::from_micros(0);
        let mut exports = HeadExports::open(key, &path).unwrap();
        for position in [1, 1, 2] {
            exports.export(head(position), now).unwrap();
        }
        let key = SigningKey::read(&folder.path().join("key")).unwrap();
        let mut exports = HeadExports::open(key, &path).unwrap();
        exports.export(head(3), now).unwrap();
        assert_eq!(trusted.heads_in(&path).unwrap(), [1, 2, 3].map(head));
    }
}
