//! A figure beside its floor.

use serde::Serialize;

/// One line of the table, and one entry of `target/bench.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) floor: f64,
    pub(crate) ratio: f64,
    pub(crate) target: f64,
    pub(crate) better: &'static str,
}

impl Figure {
    /// Less is better: the ratio is to be at most `target`.
    pub(crate) fn lower(
        name: &'static str,
        unit: &'static str,
        ours: f64,
        floor: f64,
        target: f64,
    ) -> Self {
        Self { name, unit, ours, floor, ratio: ours / floor, target, better: "lower" }
    }

    /// More is better: the ratio is to be at least `target`.
    pub(crate) fn higher(
        name: &'static str,
        unit: &'static str,
        ours: f64,
        floor: f64,
        target: f64,
    ) -> Self {
        Self { name, unit, ours, floor, ratio: ours / floor, target, better: "higher" }
    }

    fn holds(&self) -> bool {
        if self.better == "lower" { self.ratio <= self.target } else { self.ratio >= self.target }
    }

    pub(crate) const TITLES: &'static str =
        "figure                         ours      floor   ratio  target";

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<24} {:>10.3} {:>10.3} {:>7.2} {:>7.2} {} {}",
            self.name,
            self.ours,
            self.floor,
            self.ratio,
            self.target,
            self.unit,
            if self.holds() { "" } else { " MISSED" }
        )
        .trim_end()
        .to_owned()
    }
}
