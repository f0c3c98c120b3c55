//! One history: what its seed has people, markets, venues and machines do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::index::{Funds, Index, IndexEvent, Method};
use evenkeel_domain::market::{RecordPrices, Source};
use evenkeel_domain::rebalance::phase::Phase;
use evenkeel_domain::rebalance::{OrderOutcome, Reason, RebalanceEvent, client_order_id};
use evenkeel_domain::trading::{SwitchReason, TradingMode};
use evenkeel_domain::values::{Amount, Asset, IndexId, Percent, Price, Quantity};

use super::weather::{Dice, Storm};
use crate::Engine;
use crate::books::{Books, Until};
use crate::engine::Caller;
use crate::ports::VenueAccount;
use crate::testing::{amount, asset, halves, owner, time_passes};
use crate::tests::faults::stage::Stage;
use crate::tests::faults::truth::{Reuse, hold, holding};

/// Most cycles until everything is at rest, once the weather is calm: an order that nobody knows
/// the fate of is asked for in each, and each round of a rebalance may need a few.
const CYCLES_MAX: usize = 200;

/// What happened in histories.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::tests::faults) struct Lived {
    rebalances: u64,
    failed: u64,
    cancelled: u64,
    stuck: u64,
    replanned: u64,
    trades: u64,
    partial: u64,
    crashes: u64,
    corrections: u64,
}

impl Lived {
    pub(super) fn add(&mut self, other: &Self) {
        self.rebalances += other.rebalances;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.stuck += other.stuck;
        self.replanned += other.replanned;
        self.trades += other.trades;
        self.partial += other.partial;
        self.crashes += other.crashes;
        self.corrections += other.corrections;
    }

    /// Whether everything that can happen has happened often.
    pub(super) fn is_rich(&self) -> bool {
        let rare = [
            self.failed,
            self.cancelled,
            self.stuck,
            self.replanned,
            self.partial,
            self.crashes,
            self.corrections,
        ];
        rare.into_iter().all(|times| times >= 50) && self.trades >= 5_000
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Rebalance(event) => match event {
                RebalanceEvent::Started(_) => self.rebalances += 1,
                RebalanceEvent::Failed(_) => self.failed += 1,
                RebalanceEvent::Cancelled(_) => self.cancelled += 1,
                RebalanceEvent::Stuck(_) => self.stuck += 1,
                RebalanceEvent::Replanned(_) => self.replanned += 1,
                RebalanceEvent::TradeExecuted(trade) => {
                    self.trades += 1;
                    self.partial += u64::from(trade.quantity < trade.ordered);
                }
                _ => {}
            },
            Event::Index(IndexEvent::Reconciled(_)) => self.corrections += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rebalances ({} failed, {} cancelled, {} times stuck, {} plans anew), {} trades \
             ({} in part), {} crashes, {} corrections",
            self.rebalances,
            self.failed,
            self.cancelled,
            self.stuck,
            self.replanned,
            self.trades,
            self.partial,
            self.crashes,
            self.corrections
        )
    }
}

/// A history under way.
pub(super) struct History {
    dice: Dice,
    stage: Stage,
    caller: Caller,
    indexes: Vec<IndexId>,
    cents: [u64; 2],
    lived: Lived,
}

impl History {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let percent = dice.roll(4) * 8;
        let reuse = match dice.roll(2) {
            0 => Reuse::Never,
            _ => Reuse::WhenClosed,
        };
        let fee: Percent = ["0", "0.1", "1"][usize::try_from(dice.roll(3)).unwrap()]
            .parse()
            .unwrap();
        Self {
            stage: Stage::new(Arc::new(Storm { seed, percent }), reuse, fee),
            dice,
            caller: owner(1),
            indexes: Vec::new(),
            cents: [10_000; 2],
            lived: Lived::default(),
        }
    }

    pub(super) async fn live(mut self) -> Lived {
        let mut engine = self.stage.engine().await;
        self.push(&engine).await;
        for _ in 0..=self.dice.roll(3) {
            self.create(&engine).await;
        }
        for _ in 0..8 + self.dice.roll(12) {
            if self.dice.roll(8) == 0 {
                engine.kill().await;
                engine = self.stage.engine().await;
                self.lived.crashes += 1;
            } else {
                self.happen(&engine).await;
            }
            let passes = [0, 20, 300, 5_000, 70_000];
            let passes = passes[usize::try_from(self.dice.roll(5)).unwrap()];
            let passes = self.dice.roll(passes + 1);
            time_passes(Duration::from_millis(passes)).await;
        }
        self.come_to_rest(&engine).await;
        self.check(&engine).await;
        engine.stop().await;
        self.lived
    }

    async fn create(&mut self, engine: &Engine) {
        let method = [Method::Drift, Method::Daily, Method::Hybrid];
        let mut definition = halves(method[usize::try_from(self.dice.roll(3)).unwrap()]);
        definition.risk.max_slippage = Percent::HUNDRED;
        let created = engine.create_index(&self.caller, definition).await;
        let id = created.unwrap().index.index_id;
        self.indexes.push(id);
        let cash = Funds::Cash(Amount::new(
            self.dice.roll(20_000).saturating_add(100).into(),
        ));
        engine.deposit(&self.caller, id, cash, true).await.unwrap();
    }

    fn some_index(&mut self) -> IndexId {
        let at = self.dice.roll(u64::try_from(self.indexes.len()).unwrap());
        self.indexes[usize::try_from(at).unwrap()]
    }

    /// What happens next. A refusal is as good an answer as any: a rebalance runs, trading is
    /// halted, the actor is being restarted.
    async fn happen(&mut self, engine: &Engine) {
        let (id, caller) = (self.some_index(), self.caller.clone());
        match self.dice.roll(16) {
            0..4 => self.push(engine).await,
            4..8 => drop(engine.run_job(&caller, "drift-monitor", false).await),
            8 => {
                let cash = Funds::Cash(amount("500"));
                drop(engine.deposit(&caller, id, cash, true).await);
            }
            9 => {
                let cash = Funds::Cash(amount("1.5"));
                drop(engine.withdraw(&caller, id, cash).await);
            }
            10 => drop(engine.rebalance(&caller, id, false, true).await),
            11 => {
                let mode = self.mode();
                let set = engine.set_trading(&caller, mode, SwitchReason::default());
                set.await.unwrap();
            }
            12 => {
                let mode = self.mode();
                let set = engine.set_index_trading(&caller, id, mode, SwitchReason::default());
                drop(set.await);
            }
            13 => self.cancel(engine, id).await,
            14 => self.resolve(engine, id).await,
            _ => self.trade_by_hand(id),
        }
    }

    fn mode(&mut self) -> TradingMode {
        match self.dice.roll(4) {
            0 => TradingMode::Halted,
            1 => TradingMode::Reducing,
            _ => TradingMode::Active,
        }
    }

    async fn push(&mut self, engine: &Engine) {
        for cents in &mut self.cents {
            *cents = *cents * (70 + self.dice.roll(70)) / 100 + 1;
        }
        let priced = |symbol: &str, cents: u64| -> (Asset, Price) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            (asset(symbol), text.parse().unwrap())
        };
        let command = RecordPrices {
            source: Source::Push,
            at: engine.prices().as_of,
            prices: vec![priced("A", self.cents[0]), priced("B", self.cents[1])],
            confirm: true,
        };
        engine.push_prices(&self.caller, command).await.unwrap();
    }

    async fn index(&self, engine: &Engine, id: IndexId) -> Option<Index> {
        let view = engine.index(&self.caller, id).await;
        view.ok().map(|view| view.index)
    }

    async fn cancel(&self, engine: &Engine, id: IndexId) {
        let index = self.index(engine, id).await;
        if let Some(running) = index.and_then(|index| index.rebalance) {
            let reason = Reason::optional("enough").unwrap();
            let cancel = engine.cancel_rebalance(&self.caller, id, running.rebalance_id, reason);
            drop(cancel.await);
        }
    }

    /// An operator looks an order up in the venue's own books.
    async fn resolve(&self, engine: &Engine, id: IndexId) {
        let index = self.index(engine, id).await;
        let Some(running) = index.and_then(|index| index.rebalance) else {
            return;
        };
        let Some(order) = running.open.filter(|_| running.phase == Phase::Stuck) else {
            return;
        };
        let client_id = client_order_id(running.rebalance_id, order.step);
        let known = self.stage.truth.orders().remove(&client_id);
        let outcome = match known {
            Some(known) if !known.closed => return,
            Some(known) => known.filled.map(OrderOutcome::Filled),
            None => None,
        };
        let unfilled = || OrderOutcome::Refused(Reason::optional("not there").unwrap());
        let outcome = outcome.unwrap_or_else(unfilled);
        let (caller, id, rebalance_id) = (&self.caller, id, running.rebalance_id);
        let resolve = engine.resolve_rebalance(caller, id, rebalance_id, order.step, outcome);
        drop(resolve.await);
    }

    /// Somebody sells half of A for 50 at the venue itself.
    fn trade_by_hand(&self, id: IndexId) {
        self.stage.truth.by_hand(VenueAccount(id), |balances| {
            let held = holding(balances, asset("A"));
            let half = held.value_at("0.5".parse().unwrap()).unwrap();
            let half = Quantity::new(half.get());
            let half = half.floor_to(Quantity::FINEST).unwrap();
            hold(balances, asset("A"), held.sub(half).unwrap());
            balances.cash = balances.cash.add(amount("50")).unwrap();
        });
    }

    /// Calm weather, open switches, and cycles until nothing runs any more.
    async fn come_to_rest(&self, engine: &Engine) {
        let calm = Storm {
            seed: 0,
            percent: 0,
        };
        self.stage.truth.set_weather(Arc::new(calm));
        let (caller, active) = (&self.caller, TradingMode::Active);
        let lift = engine.set_trading(caller, active, SwitchReason::default());
        lift.await.unwrap();
        for id in &self.indexes {
            let lift = engine.set_index_trading(caller, *id, active, SwitchReason::default());
            drop(lift.await);
        }
        for _ in 0..CYCLES_MAX {
            time_passes(Duration::from_mins(2)).await;
            drop(engine.run_job(caller, "drift-monitor", true).await);
            if self.is_at_rest(engine).await {
                let reconciled = engine.run_job(caller, "reconciliation", true).await;
                reconciled.unwrap();
                return;
            }
        }
        panic!("something still runs after {CYCLES_MAX} cycles in calm weather");
    }

    async fn is_at_rest(&self, engine: &Engine) -> bool {
        for id in &self.indexes {
            let index = self.index(engine, *id).await;
            let rests =
                index.is_some_and(|index| index.rebalance.is_none() && index.transfers.is_empty());
            if !rests {
                return false;
            }
        }
        true
    }

    async fn check(&mut self, engine: &Engine) {
        let books = Books::replay(&*self.stage.world.log, Until::Head).await;
        let books = books.unwrap();
        for id in &self.indexes {
            self.stage.agrees(engine, &self.caller, *id).await;
            let live = self.index(engine, *id).await;
            assert_eq!(
                live.as_ref(),
                books.indexes.get(id),
                "the log tells it again"
            );
            let live = live.unwrap();
            assert!(live.cash >= Amount::ZERO);
            // Legal ones only, or it panics.
            let transitions = self.stage.transitions(*id).await;
            assert!(!transitions.is_empty(), "it was constructed");
            for event in self.stage.events(*id).await {
                self.lived.count(&event);
            }
        }
    }
}
