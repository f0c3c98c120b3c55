//! The rules' trades and values, held against those of another program: bt, a Python package.
//!
//! ```text
//! daily prices ─► check ─► plan ─► fills at the plan's prices, with fee ─► holdings ─► NAV
//!        └──────► bt_oracle.py ─► tests/oracle/{cases.json, trades/*.csv} ─────► the same?
//! ```
//!
//! What was asked of bt, and what its sizes with a fee have to do with ours, is in
//! `tests/oracle/README.md`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use evenkeel_domain::check::{self, Verdict};
use evenkeel_domain::drift::{self, Slots};
use evenkeel_domain::index::{self, Definition, Funds, Holding, Index, IndexCommand};
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::plan::{self, InstrumentRules, PlannedOrder, Side};
use evenkeel_domain::rebalance::Trigger;
use evenkeel_domain::values::{
    Amount, Asset, IndexId, OwnerId, Percent, Price, Quantity, Span, Timestamp, TransferId,
};
use flate2::bufread::GzDecoder;
use rust_decimal::Decimal;
use serde_json::{Value, json};

const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle");
const PRICES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/data/sp500_daily_1990_2022.csv.gz"
);

/// Numbers may differ by this part of themselves: a double has 16 digits, a history of a
/// thousand trades keeps at least nine of them.
const WITHIN: Decimal = Decimal::from_parts(1, 0, 0, false, 9);

/// The first trading day is day one.
const T0: Timestamp = Timestamp::from_micros(1_200_000_000_000_000);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Absolute,
    Relative,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sizing {
    /// As the plan says: sells bring targets, buys share what the sells brought.
    Ours,
    /// With a fee bt sells more, so that the fee is paid too.
    Bts,
}

/// One history: what bt was asked.
struct Case {
    name: String,
    measure: Measure,
    threshold: Percent,
    fee: Percent,
    sizing: Sizing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Trade {
    date: String,
    asset: String,
    /// Negative for a sell.
    quantity: Decimal,
    price: Decimal,
}

/// What a history came to.
struct Outcome {
    rebalances: u64,
    /// By date, then by asset.
    trades: Vec<Trade>,
    nav: Decimal,
}

struct Day {
    date: String,
    prices: BTreeMap<Asset, Price>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn golden() -> Value {
    let file = File::open(format!("{ORACLE}/cases.json")).unwrap();
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

fn case(value: &Value) -> Case {
    Case {
        name: text(&value["name"]).to_owned(),
        measure: match text(&value["measure"]) {
            "absolute" => Measure::Absolute,
            "relative" => Measure::Relative,
            other => panic!("{other}"),
        },
        threshold: text(&value["threshold"]).parse().unwrap(),
        fee: text(&value["feePercent"]).parse().unwrap(),
        sizing: match text(&value["sizing"]) {
            "sell-then-spend" => Sizing::Ours,
            "bt" => Sizing::Bts,
            other => panic!("{other}"),
        },
    }
}

/// What bt found.
fn theirs(value: &Value) -> Outcome {
    let path = format!("{ORACLE}/trades/{}.csv", text(&value["name"]));
    let mut table = csv::Reader::from_path(path).unwrap();
    let trades = table.records().map(|record| {
        let record = record.unwrap();
        Trade {
            date: record[0].to_owned(),
            asset: record[1].to_owned(),
            quantity: record[2].parse().unwrap(),
            price: record[3].parse().unwrap(),
        }
    });
    Outcome {
        rebalances: value["rebalances"].as_u64().unwrap(),
        trades: trades.collect(),
        nav: text(&value["nav"]).parse().unwrap(),
    }
}

/// The trading days from the first to the last, with the prices of the assets that have a target.
fn days(golden: &Value) -> Vec<Day> {
    let file = BufReader::new(File::open(PRICES).unwrap());
    let mut table = csv::Reader::from_reader(GzDecoder::new(file));
    let header = table.headers().unwrap().clone();
    let targets = golden["targets"].as_object().unwrap();
    let (first, last) = (text(&golden["first"]), text(&golden["last"]));
    let records = table.records().map(Result::unwrap);
    let wanted = records.filter(|record| (first..=last).contains(&&record[0]));
    let day = |record: csv::StringRecord| Day {
        date: record[0].to_owned(),
        prices: header
            .iter()
            .zip(&record)
            .filter(|(name, _)| targets.contains_key(*name))
            .map(|(name, price)| (name.parse().unwrap(), price.parse().unwrap()))
            .collect(),
    };
    wanted.map(day).collect()
}

fn definition(golden: &Value, threshold: Percent) -> Definition {
    let targets = golden["targets"].as_object().unwrap().iter();
    let lines = targets.map(|(asset, share)| json!({"asset": asset, "percentage": share}));
    serde_json::from_value(json!({
        "name": "Oracle",
        "description": "",
        "constituents": lines.collect::<Vec<_>>(),
        "cashPercentage": "0",
        "rebalancing": {
            "method": "DRIFT",
            "driftThreshold": threshold.to_string(),
            "minInterval": "24h",
            "maxInterval": "24h",
        },
        "risk": {"minTradeNotional": "0", "maxTradeNotional": null, "maxSlippage": "1"},
        "account": "paper",
        "tags": [],
    }))
    .unwrap()
}

/// An index that holds the capital in cash and nothing else.
fn funded(golden: &Value, threshold: Percent) -> Index {
    let transfer_id = TransferId::from_u128(1);
    let commands = [
        IndexCommand::Create {
            index_id: IndexId::from_u128(1),
            owner: OwnerId::from_u128(1),
            definition: definition(golden, threshold),
        },
        IndexCommand::Deposit {
            transfer_id,
            funds: Funds::Cash(text(&golden["capital"]).parse().unwrap()),
            invest: false,
        },
        IndexCommand::SettleTransfer { transfer_id },
    ];
    let mut state = None;
    for command in commands {
        for event in index::decide(state.as_ref(), command, T0).unwrap() {
            index::apply(&mut state, &event);
        }
    }
    state.unwrap()
}

fn rules(fee: Percent) -> impl Fn(Asset) -> InstrumentRules {
    move |_| InstrumentRules {
        lot_step: Quantity::FINEST,
        fee,
        ..InstrumentRules::NONE
    }
}

/// Whether a rebalance is due. The rules know no relative threshold: what they measure decides.
fn is_due(case: &Case, index: &Index, prices: &PriceSnapshot, slots: &mut Slots) -> bool {
    let now = T0.plus(Span::from_hours(24 * prices.seq));
    match case.measure {
        Measure::Absolute => {
            let found = check::check(index, prices, slots, &rules(case.fee), now);
            found.verdict == Verdict::Rebalance(Trigger::Drift)
        }
        Measure::Relative => {
            let report = drift::report(index, prices).unwrap();
            let mut drifts = report.assets.iter().map(|line| line.relative_drift);
            drifts.any(|drift| drift.unwrap() > case.threshold)
        }
    }
}

/// How many times the plan's quantity bt trades. Its sells raise their surplus after the fee, where
/// the plan's sell the surplus and bring it less the fee; its buys then have that much more.
fn stretch(case: &Case, orders: &[PlannedOrder]) -> Decimal {
    let sells = orders.iter().any(|order| order.side == Side::Sell);
    if case.sizing == Sizing::Bts && sells {
        Decimal::ONE / (Decimal::ONE - case.fee.get() / Decimal::ONE_HUNDRED)
    } else {
        Decimal::ONE
    }
}

/// Books a fill at the plan's price, and the fee.
fn book(index: &mut Index, order: &PlannedOrder, quantity: Quantity, fee: Percent) {
    let notional = quantity.value_at(order.price).unwrap();
    let fee = notional.percent(fee).unwrap();
    let held = index.quantity(order.asset);
    let (held, cash) = match order.side {
        Side::Buy => (
            held.add(quantity).unwrap(),
            index.cash.sub(notional.add(fee).unwrap()).unwrap(),
        ),
        Side::Sell => (
            held.sub(quantity).unwrap(),
            index.cash.add(notional.sub(fee).unwrap()).unwrap(),
        ),
    };
    index.cash = cash;
    index
        .holdings
        .retain(|holding| holding.asset != order.asset);
    index.holdings.push(Holding {
        asset: order.asset,
        quantity: held,
    });
    index.holdings.sort_by_key(|holding| holding.asset);
}

/// Carries out a plan; gives its trades by asset.
fn carry_out(case: &Case, index: &mut Index, day: &Day, prices: &PriceSnapshot) -> Vec<Trade> {
    let orders = plan::plan(index, prices, &rules(case.fee)).unwrap().orders;
    let stretch = stretch(case, &orders);
    let mut trades = Vec::new();
    for order in &orders {
        let quantity = Quantity::new(order.quantity.get() * stretch);
        let quantity = quantity.floor_to(Quantity::FINEST).unwrap();
        book(index, order, quantity, case.fee);
        assert!(
            case.sizing == Sizing::Bts || index.cash >= Amount::ZERO,
            "{}: {} is short of cash",
            case.name,
            day.date
        );
        let signed = match order.side {
            Side::Buy => quantity.get(),
            Side::Sell => -quantity.get(),
        };
        trades.push(Trade {
            date: day.date.clone(),
            asset: order.asset.to_string(),
            quantity: signed,
            price: order.price.get(),
        });
    }
    trades.sort_by(|a, b| a.asset.cmp(&b.asset));
    trades
}

/// The same history by the rules.
fn ours(golden: &Value, case: &Case, days: &[Day]) -> Outcome {
    let (mut index, mut slots) = (funded(golden, case.threshold), Slots::default());
    let (mut rebalances, mut trades, mut nav) = (0, Vec::new(), Decimal::ZERO);
    for (seq, day) in (1..).zip(days) {
        let entries = day.prices.iter().map(|(asset, price)| (*asset, Ok(*price)));
        let prices = PriceSnapshot::new(seq, 1, entries.collect());
        if is_due(case, &index, &prices, &mut slots) {
            trades.extend(carry_out(case, &mut index, day, &prices));
            rebalances += 1;
        }
        let headline = drift::headline(&index, &prices, &mut slots).unwrap();
        nav = headline.total_value.get();
    }
    Outcome {
        rebalances,
        trades,
        nav,
    }
}

fn is_close(ours: Decimal, theirs: Decimal) -> bool {
    (ours - theirs).abs() <= theirs.abs() * WITHIN
}

/// What differs, the first of it; nothing if the outcomes are the same.
fn difference(ours: &Outcome, theirs: &Outcome) -> Option<String> {
    if ours.rebalances != theirs.rebalances {
        return Some(format!(
            "{} rebalances, bt has {}",
            ours.rebalances, theirs.rebalances
        ));
    }
    if ours.trades.len() != theirs.trades.len() {
        return Some(format!(
            "{} trades, bt has {}",
            ours.trades.len(),
            theirs.trades.len()
        ));
    }
    let is_same = |a: &Trade, b: &Trade| {
        (&a.date, &a.asset) == (&b.date, &b.asset)
            && is_close(a.quantity, b.quantity)
            && is_close(a.price, b.price)
    };
    let mut pairs = ours.trades.iter().zip(&theirs.trades);
    if let Some((a, b)) = pairs.find(|(a, b)| !is_same(a, b)) {
        return Some(format!("{a:?}, bt has {b:?}"));
    }
    (!is_close(ours.nav, theirs.nav)).then(|| format!("NAV {}, bt has {}", ours.nav, theirs.nav))
}

/// Compares all histories of a kind with bt's; gives how many there were.
fn compare(wanted: impl Fn(&Case) -> bool) -> usize {
    let golden = golden();
    let days = days(&golden);
    let mut compared = 0;
    for value in golden["cases"].as_array().unwrap() {
        let case = case(value);
        if wanted(&case) {
            let found = difference(&ours(&golden, &case, &days), &theirs(value));
            assert_eq!(found, None, "{}", case.name);
            compared += 1;
        }
    }
    compared
}

#[test]
fn without_a_fee_every_trade_and_the_value_are_bts() {
    assert_eq!(compare(|case| case.fee.is_zero()), 5);
}

#[test]
fn with_a_fee_they_are_those_of_selling_the_surplus_and_spending_what_is_there() {
    assert_eq!(compare(|case| case.sizing == Sizing::Ours), 5);
}

#[test]
fn with_a_fee_bts_own_trades_are_larger_by_the_fee_and_by_nothing_else() {
    let wanted = |case: &Case| case.sizing == Sizing::Bts && case.fee.is_positive();
    assert_eq!(compare(wanted), 5);
}

#[test]
fn a_difference_of_two_billionths_is_found() {
    let golden = golden();
    let value = &golden["cases"][0];
    let factor = Decimal::ONE + WITHIN + WITHIN;
    for (change, found) in [(0, "trades"), (1, "Trade {"), (2, "NAV"), (3, "rebalances")] {
        let (mut ours, theirs) = (theirs(value), theirs(value));
        assert_eq!(difference(&ours, &theirs), None);
        match change {
            0 => ours.trades.truncate(1),
            1 => ours.trades[7].quantity *= factor,
            2 => ours.nav *= factor,
            _ => ours.rebalances += 1,
        }
        assert!(
            difference(&ours, &theirs).unwrap().contains(found),
            "{found}"
        );
    }
}
