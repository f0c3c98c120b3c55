//! One order at the venue: sent once at most, asked for until its fate is known or a bound is
//! reached, closed when its time is over or the rebalance is called off.

use std::time::Duration;

use evenkeel_domain::rebalance::{Order, OrderOutcome, Reason, client_order_id};
use evenkeel_domain::trading::TradingMode;
use tokio::time::{Instant, timeout};

use super::{
    CALLS_MAX, RETRY_AFTER_MAX, SagaArguments, Said, Urge, VENUE_TIMEOUT, WAIT_FIRST, WAIT_MAX,
};
use crate::ports::{VenueError, VenueOrder, VenueReport};

/// What is known about whether an order reached the venue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// It did not.
    No,
    /// It may have.
    Unknown,
    /// It did, and is not closed yet.
    Open,
}

/// What one call led to.
enum Answer {
    Ended(OrderOutcome),
    /// The venue has the order, open.
    Open,
    /// No answer, or that the order is not there: what is known now, and why no more is.
    GoOn(Arrival, Reason),
    /// The venue was asked to close the order.
    Withdrawn,
    /// A switch forbids sending.
    Held(TradingMode),
}

/// An order on its way.
pub(super) struct Errand<'a> {
    saga: &'a mut SagaArguments,
    order: Order,
    client_order_id: String,
    arrival: Arrival,
    /// It is to be closed, and has been asked to.
    closing: bool,
    asked_to_close: bool,
    /// Calls without an answer, one after the other.
    failures: u32,
    wait: Duration,
    open_since: Option<Instant>,
    last: Reason,
}

impl SagaArguments {
    pub(super) fn errand(&mut self, order: Order) -> Errand<'_> {
        Errand {
            client_order_id: client_order_id(self.rebalance_id, order.step),
            saga: self,
            order,
            arrival: Arrival::No,
            closing: false,
            asked_to_close: false,
            failures: 0,
            wait: WAIT_FIRST,
            open_since: None,
            last: Reason::default(),
        }
    }
}

impl Errand<'_> {
    /// Sends an order that was certainly never sent.
    pub(super) async fn send(self) -> Said {
        self.carry_out().await
    }

    /// Finds out about an order that may have been sent; sends it when it never arrived.
    pub(super) async fn resolve(mut self) -> Said {
        self.arrival = Arrival::Unknown;
        self.carry_out().await
    }

    /// Has an order closed that may have been sent; never sends it.
    pub(super) async fn withdraw(mut self) -> Said {
        self.arrival = Arrival::Unknown;
        self.closing = true;
        self.carry_out().await
    }

    async fn carry_out(mut self) -> Said {
        let in_flight = std::sync::Arc::clone(&self.saga.in_flight);
        // Never closed; without a place the order would only be one too many for the venue.
        let mut place = in_flight.acquire().await.ok();
        loop {
            if let Some(said) = self.urged() {
                return said;
            }
            match self.call().await {
                Answer::Ended(outcome) => return self.said(outcome),
                Answer::Withdrawn => self.asked_to_close = true,
                Answer::Held(TradingMode::Reducing) => {
                    let reason = reason("trading is reducing: nothing is bought");
                    return self.said(OrderOutcome::NotSent(reason));
                }
                Answer::Held(_) => {
                    drop(place.take());
                    self.wait_for_switches().await;
                    place = in_flight.acquire().await.ok();
                }
                Answer::Open => {
                    if let Some(outcome) = self.found_open().await {
                        return self.said(outcome);
                    }
                }
                Answer::GoOn(arrival, reason) => {
                    if let Some(outcome) = self.learned(arrival, reason).await {
                        return self.said(outcome);
                    }
                }
            }
        }
    }

    fn said(&self, outcome: OrderOutcome) -> Said {
        Said::Order(self.order.step, outcome)
    }

    /// What somebody outside wants, if that ends the errand.
    fn urged(&mut self) -> Option<Said> {
        match *self.saga.urge.borrow_and_update() {
            Urge::None => {}
            Urge::Stop => return Some(Said::Left),
            Urge::CallOff => self.closing = true,
        }
        let never_sent = self.closing && self.arrival == Arrival::No;
        never_sent.then(|| {
            let reason = reason("the rebalance was called off before the order was sent");
            self.said(OrderOutcome::NotSent(reason))
        })
    }

    async fn call(&mut self) -> Answer {
        if self.closing && !self.asked_to_close {
            return self.close().await;
        }
        match self.arrival {
            Arrival::No => self.place().await,
            Arrival::Unknown | Arrival::Open => self.find().await,
        }
    }

    /// Takes in what is known now and waits before the next call; an outcome when the bound is
    /// reached.
    async fn learned(&mut self, arrival: Arrival, reason: Reason) -> Option<OrderOutcome> {
        // Never sent, and the venue has just said so: sending needs no pause.
        let at_once = self.arrival == Arrival::Unknown && arrival == Arrival::No;
        self.arrival = arrival;
        self.last = reason;
        if at_once {
            return None;
        }
        self.failures += 1;
        self.wait_or_give_up().await
    }

    /// The order is open: an answer, unless the venue was asked to close it and does not.
    async fn found_open(&mut self) -> Option<OrderOutcome> {
        self.arrival = Arrival::Open;
        self.last = reason("the order is open and not filled yet");
        self.is_open();
        self.failures = if self.asked_to_close {
            self.failures + 1
        } else {
            0
        };
        self.wait_or_give_up().await
    }

    async fn wait_or_give_up(&mut self) -> Option<OrderOutcome> {
        if self.failures >= CALLS_MAX {
            let last = self.last.clone();
            return Some(match self.arrival {
                Arrival::No => OrderOutcome::NotSent(last),
                Arrival::Unknown | Arrival::Open => OrderOutcome::Unknown(last),
            });
        }
        let _ = self.saga.pause(self.wait).await;
        self.wait = (self.wait * 2).clamp(WAIT_FIRST, WAIT_MAX);
        None
    }

    /// The venue has the order: told once; its time is over when it has been open too long.
    fn is_open(&mut self) {
        let now = Instant::now();
        match self.open_since {
            None => {
                self.open_since = Some(now);
                self.saga.tell(self.said(OrderOutcome::Accepted));
            }
            Some(since) => {
                let lifetime = self.saga.shell.settings.order_lifetime;
                self.closing |= now.duration_since(since) >= lifetime;
            }
        }
    }

    async fn place(&mut self) -> Answer {
        let sent = match self.send_if_allowed().await {
            Ok(sent) => sent,
            Err(mode) => return Answer::Held(mode),
        };
        match sent {
            Some(Ok(report)) => from_report(report),
            Some(Err(VenueError::Refused(reason))) => Answer::Ended(OrderOutcome::Refused(reason)),
            Some(Err(VenueError::RateLimited { retry_after })) => {
                self.later(Arrival::No, retry_after)
            }
            Some(Err(VenueError::Retryable(reason))) => Answer::GoOn(Arrival::No, reason),
            Some(Err(VenueError::Unknown(reason))) => Answer::GoOn(Arrival::Unknown, reason),
            None => Answer::GoOn(Arrival::Unknown, timed_out()),
        }
    }

    /// Sends the order unless a switch forbids it. The switches stay as they are until the venue
    /// has answered; none when it did not in time.
    async fn send_if_allowed(
        &self,
    ) -> Result<Option<Result<VenueReport, VenueError>>, TradingMode> {
        let saga = &*self.saga;
        let all = saga.shell.trading.switch.pass().await;
        let own = saga.switch.pass().await;
        let mode = all.mode.stricter(own.mode);
        if !mode.allows(self.order.side) {
            return Err(mode);
        }
        let order = VenueOrder {
            account: saga.account(),
            client_order_id: self.client_order_id.clone(),
            order: self.order,
            at: saga.shell.now(),
        };
        let answer = timeout(VENUE_TIMEOUT, saga.venue.place(&order)).await;
        Ok(answer.ok())
    }

    async fn find(&mut self) -> Answer {
        let saga = &*self.saga;
        let call = saga.venue.find(saga.account(), &self.client_order_id);
        match timeout(VENUE_TIMEOUT, call).await {
            Ok(Ok(Some(report))) => from_report(report),
            Ok(Ok(None)) => Answer::GoOn(Arrival::No, Reason::default()),
            Ok(Err(VenueError::RateLimited { retry_after })) => {
                self.later(self.at_best_unknown(), retry_after)
            }
            Ok(Err(error)) => Answer::GoOn(self.at_best_unknown(), error.reason()),
            Err(_) => Answer::GoOn(self.at_best_unknown(), timed_out()),
        }
    }

    /// Asks the venue to close the order; what became of it is asked for afterwards.
    async fn close(&mut self) -> Answer {
        let saga = &*self.saga;
        let call = saga.venue.cancel(saga.account(), &self.client_order_id);
        match timeout(VENUE_TIMEOUT, call).await {
            // Refused: there is nothing to close, and asking will tell why.
            Ok(Ok(()) | Err(VenueError::Refused(_))) => Answer::Withdrawn,
            Ok(Err(VenueError::RateLimited { retry_after })) => {
                self.later(self.at_best_unknown(), retry_after)
            }
            Ok(Err(error)) => Answer::GoOn(self.at_best_unknown(), error.reason()),
            Err(_) => Answer::GoOn(self.at_best_unknown(), timed_out()),
        }
    }

    /// The venue takes no calls for a while.
    fn later(&mut self, arrival: Arrival, retry_after: Duration) -> Answer {
        self.wait = self.wait.max(retry_after.min(RETRY_AFTER_MAX));
        Answer::GoOn(arrival, reason("the venue takes no more calls for a while"))
    }

    /// A call without an answer takes back nothing that is known.
    fn at_best_unknown(&self) -> Arrival {
        match self.arrival {
            Arrival::Open => Arrival::Open,
            Arrival::No | Arrival::Unknown => Arrival::Unknown,
        }
    }

    /// Waits until a switch or somebody outside changes something.
    async fn wait_for_switches(&mut self) {
        self.saga.tell(Said::Held);
        let mut all = self.saga.shell.trading.switch.watch();
        let mut own = self.saga.switch.watch();
        let still = |mode: &TradingMode| *mode == TradingMode::Halted;
        let held = still(&all.borrow_and_update()) || still(&own.borrow_and_update());
        if !held {
            return;
        }
        tokio::select! {
            biased;
            _ = all.changed() => {}
            _ = own.changed() => {}
            // What it is, whoever looks next sees.
            _ = self.saga.urge.changed() => {}
        }
    }
}

fn from_report(report: VenueReport) -> Answer {
    match report {
        VenueReport::Filled(fill) => Answer::Ended(OrderOutcome::Filled(fill)),
        VenueReport::Refused(reason) => Answer::Ended(OrderOutcome::Refused(reason)),
        VenueReport::Open => Answer::Open,
    }
}

fn timed_out() -> Reason {
    reason("the venue did not answer in time")
}

/// A reason from a constant, which always fits.
fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap_or_default()
}
