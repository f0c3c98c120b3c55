//! `evenkeel log head` and `log key`: where the log ends, signed for somebody to keep.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::ports::Clock as _;
use evenkeel_events::acknowledged_head;
use serde_json::json;

use crate::audit::heads::SigningKey;
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;
use crate::time::SystemClock;

/// How to print it. A signed head is one line of JSON: let a schedule append it to a file on
/// another machine, and `log verify --head FILE --key KEY` tells later whether history was
/// rewritten.
#[derive(Debug, Args)]
pub struct HeadArgs {
    /// Sign it with this private key (PEM, PKCS #8, ed25519)
    #[arg(long, value_name = "KEYFILE")]
    pub sign: Option<PathBuf>,
    /// As JSON; a signed one always is
    #[arg(long)]
    pub json: bool,
}

/// Where to.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// A new file, for its owner only; the public key is printed
    #[arg(value_name = "KEYFILE")]
    pub file: PathBuf,
}

pub(super) fn run(data: &DataDirectory, args: &HeadArgs) -> Result<ExitCode, CliError> {
    let key = args.sign.as_deref().map(SigningKey::read).transpose();
    let key = key.map_err(|error| CliError::Usage(error.to_string()))?;
    let head = acknowledged_head(data.log()).map_err(|error| super::failed(error.into()))?;
    let text = match key {
        Some(key) => {
            let signed = key.sign(&head, SystemClock.now());
            serde_json::to_string(&signed).map_err(CliError::failed)?
        }
        None if args.json => {
            json!({ "position": head.position, "hash": head.hash_hex() }).to_string()
        }
        None => format!("position {}\nhash {}", head.position, head.hash_hex()),
    };
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn make_key(args: &KeyArgs) -> Result<ExitCode, CliError> {
    let key = SigningKey::make(&args.file).map_err(|error| CliError::Usage(error.to_string()))?;
    print(&format!("{}\n", key.public_key()))?;
    Ok(ExitCode::SUCCESS)
}
