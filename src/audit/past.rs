//! The past: every state as of a position or a time, as JSON for people and programs.

use evenkeel_actors::books::{Books, Until};
use evenkeel_domain::access::Owner;
use evenkeel_domain::job::Job;
use evenkeel_domain::market::Quote;
use evenkeel_events::LogView;
use serde_json::{Map, Value, json};

use super::AuditError;
use crate::engine::DataDirectory;

/// A state with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// `index`, `rebalance`, `webhook`, `owner`, `job` or `price`.
    pub kind: &'static str,
    /// Its id; an asset for a price, a stream for a job.
    pub id: String,
    /// The stream that it is folded from.
    pub stream: String,
    /// What it is.
    pub value: Value,
}

/// Folds the log of a data directory up to `until`. Reads the files, also of a running server.
pub fn books_at(data: &DataDirectory, until: Until) -> Result<Books, AuditError> {
    let mut books = Books::default();
    advance(&mut LogView::open(data.log())?, &mut books, until)?;
    Ok(books)
}

/// Folds on from where the books are.
pub fn advance(view: &mut LogView, books: &mut Books, until: Until) -> Result<(), AuditError> {
    let from = books.position;
    for frame in view.frames(from) {
        for recorded in frame?.events()? {
            if recorded.position > from && !books.adopt_until(&recorded, until)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Every state in the books, in the order of kinds and ids.
pub fn states(books: &Books) -> impl Iterator<Item = State> + '_ {
    let indexes = books.indexes.iter().map(|(id, index)| {
        let id = id.to_string();
        state("index", id.clone(), id, json!(index))
    });
    let rebalances = books.rebalances.iter().map(|(id, record)| {
        let stream = record.index_id.to_string();
        state("rebalance", id.to_string(), stream, json!(record))
    });
    let webhooks = books.webhooks.iter().map(|(id, webhook)| {
        let id = id.to_string();
        state("webhook", id.clone(), id, json!(webhook))
    });
    let owners = books.owners.iter().map(|(id, owner)| {
        let id = id.to_string();
        state("owner", id.clone(), id, owner_json(owner))
    });
    let jobs = books
        .jobs
        .iter()
        .map(|(stream, job)| state("job", stream.clone(), stream.clone(), job_json(job)));
    let prices = books.market.quotes.iter().map(|(asset, quote)| {
        let stream = evenkeel_actors::streams::MARKET.to_owned();
        state("price", asset.to_string(), stream, quote_json(quote))
    });
    indexes
        .chain(rebalances)
        .chain(webhooks)
        .chain(owners)
        .chain(jobs)
        .chain(prices)
}

/// The states that a name stands for: of a stream, or with an id.
pub fn states_of<'a>(books: &'a Books, name: &'a str) -> impl Iterator<Item = State> + 'a {
    states(books).filter(move |state| state.stream == name || state.id == name)
}

fn state(kind: &'static str, id: String, stream: String, value: Value) -> State {
    State {
        kind,
        id,
        stream,
        value,
    }
}

/// An owner without the hashes of its tokens: nobody needs them to read. Names stay sealed: the
/// audit has no keys.
fn owner_json(owner: &Owner) -> Value {
    let tokens: Map<String, Value> = owner
        .tokens
        .iter()
        .map(|(id, token)| {
            let mut value = json!({
                "name": token.name,
                "scopes": token.scopes,
                "issuedAt": token.issued_at,
            });
            if let Some(expires_at) = token.expires_at {
                value["expiresAt"] = json!(expires_at);
            }
            (id.to_string(), value)
        })
        .collect();
    let mut value = json!({
        "owner": owner.owner,
        "name": owner.name,
        "tokens": tokens,
        "createdAt": owner.created_at,
    });
    if let Some(erased_at) = owner.erased_at {
        value["erasedAt"] = json!(erased_at);
    }
    value
}

fn job_json(job: &Job) -> Value {
    json!({
        "name": job.name,
        "schedule": job.schedule,
        "timezone": job.timezone,
        "enabled": job.enabled,
        "scheduledAt": job.scheduled_at,
        "lastRun": job.last_run,
        "runs": job.runs,
    })
}

fn quote_json(quote: &Quote) -> Value {
    let held = quote
        .held
        .map(|(price, since)| json!({ "price": price, "since": since }));
    json!({ "price": quote.price, "at": quote.at, "held": held })
}
