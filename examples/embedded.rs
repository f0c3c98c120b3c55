//! evenkeel inside another program: no server, no socket, one port of our own.
//!
//! ```text
//! cargo run --example embedded             everything in memory
//! cargo run --example embedded -- my-data  on sled; run it twice and it goes on
//! ```
//!
//! The port of our own is the transport of webhooks: what a server would post to a URL, this
//! program takes from a channel. A clock, a price feed or a venue is replaced in the same way.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use evenkeel::Engine;
use evenkeel::actors::engine::{Caller, WebhookWish};
use evenkeel::actors::ports::{SigningKey, UrlRefused, WebhookRequest, WebhookTransport};
use evenkeel::domain::access::{Name, Scope};
use evenkeel::domain::index::{Definition, Funds};
use evenkeel::domain::job::DRIFT_MONITOR;
use evenkeel::domain::market::{RecordPrices, Source};
use evenkeel::domain::values::{EventKey, IndexId, OwnerId, WebhookId};
use evenkeel::domain::webhook::{AttemptResult, Filter, Target, Url};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let (inbox, mut messages) = unbounded_channel();
    let mut builder = Engine::builder().transport(Arc::new(Inbox(inbox)));
    if let Some(directory) = std::env::args_os().nth(1) {
        builder = builder.data(directory);
    }
    let engine = builder.open().await?;
    println!("the log stands at position {}", engine.status().position);

    let caller = owner(&engine).await?;
    subscribe(&engine, &caller).await?;
    push(&engine, &caller, "100", "100").await?;

    println!("\n10,000 in, half of it in each asset:");
    let index = engine.create_index(&caller, half_and_half()?).await?;
    let id = index.index.index_id;
    let cash = Funds::Cash("10000".parse()?);
    engine.deposit(&caller, id, cash, true).await?;
    listen_until_completed(&mut messages).await;

    println!("\nAAPL rises by 30 %, and the drift monitor runs:");
    push(&engine, &caller, "130", "100").await?;
    let drift = engine.drift(&caller, id).await?;
    println!("  drift {} points", drift.report.drift);
    let run = engine.run_job(&caller, DRIFT_MONITOR, true).await?;
    println!("  rebalances started: {}", run.summary.rebalances_started);
    listen_until_completed(&mut messages).await;

    tell(&engine, &caller, id).await?;
    engine.close().await?;
    Ok(())
}

/// Messages to subscribers, handed over inside the process.
struct Inbox(UnboundedSender<WebhookRequest>);

#[async_trait]
impl WebhookTransport for Inbox {
    async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        // The receiver lives until the program ends: then nobody listens any more.
        let _ = self.0.send(request.clone());
        AttemptResult::Success { status: 200 }
    }

    async fn check_url(&self, _: &str) -> Result<(), UrlRefused> {
        Ok(())
    }

    fn secret(&self, _: WebhookId, _: &SigningKey) -> Option<String> {
        Some("whsec_nothing-leaves-the-process".to_owned())
    }
}

/// Prints what arrives, up to the end of a rebalance.
async fn listen_until_completed(messages: &mut UnboundedReceiver<WebhookRequest>) {
    while let Some(message) = messages.recv().await {
        println!("  {}", message.event_type);
        if message.event_type == "rebalance.completed" {
            break;
        }
    }
}

/// An owner of this run's index, and the right to act for it.
async fn owner(engine: &Engine) -> Outcome<Caller> {
    let name = Name::required("an embedding program")?;
    let operator = as_owner(engine, OwnerId::from_u128(0));
    let owner = engine.create_owner(&operator, name).await?;
    Ok(as_owner(engine, owner.owner))
}

fn as_owner(engine: &Engine, owner: OwnerId) -> Caller {
    let request = evenkeel::actors::uuid_v7(engine.clock().now(), &**engine.entropy());
    Caller {
        owner,
        token: None,
        scopes: Scope::DEFAULT.to_vec(),
        request: EventKey::from_u128(request),
    }
}

async fn subscribe(engine: &Engine, caller: &Caller) -> Outcome {
    let events = [
        "drift.threshold_exceeded",
        "trade.executed",
        "rebalance.completed",
    ];
    let events = Filter::new(&events.map(str::to_owned))?;
    let target = Target::new(Url::required("https://inside.invalid/")?, events);
    let wish = WebhookWish::untested(target);
    engine.create_webhook(caller, wish).await?;
    Ok(())
}

/// The same fields as in `POST /api/indexes`, each of them named.
fn half_and_half() -> Outcome<Definition> {
    Ok(serde_json::from_value(json!({
        "name": "Half and half",
        "description": "",
        "constituents": [
            {"asset": "AAPL", "percentage": "50"},
            {"asset": "MSFT", "percentage": "50"}
        ],
        "cashPercentage": "0",
        "rebalancing": {
            "method": "DRIFT", "driftThreshold": "5", "minInterval": "24h", "maxInterval": "24h"
        },
        "risk": {"minTradeNotional": "1", "maxTradeNotional": null, "maxSlippage": "1"},
        "account": "paper",
        "tags": []
    }))?)
}

/// Prices that this program vouches for, however far they are from the last ones.
async fn push(engine: &Engine, caller: &Caller, aapl: &str, msft: &str) -> Outcome {
    let prices = RecordPrices {
        source: Source::Push,
        at: engine.clock().now(),
        prices: vec![
            ("AAPL".parse()?, aapl.parse()?),
            ("MSFT".parse()?, msft.parse()?),
        ],
        confirm: true,
    };
    engine.push_prices(caller, prices).await?;
    Ok(())
}

/// What the index holds now, and what the log says of how it came about.
async fn tell(engine: &Engine, caller: &Caller, id: IndexId) -> Outcome {
    let index = engine.index(caller, id).await?.index;
    println!("\nthe index holds, beside {} in cash:", index.cash);
    for holding in &index.holdings {
        println!("  {} {}", holding.quantity, holding.asset);
    }
    println!("\nits log:");
    let all = |_: &str| true;
    let history = engine.index_events(caller, id, &all, None, 100).await?;
    for event in history.items.iter().rev() {
        let line = format!("{:>5}  {:<26}", event.position, event.event_type);
        println!("{line}{}", event.by);
    }
    Ok(())
}
