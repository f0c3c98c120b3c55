//! Units, buy and hold, and the figures, against numbers that can be checked by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::index::{Funds, IndexCommand};
use crate::market::{PricesRecorded, Source};
use crate::rebalance::Trigger;
use crate::testing::*;
use crate::values::TransferId;

fn prices(of: &[(&str, &str)]) -> Event {
    Event::Market(MarketEvent::PricesRecorded(PricesRecorded {
        source: Source::Push,
        at: T0,
        prices: of.iter().map(|(a, p)| (asset(a), price(p))).collect(),
    }))
}

/// A world beside its track: what the index does is taken in with its time.
struct Watched {
    world: World,
    track: Track,
    seen: usize,
    day: u64,
}

impl Watched {
    fn new() -> Self {
        let world = given(definition(&[("AAA", "50"), ("BBB", "50")]));
        Self {
            world,
            track: Track::default(),
            seen: 0,
            day: 0,
        }
    }

    fn now(&self) -> Timestamp {
        hours(24 * self.day)
    }

    fn take_in(&mut self) {
        for event in &self.world.log[self.seen..] {
            self.track.adopt(event, hours(24 * self.day));
        }
        self.seen = self.world.log.len();
    }

    fn day(mut self, day: u64, a: &str, b: &str) -> Self {
        self.day = day;
        self.take_in();
        self.track
            .adopt(&prices(&[("AAA", a), ("BBB", b)]), self.now());
        let quotes = [("AAA", a), ("BBB", b)];
        self.world = self.world.prices(day + 1, &quotes);
        self
    }

    fn rebalanced(mut self) -> Self {
        self.world.start(Trigger::Manual);
        self.world.fill_all();
        self.take_in();
        self
    }

    fn moved(mut self, cash: &str, incoming: bool) -> Self {
        let (transfer_id, funds) = (TransferId::from_u128(90), Funds::Cash(amount(cash)));
        self.world.when(if incoming {
            let invest = true;
            IndexCommand::Deposit {
                transfer_id,
                funds,
                invest,
            }
        } else {
            IndexCommand::Withdraw { transfer_id, funds }
        });
        self.world.settle();
        self.take_in();
        self
    }

    fn points(self) -> Vec<Point> {
        self.track.points()
    }
}

fn units(points: &[Point]) -> Vec<(String, String, String)> {
    let told = |point: &Point| {
        let Point {
            value,
            unit,
            buy_and_hold,
            ..
        } = point;
        (
            value.to_string(),
            unit.to_string(),
            buy_and_hold.to_string(),
        )
    };
    points.iter().map(told).collect()
}

fn told(value: &str, unit: &str, held: &str) -> (String, String, String) {
    (value.to_owned(), unit.to_owned(), held.to_owned())
}

#[test]
fn deposits_and_withdrawals_are_no_gains() {
    let points = Watched::new()
        .day(0, "100", "100")
        .moved("1000", true)
        .rebalanced()
        .day(1, "110", "110")
        .moved("1100", true)
        .day(2, "121", "121")
        .moved("1100", false)
        .points();
    assert_eq!(
        units(&points),
        [
            told("1000", "100", "100"),
            told("2200", "110", "110"),
            // Half of it lay as cash for a day.
            told("1210", "115.5", "121"),
        ]
    );
}

#[test]
fn rebalancing_and_holding_part_where_prices_part() {
    // A doubles and falls back, B stands still: who rebalanced at the top keeps a part of it.
    let points = Watched::new()
        .day(0, "100", "100")
        .moved("1000", true)
        .rebalanced()
        .day(1, "200", "100")
        .rebalanced()
        .day(2, "100", "100")
        .points();
    assert_eq!(
        units(&points),
        [
            told("1000", "100", "100"),
            told("1500", "150", "150"),
            told("1125", "112.5", "100"),
        ]
    );
}

#[test]
fn what_gets_its_first_price_was_not_earned() {
    let mut watched = Watched::new();
    let (transfer_id, funds) = (
        TransferId::from_u128(1),
        Funds::Asset(asset("AAA"), quantity("10")),
    );
    watched.world.when(IndexCommand::Deposit {
        transfer_id,
        funds,
        invest: false,
    });
    let points = watched.day(0, "50", "1").day(1, "55", "1").points();
    let value = |at: usize| points[at].value.to_string();
    assert_eq!((value(0), value(1)), ("500".to_owned(), "550".to_owned()));
    assert_eq!(points[1].unit, amount("110"));
}

fn series(units: &[&str]) -> Vec<Point> {
    let point = |(day, unit): (usize, &&str)| Point {
        at: hours(24 * day as u64),
        value: amount("1"),
        unit: amount(unit),
        buy_and_hold: amount("100"),
    };
    units.iter().enumerate().map(point).collect()
}

#[test]
fn figures_are_those_of_a_calculator() {
    let points = series(&["100", "110", "99", "108.9"]);
    let summary = summary(&points, Percent::ZERO);
    let over = |days: Option<u64>| {
        let found = summary.returns.iter().find(|it| it.days == days).unwrap();
        found.index.map(|gain| gain.to_string())
    };
    assert_eq!(over(Some(1)).as_deref(), Some("10"));
    assert_eq!(over(Some(7)), None);
    assert_eq!(over(None).as_deref(), Some("8.9"));
    let drawdown = summary.max_drawdown.unwrap();
    assert_eq!(drawdown.depth, percent("10"));
    assert_eq!(
        (drawdown.peak_at, drawdown.trough_at),
        (hours(24), hours(48))
    );
    // Gains 0.1, −0.1, 0.1: mean 1/30, deviation 0.115470, 365.25 of them a year.
    let volatility: f64 = summary.volatility.unwrap().to_string().parse().unwrap();
    assert!(
        (volatility - 11.547_005 * 365.25_f64.sqrt()).abs() < 0.001,
        "{volatility}"
    );
    let sharpe: f64 = summary.sharpe.unwrap().to_string().parse().unwrap();
    assert!(
        (sharpe - 365.25 / 30.0 / (volatility / 100.0)).abs() < 0.001,
        "{sharpe}"
    );
    assert_eq!(summary.annualised, None);
}

#[test]
fn a_year_and_more_has_a_yearly_return() {
    let mut points = series(&["100", "121"]);
    points[1].at = hours(2 * 8_766);
    let yearly = summary(&points, Percent::ZERO).annualised.unwrap();
    assert_eq!(yearly, percent("10"));
}

#[test]
fn nothing_has_no_figures() {
    let none = summary(&[], Percent::ZERO);
    assert_eq!((none.returns.len(), none.max_drawdown), (0, None));
    let one = summary(&series(&["100"]), Percent::ZERO);
    assert_eq!((one.volatility, one.sharpe), (None, None));
    assert_eq!(one.max_drawdown.unwrap().depth, Percent::ZERO);
}
