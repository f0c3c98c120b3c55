//! Where an index's assets stand in a snapshot and among its holdings: looked up once, then
//! only compared.

use crate::index::Index;
use crate::market::{PriceProblem, PriceSnapshot};
use crate::values::{Asset, Percent, Price, Quantity};

/// Marks a line without a holding, or an asset without a place in the snapshot.
const NOWHERE: u32 = u32::MAX;

/// Where a line's price stands in the snapshot, and its quantity among the holdings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    price: u32,
    holding: u32,
}

/// The places of an index's assets in a snapshot, found once per snapshot layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    layout: Option<u64>,
    /// Per line: constituents in their order, then other holdings.
    places: Box<[Place]>,
    /// How many holdings there were; each has exactly one line.
    holdings: usize,
}

impl Slots {
    pub(super) fn new(index: &Index, prices: &PriceSnapshot) -> Self {
        let constituents = index.definition.constituents.iter().map(|c| c.asset);
        let foreign = index.foreign_holdings().map(|holding| holding.asset);
        let places = constituents.chain(foreign).map(|asset| Place {
            price: prices.slot(asset).unwrap_or(NOWHERE),
            holding: index
                .holdings
                .binary_search_by_key(&asset, |holding| holding.asset)
                .map_or(NOWHERE, |at| u32::try_from(at).unwrap_or(NOWHERE)),
        });
        Self {
            layout: Some(prices.layout),
            places: places.collect(),
            holdings: index.holdings.len(),
        }
    }

    /// Whether every place still names the asset that it was found for. An update or a trade
    /// may keep the number of lines, so the symbols themselves are compared.
    pub(super) fn fit(&self, index: &Index, prices: &PriceSnapshot) -> bool {
        let constituents = &index.definition.constituents;
        if self.layout != Some(prices.layout)
            || self.holdings != index.holdings.len()
            || self.places.len() < constituents.len()
        {
            return false;
        }
        let (listed, foreign) = self.places.split_at(constituents.len());
        let names = |place: &Place, asset| {
            at(prices.entries(), place.price).is_some_and(|(found, _)| *found == asset)
        };
        let mut linked = foreign.len();
        for (place, constituent) in listed.iter().zip(constituents.iter()) {
            match at(&index.holdings, place.holding) {
                Some(holding) if holding.asset != constituent.asset => return false,
                Some(_) => linked += 1,
                None => {}
            }
            if !names(place, constituent.asset) {
                return false;
            }
        }
        let still = |place: &Place| {
            at(&index.holdings, place.holding).is_some_and(|holding| names(place, holding.asset))
        };
        linked == self.holdings && foreign.iter().all(still)
    }

    /// How many lines the index has.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Brings the places up to date; does nothing while they fit.
    pub(super) fn refresh(&mut self, index: &Index, prices: &PriceSnapshot) {
        if !self.fit(index, prices) {
            *self = Self::new(index, prices);
        }
    }

    /// The asset of a line and its target.
    pub(super) fn target(&self, index: &Index, line: usize) -> Option<(Asset, Percent)> {
        if let Some(constituent) = index.definition.constituents.get(line) {
            return Some((constituent.asset, constituent.target));
        }
        let holding = at(&index.holdings, self.places.get(line)?.holding)?;
        Some((holding.asset, Percent::ZERO))
    }

    /// The quantity of a line and its price, or why it cannot be valued.
    #[inline]
    pub(super) fn quote(
        &self,
        index: &Index,
        prices: &PriceSnapshot,
        line: usize,
    ) -> Result<(Quantity, Price), PriceProblem> {
        let place = self.places.get(line).ok_or(PriceProblem::Missing)?;
        let price = prices.at_slot(place.price)?;
        if !price.is_positive() {
            return Err(PriceProblem::Zero);
        }
        let holding = at(&index.holdings, place.holding);
        Ok((
            holding.map_or(Quantity::ZERO, |holding| holding.quantity),
            price,
        ))
    }
}

fn at<T>(items: &[T], place: u32) -> Option<&T> {
    usize::try_from(place).ok().and_then(|at| items.get(at))
}
