//! The harness of the domain's tests: short builders, and given / when / then over an index.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use crate::check::{self, Finding};
use crate::drift::Slots;
use crate::event::Event;
use crate::index::{
    self, Account, Constituent, Definition, Description, Funds, Holding, Index, IndexCommand,
    IndexEvent, IndexRefusal, Name, Rebalancing, Risk,
};
use crate::market::{PriceProblem, PriceSnapshot};
use crate::plan::{self, InstrumentRules, Limits, Side, TradePlan};
use crate::rebalance::{
    self, Conditions, Effect, Fill, Order, OrderOutcome, RebalanceEvent, RebalanceRefusal,
    RebalanceStarted, Trigger,
};
use crate::trading::TradingMode;
use crate::values::{
    Amount, Asset, IndexId, OwnerId, Percent, Price, Quantity, RebalanceId, Span, Timestamp,
    TransferId,
};

pub const T0: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub fn hours(hours: u64) -> Timestamp {
    T0.plus(Span::from_hours(hours))
}

pub fn asset(symbol: &str) -> Asset {
    symbol.parse().unwrap()
}

pub fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}

/// A definition with the given targets; the rest of 100 is cash.
pub fn definition(targets: &[(&str, &str)]) -> Definition {
    let constituents: Vec<_> = targets
        .iter()
        .map(|(symbol, target)| Constituent::new(asset(symbol), percent(target)))
        .collect();
    let invested = constituents
        .iter()
        .fold(Percent::ZERO, |sum, c| sum.add(c.target).unwrap());
    Definition {
        name: Name::required("Two assets").unwrap(),
        description: Description::default(),
        constituents: constituents.into(),
        cash_percentage: Percent::HUNDRED.sub(invested).unwrap(),
        rebalancing: Rebalancing::default(),
        risk: Risk::default(),
        account: Account::required("paper").unwrap(),
        tags: Vec::new(),
    }
}

/// A venue without costs and with the finest lots.
pub fn free(_: Asset) -> InstrumentRules {
    InstrumentRules::NONE
}

pub fn snapshot(seq: u64, prices: &[(&str, &str)]) -> PriceSnapshot {
    let entries = prices.iter().map(|(symbol, text)| {
        let found = match *text {
            "missing" => Err(PriceProblem::Missing),
            "stale" => Err(PriceProblem::Stale),
            "jump" => Err(PriceProblem::Jump),
            number => Ok(price(number)),
        };
        (asset(symbol), found)
    });
    PriceSnapshot::new(seq, 1, entries.collect())
}

/// An index and the world around it.
pub struct World {
    pub index: Option<Index>,
    pub prices: PriceSnapshot,
    pub rules: Box<dyn Fn(Asset) -> InstrumentRules>,
    pub now: Timestamp,
    pub log: Vec<Event>,
    pub slots: Slots,
    pub mode: TradingMode,
    pub approval_until: Option<Timestamp>,
    ids: u128,
}

/// A created index without funds.
#[track_caller]
pub fn given(definition: Definition) -> World {
    let mut world = World {
        index: None,
        prices: PriceSnapshot::default(),
        rules: Box::new(free),
        now: T0,
        log: Vec::new(),
        slots: Slots::default(),
        mode: TradingMode::Active,
        approval_until: None,
        ids: 0,
    };
    world.when(IndexCommand::Create {
        index_id: IndexId::from_u128(1),
        owner: OwnerId::from_u128(2),
        definition,
    });
    world
}

impl World {
    pub fn rules(mut self, rules: impl Fn(Asset) -> InstrumentRules + 'static) -> Self {
        self.rules = Box::new(rules);
        self
    }

    pub fn cash(mut self, text: &str) -> Self {
        self.deposit_unsettled(Funds::Cash(amount(text)), true);
        self.settle();
        self
    }

    pub fn holding(mut self, symbol: &str, text: &str) -> Self {
        self.deposit_unsettled(Funds::Asset(asset(symbol), quantity(text)), false);
        self.settle();
        self
    }

    pub fn prices(mut self, seq: u64, prices: &[(&str, &str)]) -> Self {
        self.prices = snapshot(seq, prices);
        self
    }

    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub fn next_id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    #[track_caller]
    pub fn deposit_unsettled(&mut self, funds: Funds, invest: bool) -> TransferId {
        let transfer_id = TransferId::from_u128(self.next_id());
        self.when(IndexCommand::Deposit {
            transfer_id,
            funds,
            invest,
        });
        transfer_id
    }

    #[track_caller]
    pub fn settle(&mut self) {
        for transfer in self.state().transfers.clone() {
            let transfer_id = transfer.transfer_id;
            self.when(IndexCommand::SettleTransfer { transfer_id });
        }
    }

    pub fn try_command(&self, command: IndexCommand) -> Result<Vec<IndexEvent>, IndexRefusal> {
        index::decide(self.index.as_ref(), command, self.now)
    }

    #[track_caller]
    pub fn when(&mut self, command: IndexCommand) -> Vec<IndexEvent> {
        let events = self.try_command(command).expect("the command is accepted");
        self.adopt(&events);
        events
    }

    #[track_caller]
    pub fn then_refused(&self, command: IndexCommand, refusal: &IndexRefusal) {
        assert_eq!(self.try_command(command).as_ref(), Err(refusal));
    }

    pub fn adopt(&mut self, events: &[IndexEvent]) {
        for event in events {
            index::apply(&mut self.index, event);
            self.log.push(Event::Index(event.clone()));
        }
    }

    pub fn adopt_rebalance(&mut self, events: &[RebalanceEvent]) {
        for event in events {
            index::apply_rebalance(&mut self.index, event);
            self.log.push(Event::Rebalance(event.clone()));
        }
    }

    #[track_caller]
    pub fn state(&self) -> &Index {
        self.index.as_ref().expect("the index exists")
    }

    /// A drift check whose events are adopted.
    #[track_caller]
    pub fn check(&mut self) -> Finding {
        let index = self.index.as_ref().expect("the index exists");
        let finding = check::check(index, &self.prices, &mut self.slots, &*self.rules, self.now);
        self.adopt(&finding.events.clone());
        finding
    }

    #[track_caller]
    pub fn plan(&self) -> TradePlan {
        plan::plan(self.state(), &self.prices, &*self.rules).expect("the index can be planned")
    }

    #[track_caller]
    pub fn start(&mut self, trigger: Trigger) -> Vec<RebalanceEvent> {
        let headline =
            crate::drift::headline(self.state(), &self.prices, &mut Slots::default()).unwrap();
        let rebalance_id = RebalanceId::from_u128(self.next_id());
        let prices = self.prices.entries().iter();
        let started = RebalanceStarted {
            rebalance_id,
            trigger,
            drift_before: headline.drift,
            total_value: headline.total_value,
            plan: self.plan(),
            prices: prices
                .filter_map(|(a, p)| p.ok().map(|p| (*a, p)))
                .collect(),
            approval_until: self.approval_until,
            at: self.now,
        };
        let events =
            rebalance::start(self.state(), started, &self.conditions()).expect("it starts");
        self.adopt_rebalance(&events);
        events
    }

    #[track_caller]
    pub fn open(&self) -> Order {
        let rebalance = self.state().rebalance.as_ref().expect("it runs");
        rebalance.open.expect("an order is open")
    }

    pub fn try_report(
        &self,
        step: u32,
        outcome: OrderOutcome,
    ) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
        rebalance::report(self.state(), step, outcome, &self.conditions())
    }

    pub fn conditions(&self) -> Conditions<'_> {
        Conditions {
            rules: &*self.rules,
            mode: self.mode,
            now: self.now,
        }
    }

    /// The same at another time.
    pub fn at_conditions(&self, now: Timestamp) -> Conditions<'_> {
        Conditions {
            now,
            ..self.conditions()
        }
    }

    pub fn reconciles(&self) -> bool {
        let rebalance = self.state().rebalance.as_deref();
        rebalance.is_some_and(|r| rebalance::react(r) == Effect::Reconcile)
    }

    /// The venue holds what the books say: the round ends.
    #[track_caller]
    pub fn settle_round(&mut self) -> Vec<RebalanceEvent> {
        let index = self.state();
        let held = Some((index.cash, index.holdings.as_slice()));
        self.settle_round_with(held.map(|(cash, holdings)| (cash, holdings.to_vec())))
            .into_iter()
            .map(|event| match event {
                Event::Rebalance(event) => event,
                other => panic!("{other:?}: the venue holds what the books say"),
            })
            .collect()
    }

    /// The round ends, and the venue holds this.
    #[track_caller]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "callers build what the venue holds"
    )]
    pub fn settle_round_with(&mut self, held: Option<(Amount, Vec<Holding>)>) -> Vec<Event> {
        let held = held
            .as_ref()
            .map(|(cash, holdings)| (*cash, holdings.as_slice()));
        let settled = rebalance::settle(self.state(), held, &self.prices, &self.conditions());
        let events = settled.expect("no order is open");
        for event in &events {
            match event {
                Event::Rebalance(event) => index::apply_rebalance(&mut self.index, event),
                Event::Index(event) => index::apply(&mut self.index, event),
                other => panic!("{other:?} is no event of an index"),
            }
        }
        self.log.extend(events.iter().cloned());
        events
    }

    #[track_caller]
    pub fn report(&mut self, outcome: OrderOutcome) -> Vec<RebalanceEvent> {
        let step = self.open().step;
        let events = self.try_report(step, outcome).expect("the report fits");
        self.adopt_rebalance(&events);
        events
    }

    /// The fill that the rules lead one to expect: slippage against the trader, fee in cash.
    pub fn expected_fill(&self, order: &Order) -> Fill {
        let rules = (self.rules)(order.asset);
        let limits = Limits::new(rules, &self.state().definition.risk);
        let price = limits.expected(order.side, order.price).unwrap();
        let notional = order.quantity.value_at(price).unwrap();
        Fill {
            quantity: order.quantity,
            price,
            notional,
            fee: notional.percent(rules.fee).unwrap(),
            base_fee: Quantity::ZERO,
        }
    }

    /// Fills every order as expected until the rebalance has ended.
    #[track_caller]
    pub fn fill_all(&mut self) {
        while self.state().rebalance.is_some() {
            if self.reconciles() {
                self.settle_round();
                continue;
            }
            let order = self.open();
            let fill = self.expected_fill(&order);
            self.report(OrderOutcome::Filled(fill));
        }
    }

    /// A whole rebalance, filled as expected.
    #[track_caller]
    pub fn rebalance(&mut self) {
        self.start(Trigger::Manual);
        self.fill_all();
    }
}

/// A whole fill with slippage against the trader.
pub fn fill(order: &Order, slippage: Percent, fee: Percent) -> Fill {
    let step = order.price.get() * slippage.get() / rust_decimal::Decimal::ONE_HUNDRED;
    let at = match order.side {
        Side::Buy => order.price.get() + step,
        Side::Sell => order.price.get() - step,
    };
    let notional = order.quantity.value_at(Price::new(at)).unwrap();
    Fill {
        quantity: order.quantity,
        price: Price::new(at),
        notional,
        fee: notional.percent(fee).unwrap(),
        base_fee: Quantity::ZERO,
    }
}
