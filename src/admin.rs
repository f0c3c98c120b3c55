//! The admin token, which the first start makes.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use evenkeel_actors::engine::EngineError;

use crate::engine::{DataDirectory, Engine};
use crate::http;

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Its file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine did not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// At the first start an admin token is made; it is written before it counts, so that a crash
/// in between leaves a file that is written anew and never a token that nobody knows.
pub async fn first_token(
    engine: &Engine,
    data: &DataDirectory,
) -> Result<Option<String>, AdminError> {
    if engine.has_owners() {
        return Ok(None);
    }
    let (token, hash) = http::new_token(&**engine.entropy());
    let path = data.admin_token();
    write_secret(&path, &token).map_err(|source| AdminError::Write { path, source })?;
    engine.bootstrap(hash).await?;
    Ok(Some(token))
}

/// A file that only its owner may read, on disk when this returns.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // An older file may have other rights; rights are given when a file is made.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
