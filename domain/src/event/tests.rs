//! What is stored can be read back: every event and every state, in the log's codec and in JSON.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use std::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::access::{OwnerCreated, OwnerErased, Scope, TokenIssued, TokenRevoked};
use crate::index::{
    Band, CheckRecovered, CheckSkipped, Deposited, Destination, DriftMeasure, Funds, Index,
    IndexCommand, IndexReconciled, IndexUpdated, ReconciledHolding, Scope as Traded, SkipReason,
    Tag, TransferSettled,
};
use crate::job::{CycleSummary, JobFailed, JobScheduled, RunCompleted, RunTrigger};
use crate::market::{PriceHeld, PriceProblem, PricesRecorded, Source};
use crate::rebalance::{self, OrderOutcome, Reason, RebalanceStuck, TradeFailed, Trigger};
use crate::request::{Fingerprint, RequestAnswered, RequestBegun};
use crate::testing::*;
use crate::trading::{Trading, TradingEvent, TradingMode};
use crate::values::{
    OwnerId, Personal, Quantity, RebalanceId, RunId, Sealed, Span, Text, TokenId, TransferId,
};
use crate::webhook::Webhook;

mod webhooks;

#[track_caller]
fn in_binary<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(value, config).unwrap();
    let (back, read): (T, usize) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!(&back, value);
    assert_eq!(read, bytes.len());
    // Equal values have equal bytes: the log's hashes must not see trailing zeros.
    assert_eq!(bincode::serde::encode_to_vec(&back, config).unwrap(), bytes);
}

/// JSON is for showing: it reads back what a client may send, up to 12 digits after the point.
#[track_caller]
fn in_both<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    in_binary(value);
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

/// Calls a check with the struct inside an event of a family. Exhaustive: a new event fails to
/// compile where this is used.
macro_rules! each {
    ($json:expr, $found:expr, $($path:path),+ $(,)?) => {
        match $found {
            $($path(e) => if $json { in_both(e) } else { in_binary(e) },)+
        }
    };
}

/// Calls a check with the struct inside an event.
fn stored(event: &Event, json: bool) {
    match event {
        Event::Index(event) => each!(
            json,
            event,
            IndexEvent::Created,
            IndexEvent::Updated,
            IndexEvent::Paused,
            IndexEvent::Resumed,
            IndexEvent::Deleted,
            IndexEvent::Deposited,
            IndexEvent::Withdrawn,
            IndexEvent::TransferSettled,
            IndexEvent::DriftDetected,
            IndexEvent::ThresholdExceeded,
            IndexEvent::BandBreached,
            IndexEvent::CheckSkipped,
            IndexEvent::CheckRecovered,
            IndexEvent::TradingModeSet,
            IndexEvent::Reconciled,
        ),
        Event::Rebalance(event) => each!(
            json,
            event,
            RebalanceEvent::Started,
            RebalanceEvent::OrderIntended,
            RebalanceEvent::TradeExecuted,
            RebalanceEvent::TradeFailed,
            RebalanceEvent::Stuck,
            RebalanceEvent::Completed,
            RebalanceEvent::Failed,
            RebalanceEvent::Approved,
            RebalanceEvent::OrderAccepted,
            RebalanceEvent::Replanned,
            RebalanceEvent::CancelRequested,
            RebalanceEvent::Cancelled,
        ),
        Event::Trading(event) => each!(json, event, TradingEvent::ModeSet),
        Event::Request(event) => each!(json, event, RequestEvent::Begun, RequestEvent::Answered,),
        Event::Market(event) => {
            each!(
                json,
                event,
                MarketEvent::PricesRecorded,
                MarketEvent::PriceHeld
            );
        }
        Event::Job(event) => each!(
            json,
            event,
            JobEvent::Scheduled,
            JobEvent::RunCompleted,
            JobEvent::Failed,
        ),
        Event::Webhook(event) => stored_webhook(event, json),
        Event::Access(event) => each!(
            json,
            event,
            AccessEvent::OwnerCreated,
            AccessEvent::TokenIssued,
            AccessEvent::TokenRevoked,
            AccessEvent::OwnerErased,
        ),
    }
}

fn stored_webhook(event: &WebhookEvent, json: bool) {
    each!(
        json,
        event,
        WebhookEvent::Created,
        WebhookEvent::Updated,
        WebhookEvent::Deleted,
        WebhookEvent::Enabled,
        WebhookEvent::Disabled,
        WebhookEvent::SecretRotated,
        WebhookEvent::AttemptFailed,
        WebhookEvent::Delivered,
        WebhookEvent::DeliveryFailed,
        WebhookEvent::Checkpointed,
        WebhookEvent::RedeliveryRequested,
    );
}

/// One of every index and rebalance event, by living through them.
fn a_life() -> World {
    let mut definition = definition(&[("AAA", "50"), ("BRK-B", "40")]);
    definition.tags = vec![Tag::required("größe").unwrap()];
    definition.risk.max_trade_notional = Some(amount("100000"));
    definition.risk.max_turnover = Some(percent("100"));
    definition.constituents.edit(|lines| {
        lines[0].band = Some(Band::Absolute {
            width: percent("2.5"),
        });
    });
    definition
        .constituents
        .edit(|lines| lines[1].band = Some(Band::FiveTwentyFive));
    definition.rebalancing.cooldown = Span::from_secs(1);
    definition.rebalancing.approval = Some(Span::from_hours(1));
    let mut world = given(definition.clone())
        .cash("1000")
        .holding("OLD", "2.5")
        .prices(1, &[("AAA", "10"), ("BRK-B", "400"), ("OLD", "4")]);
    world.check();
    world.start(Trigger::Deposit);
    world.check();
    world.report(OrderOutcome::Unknown(Reason::required("timeout").unwrap()));
    world.report(OrderOutcome::Accepted);
    world.fill_all();
    world.prices = snapshot(2, &[("AAA", "20"), ("BRK-B", "missing")]);
    world.check();
    world.prices = snapshot(3, &[("AAA", "20"), ("BRK-B", "400")]);
    world.start(Trigger::Manual);
    while world.state().rebalance.is_some() {
        if world.reconciles() {
            world.settle_round();
        } else {
            world.report(OrderOutcome::Refused(Reason::required("halted").unwrap()));
        }
    }
    world.approval_until = Some(hours(1));
    world.start(Trigger::Manual);
    let id = world.state().rebalance.as_ref().unwrap().rebalance_id;
    let approved = rebalance::approve(world.state(), id, &world.conditions()).unwrap();
    world.adopt_rebalance(&approved);
    let reason = Reason::required("enough").unwrap();
    let cancel = rebalance::cancel(world.state(), id, reason, T0).unwrap();
    world.adopt_rebalance(&cancel);
    world.fill_all();
    world.when(IndexCommand::SetTradingMode {
        mode: TradingMode::Reducing,
        reason: Text::required("quarterly audit").unwrap(),
    });
    world.when(IndexCommand::Update { definition });
    world.when(IndexCommand::Withdraw {
        transfer_id: TransferId::from_u128(77),
        funds: Funds::Asset(asset("AAA"), quantity("0.5")),
    });
    world.when(IndexCommand::Pause);
    world.when(IndexCommand::Resume);
    world.settle();
    world.when(IndexCommand::Delete);
    world
}

fn reason() -> Text<300> {
    Text::required("because").unwrap()
}

fn market_events() -> Vec<MarketEvent> {
    vec![
        MarketEvent::PricesRecorded(PricesRecorded {
            source: Source::Http,
            at: T0,
            prices: vec![
                (asset("AAA"), price("0.000000000001")),
                (asset("B"), price("7")),
            ],
        }),
        MarketEvent::PriceHeld(PriceHeld {
            asset: asset("AAA"),
            accepted: price("1"),
            seen: price("2"),
            at: T0,
        }),
    ]
}

fn job_events() -> Vec<JobEvent> {
    vec![
        JobEvent::Scheduled(JobScheduled {
            name: Text::required("drift-monitor").unwrap(),
            schedule: Text::required("*/5 * * * *").unwrap(),
            timezone: Text::required("UTC").unwrap(),
            enabled: true,
            at: T0,
        }),
        JobEvent::RunCompleted(RunCompleted {
            run_id: RunId::from_u128(3),
            trigger: RunTrigger::CatchUp,
            summary: CycleSummary {
                checked: 9,
                ..CycleSummary::default()
            },
            coalesced: 2,
            error: Some(reason()),
            started_at: T0,
            duration_ms: 12,
            at: hours(1),
        }),
        JobEvent::Failed(JobFailed {
            name: Text::required("drift-monitor").unwrap(),
            run_id: RunId::from_u128(3),
            reason: reason(),
            at: hours(1),
        }),
    ]
}

fn access_events() -> Vec<AccessEvent> {
    vec![
        AccessEvent::OwnerCreated(OwnerCreated {
            owner: OwnerId::from_u128(1),
            name: Personal::Plain(Text::required("Ada").unwrap()),
            at: T0,
        }),
        AccessEvent::TokenIssued(TokenIssued {
            token_id: TokenId::from_u128(1),
            name: Personal::Sealed(Sealed::new(vec![0, 7, 255]).unwrap()),
            hash: [255; 32],
            scopes: vec![Scope::Admin, Scope::Read],
            expires_at: Some(hours(9)),
            at: T0,
        }),
        AccessEvent::TokenRevoked(TokenRevoked {
            token_id: TokenId::from_u128(1),
            at: T0,
        }),
        AccessEvent::OwnerErased(OwnerErased {
            owner: OwnerId::from_u128(1),
            at: T0,
        }),
    ]
}

fn other_events() -> Vec<Event> {
    let market = market_events().into_iter().map(Event::Market);
    let jobs = job_events().into_iter().map(Event::Job);
    let access = access_events().into_iter().map(Event::Access);
    let webhook = webhooks::webhook_events().into_iter().map(Event::Webhook);
    let trading = Trading::set(TradingMode::Halted, reason(), T0);
    market
        .chain(jobs)
        .chain(access)
        .chain(webhook)
        .chain([Event::Trading(trading)])
        .chain(request_events().into_iter().map(Event::Request))
        .collect()
}

fn request_events() -> Vec<RequestEvent> {
    let header = |name: &str, value: &str| {
        let value = Text::required(value).unwrap();
        (Text::required(name).unwrap(), value)
    };
    vec![
        RequestEvent::Begun(RequestBegun {
            key: Fingerprint([1; 32]),
            asked: Fingerprint([2; 32]),
            at: T0,
        }),
        RequestEvent::Answered(RequestAnswered {
            key: Fingerprint([1; 32]),
            status: 201,
            headers: vec![header("etag", "\"3\"")],
            body: Some(Text::required("{\"a\":1}").unwrap()),
            at: T0,
        }),
    ]
}

#[test]
fn every_event_is_read_back() {
    let mut seen = std::collections::HashSet::new();
    for event in a_life().log.iter().chain(&other_events()) {
        // Computed drift has up to 28 digits, which JSON from outside may not have.
        let computed = matches!(
            event,
            Event::Index(
                IndexEvent::DriftDetected(_)
                    | IndexEvent::ThresholdExceeded(_)
                    | IndexEvent::BandBreached(_)
            ) | Event::Rebalance(
                RebalanceEvent::Started(_)
                    | RebalanceEvent::Replanned(_)
                    | RebalanceEvent::Completed(_)
                    | RebalanceEvent::Failed(_)
            )
        );
        stored(event, !computed);
        seen.insert(kind(event));
    }
    assert_eq!(
        seen.len(),
        14 + 12 + 2 + 3 + 11 + 4 + 1 + 2 - MISSING_FROM_A_LIFE,
        "{seen:?}"
    );
}

/// `index.check_recovered` alone: [`every_rare_event_is_read_back`] has it.
const MISSING_FROM_A_LIFE: usize = 1;

fn kind(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split('(').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn every_rare_event_is_read_back() {
    in_both(&CheckRecovered { at: T0 });
    in_both(&IndexReconciled {
        cash_before: amount("1"),
        cash_after: amount("0"),
        holdings: vec![ReconciledHolding {
            asset: asset("AAA"),
            before: Quantity::ZERO,
            after: quantity("0.000000000001"),
        }],
        at: T0,
    });
    for reason in [
        SkipReason::Price(asset("AAA"), PriceProblem::FeedFailed),
        SkipReason::RebalanceRunning(RebalanceId::from_u128(1)),
        SkipReason::TransferPending(TransferId::from_u128(1)),
        SkipReason::Arithmetic,
        SkipReason::Unavailable,
        SkipReason::TradingHalted,
    ] {
        in_both(&CheckSkipped { reason, at: T0 });
    }
    in_both(&Deposited {
        transfer_id: TransferId::from_u128(u128::MAX),
        funds: Funds::Asset(asset("wrapped-bitcoin"), quantity("0.000000000001")),
        invest: false,
        at: T0,
    });
    let transfer_id = TransferId::from_u128(0);
    in_both(&TransferSettled {
        transfer_id,
        at: T0,
    });
    in_both(&RebalanceStuck {
        rebalance_id: RebalanceId::from_u128(1),
        step: 3,
        reason: Reason::default(),
        at: T0,
    });
    in_both(&TradeFailed {
        rebalance_id: RebalanceId::from_u128(1),
        step: 3,
        asset: asset("AAA"),
        side: crate::plan::Side::Buy,
        quantity: Quantity::ZERO,
        reason: Reason::default(),
        at: T0,
    });
}

/// Definitions that have every value of every choice.
fn definitions() -> Vec<IndexUpdated> {
    let band = |width: &str| Band::Relative {
        width: percent(width),
    };
    let choices = [
        (DriftMeasure::Absolute, Traded::Index, Destination::Target),
        (
            DriftMeasure::Relative,
            Traded::Breaching,
            Destination::BandEdge,
        ),
        (
            DriftMeasure::Turnover,
            Traded::Breaching,
            Destination::Fraction {
                percent: percent("62.5"),
            },
        ),
    ];
    let with = |(measure, scope, destination)| {
        let mut definition = definition(&[("AAA", "50"), ("BRK-B", "40")]);
        definition
            .constituents
            .edit(|lines| lines[0].band = Some(band("25")));
        definition.constituents.edit(|lines| lines[1].locked = true);
        definition.rebalancing.measure = measure;
        definition.rebalancing.scope = scope;
        definition.rebalancing.destination = destination;
        definition.risk.min_trade_percent = percent("0.05");
        definition.risk.cash_buffer = amount("1000");
        IndexUpdated { definition, at: T0 }
    };
    choices.map(with).to_vec()
}

#[test]
fn every_choice_of_a_definition_is_read_back() {
    for definition in definitions() {
        in_both(&definition);
    }
}

#[test]
fn the_state_at_every_point_of_a_life_is_read_back() {
    let world = a_life();
    let mut index: Option<Index> = None;
    for event in &world.log {
        match event {
            Event::Index(event) => crate::index::apply(&mut index, event),
            Event::Rebalance(event) => crate::index::apply_rebalance(&mut index, event),
            other => panic!("{other:?} is no event of an index"),
        }
        in_binary(index.as_ref().unwrap());
    }
    // The fold of the log is the state that was lived through.
    assert_eq!(index, world.index);
}

#[test]
fn the_state_of_a_webhook_is_read_back() {
    let mut webhook: Option<Webhook> = None;
    for event in other_events() {
        if let Event::Webhook(event) = event {
            crate::webhook::apply(&mut webhook, &event);
            in_both(webhook.as_ref().unwrap());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let config = bincode::config::standard().with_limit::<4_096>();
        let _ = bincode::serde::decode_from_slice::<Index, _>(&bytes, config);
        let _ = bincode::serde::decode_from_slice::<Webhook, _>(&bytes, config);
        let _ = bincode::serde::decode_from_slice::<PricesRecorded, _>(&bytes, config);
    }
}
