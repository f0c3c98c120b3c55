//! `evenkeel log replay`: any state of the past, from the log alone.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::books::{Books, Until};
use evenkeel_domain::index::Index;
use evenkeel_domain::values::{IndexId, Timestamp};
use serde_json::{Value, json};

use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Which state.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// As of this time (RFC 3339) or position [default: now]
    #[arg(long, value_name = "TIME|POSITION", value_parser = until)]
    pub at: Option<Until>,
    /// Of this index only
    #[arg(long, value_name = "ID")]
    pub index: Option<IndexId>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A position or a time.
fn until(text: &str) -> Result<Until, String> {
    if let Ok(position) = text.parse::<u64>() {
        return Ok(Until::Position(position));
    }
    text.parse::<Timestamp>()
        .map(Until::Time)
        .map_err(|error| format!("{error}, and no position either"))
}

pub(super) async fn run(data: &DataDirectory, args: ReplayArgs) -> Result<ExitCode, CliError> {
    let log = super::open(data)?;
    let books = Books::replay(&*log, args.at.unwrap_or(Until::Head)).await;
    log.close().await.map_err(CliError::failed)?;
    let books = books.map_err(CliError::failed)?;
    let indexes: Vec<&Index> = books
        .indexes
        .values()
        .filter(|index| args.index.is_none_or(|id| id == index.index_id))
        .collect();
    if indexes.is_empty() && args.index.is_some() {
        return Err(CliError::Failed(
            "there is no such index at that time".to_owned(),
        ));
    }
    print(&if args.json {
        as_json(&books, &indexes)
    } else {
        as_text(&books, &indexes)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(books: &Books, indexes: &[&Index]) -> String {
    let indexes: Vec<Value> = indexes.iter().map(|index| json!(index)).collect();
    let prices: serde_json::Map<String, Value> = books
        .market
        .quotes
        .iter()
        .map(|(asset, quote)| (asset.to_string(), json!(quote.price)))
        .collect();
    format!(
        "{}\n",
        json!({ "position": books.position, "indexes": indexes, "prices": prices })
    )
}

fn as_text(books: &Books, indexes: &[&Index]) -> String {
    let mut text = format!("as of position {}\n", books.position);
    for index in indexes {
        let (id, name) = (index.index_id, &index.definition.name);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n{id}  {:?}  {name}  cash {}",
            index.status, index.cash
        );
        for line in &index.holdings {
            let _ = writeln!(text, "  {:<12} {}", line.asset, line.quantity);
        }
    }
    text
}
