//! A world whose venue and log can be struck, and what must hold in it in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_domain::Event;
use evenkeel_domain::index::IndexEvent;
use evenkeel_domain::rebalance::phase::{self, Phase, Step};
use evenkeel_domain::rebalance::{Fill, RebalanceEvent, client_order_id};
use evenkeel_domain::values::{IndexId, Percent};
use evenkeel_events::Direction;

use super::probe::{Probe, ProbedLog};
use super::truth::{Reuse, Truth, Weather};
use crate::Engine;
use crate::engine::Caller;
use crate::journal;
use crate::ports::VenueAccount;
use crate::streams;
use crate::testing::World;

/// A world, its venue and its probe.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) truth: Arc<Truth>,
    pub(super) probe: Arc<Probe>,
}

impl Stage {
    pub(super) fn new(weather: Arc<dyn Weather>, reuse: Reuse, fee: Percent) -> Self {
        let log = ProbedLog::default();
        let probe = Arc::clone(&log.probe);
        let mut world = World::new();
        world.log = Arc::new(log);
        Self {
            world,
            truth: Arc::new(Truth::new(Arc::clone(&probe), weather, reuse, fee)),
            probe,
        }
    }

    pub(super) async fn engine(&self) -> Engine {
        self.world.engine_at(self.truth.clone()).await
    }

    /// All events of an index.
    pub(super) async fn events(&self, id: IndexId) -> Vec<Event> {
        let stream = streams::index(id);
        let (log, mut events, mut after) = (&self.world.log, Vec::new(), 0);
        loop {
            let page = log.read_stream(&stream, after, 512, Direction::Forward);
            let page = page.await.unwrap();
            let Some(last) = page.last() else {
                return events;
            };
            after = last.version;
            events.extend(
                page.iter()
                    .map(|recorded| journal::decode(recorded).unwrap()),
            );
        }
    }

    /// What must hold when an index is at rest, whatever struck on the way.
    pub(super) async fn agrees(&self, engine: &Engine, caller: &Caller, id: IndexId) {
        let index = engine.index(caller, id).await.unwrap().index;
        let truth = self.truth.held(VenueAccount(id));
        let held = index.holdings.iter().map(|h| (h.asset, h.quantity));
        assert_eq!(
            (index.cash, held.collect()),
            (truth.cash, truth.holdings),
            "the books and the venue hold the same"
        );
        let mut logged: BTreeMap<String, Fill> = BTreeMap::new();
        for event in self.events(id).await {
            let Event::Rebalance(RebalanceEvent::TradeExecuted(trade)) = event else {
                continue;
            };
            let fill = Fill {
                quantity: trade.quantity,
                price: trade.price,
                notional: trade.notional,
                fee: trade.fee,
                base_fee: trade.base_fee,
            };
            let twice = logged.insert(client_order_id(trade.rebalance_id, trade.step), fill);
            assert_eq!(twice, None, "an order is booked once");
        }
        let mut filled: BTreeMap<String, Fill> = BTreeMap::new();
        for (client_order_id, order) in self.truth.orders() {
            if order.account == VenueAccount(id) {
                assert_eq!(order.acted, 1, "{client_order_id} was acted on once");
                filled.extend(order.filled.map(|fill| (client_order_id, fill)));
            }
        }
        assert_eq!(logged, filled, "the log has exactly the venue's fills");
    }

    /// Every transition that the rebalances of an index went through; all of them legal.
    pub(super) async fn transitions(&self, id: IndexId) -> Vec<(Phase, Step)> {
        let (mut phase, mut steps) = (None, Vec::new());
        for event in self.events(id).await {
            let Event::Rebalance(event) = event else {
                continue;
            };
            match (&event, Step::of(&event), phase) {
                (RebalanceEvent::Started(started), _, _) => {
                    phase = Some(match started.approval_until {
                        Some(_) => Phase::Planned,
                        None => Phase::Reconciling,
                    });
                }
                (_, Some(step), Some(from)) => {
                    steps.push((from, step));
                    phase = Some(phase::next(from, step).unwrap());
                }
                (event, ..) => panic!("{event:?} before a start"),
            }
        }
        steps
    }

    /// Whether the log has an event of the index that passes.
    pub(super) async fn has(&self, id: IndexId, wanted: fn(&IndexEvent) -> bool) -> bool {
        let events = self.events(id).await;
        events
            .iter()
            .any(|event| matches!(event, Event::Index(event) if wanted(event)))
    }
}
