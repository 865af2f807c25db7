//! What the spool must remember beside its reports: the numbers it has given out, what is acknowledged, what is lost.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::files::{self, Durability};
use super::super::outbox::PostureDigest;

const MAX_FILE: u64 = 64 * 1024;

/// The file `ledger.json` of the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    /// The number of the next report is at least this.
    pub(super) next: u64,
    pub(super) acknowledged: Option<Acknowledged>,
    /// The host id under which the server knows these numbers.
    pub(super) known_as: Option<String>,
    /// A renumbering that has begun: reports below `until` get `by` added.
    pub(super) renumbering: Option<Renumbering>,
    pub(super) loss: Option<Loss>,
    pub(super) lost: Losses,
}

/// The last report that the server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub sequence: u64,
    pub digest: PostureDigest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Renumbering {
    pub(super) until: u64,
    pub(super) by: u64,
}

/// Reports that will never arrive, and that the server has not been told of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The first of them.
    pub from: u64,
    /// A report with this number, or a later one, tells of it.
    pub told_by: u64,
    pub cause: Cause,
}

/// Why a report will never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There was no room for it.
    Dropped,
    /// What was on the disk is not what was written.
    Damaged,
    /// The server could not take it.
    Refused,
}

/// How many were lost since the spool was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Losses {
    pub dropped: u64,
    pub damaged: u64,
    pub refused: u64,
}

impl Losses {
    pub const fn total(&self) -> u64 {
        self.dropped.saturating_add(self.damaged).saturating_add(self.refused)
    }
}

impl Ledger {
    /// What is on the disk. A damaged file is moved aside: the server knows the highest number too, so a new start
    /// costs a report that was sent already, nothing else.
    pub(super) fn load(path: &Path) -> std::io::Result<Self> {
        let Some(bytes) = files::read_bounded(path, MAX_FILE)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).or_else(|_| {
            tracing::warn!(path = %path.display(), "the spool's ledger is damaged and starts anew");
            std::fs::rename(path, path.with_extension("damaged"))?;
            Ok(Self::default())
        })
    }

    pub(super) fn store(&self, path: &Path) -> std::io::Result<()> {
        files::replace(path, &serde_json::to_vec(self).unwrap_or_default(), Durability::Synced)
    }

    /// Counts a report that will never arrive; `told_by` is the number of the next one.
    pub(super) fn lose(&mut self, sequence: u64, cause: Cause, told_by: u64) {
        let count = match cause {
            Cause::Dropped => &mut self.lost.dropped,
            Cause::Damaged => &mut self.lost.damaged,
            Cause::Refused => &mut self.lost.refused,
        };
        *count = count.saturating_add(1);
        let first = self.loss.unwrap_or(Loss { from: sequence, told_by, cause });
        self.loss = Some(Loss { from: first.from.min(sequence), told_by, ..first });
    }

    /// What is acknowledged is held by the server; it knows of the loss if the report that told of it is.
    pub(super) fn acknowledge(&mut self, acknowledged: Acknowledged) {
        self.acknowledged = Some(acknowledged);
        self.next = self.next.max(acknowledged.sequence.saturating_add(1));
        if self.loss.is_some_and(|loss| loss.told_by <= acknowledged.sequence) {
            self.loss = None;
        }
    }
}
