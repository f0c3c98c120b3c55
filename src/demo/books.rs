//! What the demo books before it plays, and what it counts afterwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_actors::books::{Books, Until};
use evenkeel_actors::engine::{Caller, EngineError, IndexFilter, WebhookWish};
use evenkeel_actors::streams;
use evenkeel_domain::access::{Name, Scope};
use evenkeel_domain::index::{Funds, Index, Status};
use evenkeel_domain::job::DRIFT_MONITOR;
use evenkeel_domain::values::{Amount, EventKey, OwnerId, Timestamp, WebhookId};
use evenkeel_domain::webhook::{Filter, Target, Url};
use evenkeel_events::{Direction, EventLog, SledLog, SledOptions};
use ipnet::{IpNet, Ipv4Net};

use super::portfolios::{FUNDING, SAMPLES, Sample};
use super::stage::DemoError;
use crate::engine::{DataDirectory, Engine, OpenError};
use crate::time::{OsEntropy, SystemClock};
use crate::webhooks::receiver::Receiver;
use crate::webhooks::secrets::SecretKeeper;

/// This machine: where the demo's receiver listens.
pub(super) const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));

/// Checks after the last day until nothing is under way: with the faults of a demo each leaves
/// one transfer in ten untold, so a few suffice.
const SETTLE_RUNS_MAX: usize = 20;

/// More than the demo books: one page is enough.
const PAGE: usize = 1_000;

/// The demo's owners with their subscriptions.
pub(super) struct Booked {
    owners: Vec<Subscriber>,
}

/// An owner with its subscription.
struct Subscriber {
    caller: Caller,
    webhook: WebhookId,
    /// Deliveries that failed before this run, when nobody listened.
    failed_before: u64,
}

/// What an earlier run has left, read before the engine opens.
#[derive(Default)]
pub(super) struct Earlier {
    /// The day up to which it has played; none when there was none.
    pub(super) day: Option<Timestamp>,
    /// Where its receiver listened.
    pub(super) receiver: Option<SocketAddr>,
    /// The secret of each path of its receiver.
    pub(super) secrets: Vec<(String, String)>,
}

/// Reads what an earlier run has left.
pub(super) async fn earlier(data: &DataDirectory) -> Result<Earlier, DemoError> {
    fn unreadable(error: &dyn std::fmt::Display) -> DemoError {
        DemoError::Log(error.to_string())
    }
    if !data.log().is_dir() {
        return Ok(Earlier::default());
    }
    let log = SledLog::open(data.log(), SledOptions::default()).map_err(|e| unreadable(&e))?;
    let books = Books::replay(&log, Until::Head).await;
    log.close().await.map_err(|e| unreadable(&e))?;
    let books = books.map_err(|e| unreadable(&e))?;
    let keeper = SecretKeeper::open(data.path(), &OsEntropy).map_err(OpenError::from)?;
    let mut earlier = Earlier {
        day: books.market.quotes.values().map(|quote| quote.at).max(),
        ..Earlier::default()
    };
    for webhook in books.webhooks.values().filter(|webhook| !webhook.deleted) {
        let rest = webhook.target.url.as_str().strip_prefix("http://");
        let Some((address, path)) = rest.and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        earlier.receiver = earlier.receiver.or(address.parse().ok());
        // The demo brings no secrets of its own.
        let secret = keeper.secret(webhook.webhook_id, webhook.secret_generation);
        earlier.secrets.push((format!("/{path}"), secret));
    }
    Ok(earlier)
}

/// Where the earlier receiver listened, if that is free: what it missed comes at once.
pub(super) async fn receiver(earlier: &Earlier) -> io::Result<Receiver> {
    let start = async |address| Receiver::start(address, Arc::new(SystemClock)).await;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receiver = match start(earlier.receiver.unwrap_or(anywhere)).await {
        Ok(receiver) => receiver,
        Err(_) => start(anywhere).await?,
    };
    for (path, secret) in &earlier.secrets {
        receiver.set_secret(path, secret.clone());
    }
    Ok(receiver)
}

/// Books owners, indexes and subscriptions that are not there yet.
pub(super) async fn book(engine: &Engine, receiver: &Receiver) -> Result<Booked, DemoError> {
    let mut owners = Vec::new();
    for (n, sample) in SAMPLES.iter().enumerate() {
        let caller = owner(engine, sample).await?;
        let webhook = subscribe(engine, receiver, &caller, n).await?;
        let failed_before = engine.webhook(&caller, webhook).await?.webhook.failed;
        indexes(engine, &caller, sample).await?;
        owners.push(Subscriber {
            caller,
            webhook,
            failed_before,
        });
    }
    Ok(Booked { owners })
}

async fn owner(engine: &Engine, sample: &Sample) -> Result<Caller, DemoError> {
    let owners = engine.owners(None, usize::MAX).await;
    let known = owners
        .into_iter()
        .find(|owner| owner.name.as_deref() == Some(sample.owner));
    let owner = if let Some(owner) = known {
        owner.owner
    } else {
        let operator = caller(engine, OwnerId::from_u128(0));
        let name = Name::required(sample.owner).unwrap_or_default();
        engine.create_owner(&operator, name).await?.owner
    };
    Ok(caller(engine, owner))
}

/// The demo itself, on behalf of an owner.
fn caller(engine: &Engine, owner: OwnerId) -> Caller {
    let request = evenkeel_actors::uuid_v7(engine.clock().now(), &**engine.entropy());
    Caller {
        owner,
        token: None,
        scopes: Scope::DEFAULT.to_vec(),
        request: EventKey::from_u128(request),
    }
}

/// One subscription per owner to everything; one from an earlier run moves to the new receiver.
async fn subscribe(
    engine: &Engine,
    receiver: &Receiver,
    caller: &Caller,
    n: usize,
) -> Result<WebhookId, DemoError> {
    let path = format!("/owner-{n}");
    let all = Filter::new(&["*".to_owned()]).map_err(|error| DemoError::Log(error.to_string()))?;
    let url = Url::required(&receiver.url(&path)).unwrap_or_default();
    let wish = WebhookWish {
        enabled: Some(true),
        ..WebhookWish::untested(Target::new(url, all))
    };
    let known = engine.webhooks(caller, None, 1).await?.into_iter().next();
    let id = match known {
        None => {
            let tested = WebhookWish {
                skip_test: false,
                ..wish
            };
            let made = engine.create_webhook(caller, tested).await?;
            receiver.set_secret(&path, made.secret.unwrap_or_default());
            made.webhook.webhook_id
        }
        // Its secret is known to the receiver from the beginning.
        Some(view) => {
            let id = view.webhook.webhook_id;
            engine.update_webhook(caller, id, wish).await?;
            id
        }
    };
    Ok(id)
}

async fn indexes(engine: &Engine, caller: &Caller, sample: &Sample) -> Result<(), DemoError> {
    let known = live_of(engine, caller).await?;
    let (funding, minimum) = (amount(FUNDING), amount("10"));
    for portfolio in sample.indexes {
        let named = |index: &&Index| index.definition.name.as_str() == portfolio.name();
        let id = match known.iter().find(named) {
            // A run before ended between the two.
            Some(index) if index.status == Status::Pending => index.index_id,
            Some(_) => continue,
            None => {
                let definition = portfolio
                    .definition(minimum)
                    .map_err(EngineError::Definition)?;
                let created = engine.create_index(caller, definition).await?;
                created.index.index_id
            }
        };
        engine
            .deposit(caller, id, Funds::Cash(funding), true)
            .await?;
    }
    Ok(())
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap_or_default()
}

async fn live_of(engine: &Engine, caller: &Caller) -> Result<Vec<Index>, DemoError> {
    let filter = IndexFilter {
        limit: PAGE,
        ..IndexFilter::default()
    };
    let page = engine.indexes(caller, filter).await?;
    Ok(page.items.into_iter().map(|view| view.index).collect())
}

/// Every index when nothing is under way for it any more, as far as checks on the same prices
/// bring that about: each tells the venue again of what it may not know.
pub(super) async fn settled(engine: &Engine, booked: &Booked) -> Result<Vec<Index>, DemoError> {
    let mut indexes = live(engine, booked).await?;
    for _ in 0..SETTLE_RUNS_MAX {
        let under_way = |index: &Index| index.rebalance.is_some() || !index.transfers.is_empty();
        let Some(owner) = booked
            .owners
            .first()
            .filter(|_| indexes.iter().any(under_way))
        else {
            break;
        };
        engine.run_job(&owner.caller, DRIFT_MONITOR, true).await?;
        indexes = live(engine, booked).await?;
    }
    Ok(indexes)
}

/// Every index as it is now.
pub(super) async fn live(engine: &Engine, booked: &Booked) -> Result<Vec<Index>, DemoError> {
    let mut all = Vec::new();
    for Subscriber { caller, .. } in &booked.owners {
        all.extend(live_of(engine, caller).await?);
    }
    Ok(all)
}

/// How many events each subscription must have ended: those of its owner that it wants, logged
/// since it was made.
pub(super) async fn subscribed_events(
    engine: &Engine,
    booked: &Booked,
) -> Result<Vec<u64>, DemoError> {
    let mut counts = Vec::new();
    for Subscriber {
        caller,
        webhook: id,
        ..
    } in &booked.owners
    {
        let webhook = engine.webhook(caller, *id).await?.webhook;
        let wanted = |event_type: &str| webhook.target.events.matches(event_type);
        let (mut count, mut after, head) =
            (0, began_after(engine, *id).await?, engine.status().position);
        while after < head {
            let (page, looked_at) = engine.events(caller, after, &wanted, PAGE).await?;
            count += page.len() as u64;
            if looked_at == after {
                break;
            }
            after = looked_at;
        }
        counts.push(count);
    }
    Ok(counts)
}

/// The position that a subscription was made at.
async fn began_after(engine: &Engine, id: WebhookId) -> Result<u64, DemoError> {
    let page = engine
        .log()
        .read_stream(&streams::webhook(id), 0, 1, Direction::Forward)
        .await;
    let first = page
        .map_err(|error| DemoError::Log(error.to_string()))?
        .into_iter()
        .next();
    Ok(first.map_or(0, |created| created.position))
}

/// Waits until every subscription has ended as many deliveries; true when all of this run
/// succeeded.
pub(super) async fn wait_for_deliveries(
    engine: &Engine,
    booked: &Booked,
    expected: &[u64],
    most: Duration,
) -> Result<bool, DemoError> {
    let all_ended = async {
        let mut positions = engine.watch();
        loop {
            let mut open = 0;
            for (owner, expected) in booked.owners.iter().zip(expected) {
                let webhook = engine.webhook(&owner.caller, owner.webhook).await?.webhook;
                open += expected.saturating_sub(webhook.succeeded + webhook.failed);
            }
            if open == 0 {
                return Ok::<(), EngineError>(());
            }
            // Every ended delivery is an event, so the log tells when to look again.
            let _ = positions.changed().await;
        }
    };
    match tokio::time::timeout(most, all_ended).await {
        Err(_) => return Ok(false),
        Ok(ended) => ended?,
    }
    let mut succeeded = true;
    for (owner, expected) in booked.owners.iter().zip(expected) {
        let webhook = engine.webhook(&owner.caller, owner.webhook).await?.webhook;
        succeeded &= webhook.succeeded + owner.failed_before >= *expected;
    }
    Ok(succeeded)
}
