//! Where in a walk we are: what is being judged must not be asked for again, and what was cut short must not be kept.

use std::collections::BTreeMap;

use atrest_proto::model::Reason;

use super::Outcome;
use crate::snapshot::DeviceNumber;

/// Deeper than any stack that the kernel builds; a recording may claim anything.
pub(super) const MAX_DEPTH: usize = 200;
/// More steps than any host takes for one question; a recording in which everything stands on everything is given up.
const MAX_STEPS: usize = 1_000_000;

/// What is judged once for all who stand on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Device(DeviceNumber),
    /// By id: ids are unique across namespaces.
    Mount(u64),
    /// All swap areas together.
    Swap,
}

/// One walk, from one question down.
#[derive(Debug)]
pub(super) struct Walk {
    /// What is being judged, and how deep.
    under_way: BTreeMap<Place, usize>,
    steps: usize,
    /// The highest place that was asked for again since it was entered: what lies below it is not judged whole.
    cut_at: usize,
}

impl Default for Walk {
    fn default() -> Self {
        Self { under_way: BTreeMap::new(), steps: 0, cut_at: usize::MAX }
    }
}

impl Walk {
    /// Enters a place; `false` when it stands on itself, or the walk has gone too far.
    pub(super) fn enter(&mut self, place: Place) -> bool {
        let depth = self.under_way.len();
        self.steps += 1;
        if depth >= MAX_DEPTH || self.steps > MAX_STEPS {
            self.cut_at = 0;
            return false;
        }
        if let Some(above) = self.under_way.get(&place) {
            self.cut_at = self.cut_at.min(*above);
            return false;
        }
        self.under_way.insert(place, depth);
        true
    }

    /// Leaves a place that was entered. Whether what was found there is the whole of it, and may be kept: otherwise a place
    /// above it was left out, and asked by itself it would find more.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        self.under_way.remove(&place);
        let is_whole = self.cut_at >= self.under_way.len();
        if is_whole {
            self.cut_at = usize::MAX;
        }
        is_whole
    }
}

/// What is said of a place that cannot be entered: the same of each, since any place of a circle may be the first.
pub(super) fn cut() -> Outcome {
    let detail = format!("a layer that stands on itself, or on more than {MAX_DEPTH} others");
    Outcome::unknown(Reason::Unreadable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = Place::Mount(1);
    const B: Place = Place::Mount(2);

    #[test]
    fn what_is_below_a_circle_is_not_kept_and_its_first_place_is() {
        let mut walk = Walk::default();
        assert!(walk.enter(A) && walk.enter(B));
        assert!(!walk.enter(A));
        assert!(!walk.leave(B));
        assert!(walk.leave(A));
        assert!(walk.enter(B) && walk.leave(B));
    }

    #[test]
    fn what_stands_on_itself_alone_is_kept() {
        let mut walk = Walk::default();
        assert!(walk.enter(A) && walk.enter(B) && !walk.enter(B));
        assert!(walk.leave(B) && walk.leave(A));
    }

    #[test]
    fn a_walk_that_goes_too_deep_keeps_nothing_above() {
        let mut walk = Walk::default();
        for id in 0..200 {
            assert!(walk.enter(Place::Mount(id)));
        }
        assert!(!walk.enter(Place::Mount(200)));
        for id in (1..200).rev() {
            assert!(!walk.leave(Place::Mount(id)));
        }
    }
}
