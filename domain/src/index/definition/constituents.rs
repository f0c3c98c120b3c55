//! The constituents of an index, held in little memory: bands and locks are rare, so they stand
//! beside the lines, and only where there are any.

use serde::{Deserialize, Serialize};

use super::Band;
use crate::values::{Asset, Percent};

/// An asset and its share of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constituent {
    /// The asset.
    pub asset: Asset,
    /// Target weight in per cent of the total value with cash.
    #[serde(rename = "percentage")]
    pub target: Percent,
    /// How far it may stray by itself; none leaves it to the index threshold.
    pub band: Option<Band>,
    /// Never traded: the others share the value that is left without it.
    #[serde(default)]
    pub locked: bool,
}

impl Constituent {
    /// An asset without a band of its own, not locked; the target in per cent.
    pub const fn new(asset: Asset, target: Percent) -> Self {
        Self {
            asset,
            target,
            band: None,
            locked: false,
        }
    }

    const fn mark(&self) -> Mark {
        Mark {
            band: self.band,
            locked: self.locked,
        }
    }
}

/// Constituents in their order. Written and read as the plain list that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Constituent>", into = "Vec<Constituent>")]
pub struct Constituents {
    lines: Box<[(Asset, Percent)]>,
    /// One for each line, or none at all.
    marks: Option<Box<[Mark]>>,
}

/// What most lines do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    band: Option<Band>,
    locked: bool,
}

impl Constituents {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// One of them.
    #[inline]
    pub fn get(&self, at: usize) -> Option<Constituent> {
        let &(asset, target) = self.lines.get(at)?;
        let mark = self.marks.as_ref().and_then(|marks| marks.get(at));
        let Mark { band, locked } = mark.copied().unwrap_or_default();
        Some(Constituent {
            asset,
            target,
            band,
            locked,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Constituent> + Clone {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Changes the list.
    pub fn edit(&mut self, change: impl FnOnce(&mut Vec<Constituent>)) {
        let mut list = self.iter().collect();
        change(&mut list);
        *self = list.into();
    }
}

impl From<Vec<Constituent>> for Constituents {
    fn from(list: Vec<Constituent>) -> Self {
        let plain = list.iter().all(|line| line.mark() == Mark::default());
        let marks = || list.iter().map(Constituent::mark).collect();
        Self {
            marks: (!plain).then(marks),
            lines: list.iter().map(|line| (line.asset, line.target)).collect(),
        }
    }
}

impl From<Constituents> for Vec<Constituent> {
    fn from(constituents: Constituents) -> Self {
        constituents.iter().collect()
    }
}

impl FromIterator<Constituent> for Constituents {
    fn from_iter<I: IntoIterator<Item = Constituent>>(list: I) -> Self {
        Vec::from_iter(list).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{asset, percent};

    #[test]
    fn a_list_comes_back_as_it_was_and_takes_room_for_marks_only_where_there_are_any() {
        let plain = |symbol| Constituent::new(asset(symbol), percent("50"));
        let locked = Constituent {
            locked: true,
            ..plain("BBB")
        };
        let banded = Constituent {
            band: Some(Band::FiveTwentyFive),
            ..plain("CCC")
        };
        for (list, marked) in [
            (vec![], false),
            (vec![plain("AAA"), plain("BBB")], false),
            (vec![plain("AAA"), locked], true),
            (vec![banded, plain("AAA")], true),
        ] {
            let held = Constituents::from(list.clone());
            assert_eq!(held.marks.is_some(), marked, "{list:?}");
            assert_eq!(Vec::from(held.clone()), list);
            assert_eq!(held.iter().collect::<Constituents>(), held);
            assert!(held.get(list.len()).is_none());
        }
        assert_eq!(size_of::<(Asset, Percent)>(), 32);
    }
}
