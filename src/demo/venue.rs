//! What the demo proves about its venue: the log's holdings are the venue's to the last unit, and
//! no order was acted on twice.

use std::collections::{BTreeMap, HashSet};

use evenkeel_actors::ports::VenueAccount;
use evenkeel_domain::index::Index;

use super::stage::DemoError;
use crate::engine::Engine;
use crate::venues::PaperVenue;

/// Records read per page.
const PAGE: usize = 2_048;

/// What was found at the venue and in the log about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Truth {
    /// Faults that were met in this run, by kind.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// Whether the venue holds what the log says, and acted on each client order id once.
    pub(super) matches: bool,
    /// How often, in all runs, the books had to follow the venue.
    pub(super) corrections: u64,
}

/// Compares the indexes as they are with the venue.
pub(super) async fn look(engine: &Engine, live: &[Index]) -> Result<Truth, DemoError> {
    let Some(paper) = engine.paper() else {
        return Ok(Truth::default());
    };
    let mut matches = acted_once(paper).await?;
    for index in live {
        matches &= holds(paper, index).await?;
    }
    Ok(Truth {
        faults: paper.faults().met(),
        matches,
        corrections: corrections(engine).await?,
    })
}

async fn holds(paper: &PaperVenue, index: &Index) -> Result<bool, DemoError> {
    let held = paper.holdings(VenueAccount(index.index_id)).await;
    let held = held.map_err(|error| DemoError::Venue(error.to_string()))?;
    let books = index
        .holdings
        .iter()
        .map(|line| (line.asset, line.quantity));
    let same = held.cash == index.cash && held.holdings.iter().copied().eq(books);
    if !same {
        tracing::error!(index = %index.index_id, ?held, cash = %index.cash, holdings = ?index.holdings, "the venue holds something else than the log says");
    }
    Ok(same)
}

async fn acted_once(paper: &PaperVenue) -> Result<bool, DemoError> {
    let traded = paper.traded().await;
    let traded = traded.map_err(|error| DemoError::Venue(error.to_string()))?;
    let mut seen = HashSet::with_capacity(traded.len());
    let mut once = true;
    for order in &traded {
        if !seen.insert((order.account, order.client_order_id.as_str())) {
            tracing::error!(?order, "the venue acted twice");
            once = false;
        }
    }
    Ok(once)
}

async fn corrections(engine: &Engine) -> Result<u64, DemoError> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = engine.log().read(after, PAGE).await;
        let page = page.map_err(|error| DemoError::Log(error.to_string()))?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = last.position;
        let found = page
            .iter()
            .filter(|it| &*it.event_type == "index.reconciled");
        count += found.count() as u64;
    }
}
