//! `evenkeel log replay`: any state of the past, from the log alone.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::books::{Books, Until};
use evenkeel_domain::index::Index;
use evenkeel_domain::values::IndexId;
use serde_json::{Map, Value, json};

use crate::audit::past::{State, books_at, states, states_of};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Which state. Read from the files, also while a server runs.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// As of this time (RFC 3339) or position [default: now]
    #[arg(long, value_name = "TIME|POSITION", value_parser = super::until)]
    pub at: Option<Until>,
    /// Of this index only
    #[arg(long, value_name = "ID", conflicts_with = "stream")]
    pub index: Option<IndexId>,
    /// Of this stream only, or of what has this id: an index, a rebalance, a webhook, an owner, a
    /// job, an asset; `market` is all prices
    #[arg(long, value_name = "ID")]
    pub stream: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(data: &DataDirectory, args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let books = books_at(data, args.at.unwrap_or(Until::Head)).map_err(super::failed)?;
    if let Some(name) = &args.stream {
        let states: Vec<State> = states_of(&books, name).collect();
        if states.is_empty() {
            return Err(CliError::Failed(format!(
                "there is nothing called {name} at that time"
            )));
        }
        print(&of_one(&books, &states, args.json))?;
        return Ok(ExitCode::SUCCESS);
    }
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

fn of_one(books: &Books, states: &[State], as_json: bool) -> String {
    if as_json {
        let states: Vec<Value> = states
            .iter()
            .map(|state| json!({ "kind": state.kind, "id": state.id, "state": state.value }))
            .collect();
        return format!(
            "{}\n",
            json!({ "position": books.position, "states": states })
        );
    }
    let mut text = format!("as of position {}\n", books.position);
    for state in states {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{} {}\n{:#}", state.kind, state.id, state.value);
    }
    text
}

fn as_json(books: &Books, indexes: &[&Index]) -> String {
    let indexes: Vec<Value> = indexes.iter().map(|index| json!(index)).collect();
    let prices: Map<String, Value> = books
        .market
        .quotes
        .iter()
        .map(|(asset, quote)| (asset.to_string(), json!(quote.price)))
        .collect();
    let of_kind = |kind: &'static str| -> Vec<Value> {
        states(books)
            .filter(|state| state.kind == kind)
            .map(|state| state.value)
            .collect()
    };
    let value = json!({
        "position": books.position,
        "indexes": indexes,
        "rebalances": of_kind("rebalance"),
        "webhooks": of_kind("webhook"),
        "owners": of_kind("owner"),
        "jobs": of_kind("job"),
        "prices": prices,
    });
    format!("{value}\n")
}

fn as_text(books: &Books, indexes: &[&Index]) -> String {
    let mut text = format!(
        "as of position {}: {} indexes, {} rebalances, {} webhooks, {} owners, {} jobs, {} prices\n",
        books.position,
        books.indexes.len(),
        books.rebalances.len(),
        books.webhooks.len(),
        books.owners.len(),
        books.jobs.len(),
        books.market.quotes.len(),
    );
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
