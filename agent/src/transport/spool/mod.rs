//! The queue of reports on disk: bounded, durable before it counts, never silent about a loss.
//!
//! One file per report, named by its number; `ledger.json` holds what must outlive the reports. **When it is full the
//! oldest reports go first and the newest always stays**: a full posture says all that is true now, so dropping an
//! older one loses history but never the present. Every loss (no room, damage, a report that the server cannot take)
//! is counted before the report is gone, and is told to the server by the next one.
//!
//! **Numbers never go back.** They follow from the files, the ledger, and what the server says that it holds. When the
//! server knows numbers that were not given out here (a wiped directory, a restored image, a host that took another's
//! place), what is queued is numbered anew above them, or the server would take it for a repetition and drop it.
//!
//! I/O is synchronous on purpose: reports are rare and small, and a state directory that hangs is something to notice.

mod directory;
pub(crate) mod frame;
mod ledger;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use directory::{
    REPORT, is_damage, ledger_path, move_aside, path_in, read_header, remove, reports_in,
};
pub use ledger::{Acknowledged, Cause, Loss, Losses};
use ledger::{Ledger, Renumbering};

use super::files::{self, Durability};
use super::outbox::PostureDigest;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub bytes: u64,
    pub reports: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, reports: 4096 }
    }
}

/// What the spool could not do.
#[derive(Debug, Error)]
pub enum SpoolError {
    #[error("the spool {} cannot be opened", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("report {sequence} cannot be written to the spool; it is kept in memory")]
    Write { sequence: u64, source: io::Error },
    #[error("the spool's ledger cannot be written; it is kept in memory")]
    Ledger { source: io::Error },
    #[error("report {sequence} cannot be read from the spool now")]
    Read { sequence: u64, source: io::Error },
    #[error("a report of {size} bytes is larger than the whole spool")]
    TooLarge { size: u64 },
}

impl SpoolError {
    /// What lifts it; empty when nothing is known to.
    pub fn remedy(&self) -> &'static str {
        let source = match self {
            Self::TooLarge { .. } => return "raise spool_mib in agent.toml",
            Self::Open { source, .. }
            | Self::Write { source, .. }
            | Self::Read { source, .. }
            | Self::Ledger { source } => source,
        };
        if source.kind() == io::ErrorKind::StorageFull
            || source.kind() == io::ErrorKind::QuotaExceeded
        {
            "make room on the file system of the state directory"
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            "give the state directory to the user that the agent runs as"
        } else {
            "see the kernel's log for the file system of the state directory"
        }
    }
}

/// A queued report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub digest: PostureDigest,
    /// Of its file.
    pub size: u64,
}

/// The newest report, when the disk did not take it.
#[derive(Debug)]
struct Held {
    entry: Entry,
    file: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    ledger: Ledger,
    /// The ledger in memory is newer than the one on disk.
    unsaved: bool,
    /// On disk, by number.
    entries: VecDeque<Entry>,
    bytes: u64,
    held: Option<Held>,
}

impl Spool {
    /// Opens or makes a spool, and finishes what a crash left half done.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> Result<Self, SpoolError> {
        let dir = dir.into();
        let failed = |source| SpoolError::Open { path: dir.clone(), source };
        files::ensure_private_dir(&dir).map_err(failed)?;
        let ledger = Ledger::load(&ledger_path(&dir)).map_err(failed)?;
        let mut spool = Self {
            dir: dir.clone(),
            limits,
            ledger,
            unsaved: false,
            entries: VecDeque::new(),
            bytes: 0,
            held: None,
        };
        spool.finish_renumbering().map_err(failed)?;
        spool.scan().map_err(failed)?;
        // Nothing waits for this: what cannot be saved now is saved with the next change.
        drop(spool.save());
        Ok(spool)
    }

    /// The number that the next report gets.
    pub fn next_sequence(&self) -> u64 {
        self.ledger.next
    }

    /// The newest report that is queued or acknowledged.
    pub fn newest_digest(&self) -> Option<PostureDigest> {
        let held = self.held.as_ref().map(|held| held.entry.digest);
        let queued = || self.entries.back().map(|entry| entry.digest);
        held.or_else(queued).or_else(|| self.ledger.acknowledged.map(|last| last.digest))
    }

    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.ledger.acknowledged
    }

    /// What the next report has to tell of.
    pub fn loss(&self) -> Option<Loss> {
        self.ledger.loss
    }

    pub fn losses(&self) -> Losses {
        self.ledger.lost
    }

    /// How many reports wait.
    pub fn len(&self) -> usize {
        self.entries.len() + usize::from(self.held.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of what waits.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.held.as_ref().map_or(0, |held| held.entry.size)
    }

    /// Whether the newest report or the ledger is in memory only.
    pub fn is_behind(&self) -> bool {
        self.held.is_some() || self.unsaved
    }

    /// The first report after this number.
    pub fn after(&self, sequence: u64) -> Option<Entry> {
        let at = self.entries.partition_point(|entry| entry.sequence <= sequence);
        let held =
            || self.held.as_ref().map(|held| held.entry).filter(|entry| entry.sequence > sequence);
        self.entries.get(at).copied().or_else(held)
    }

    /// Drops the oldest until a payload of this size fits. Says whether any was dropped.
    pub fn make_room(&mut self, payload: usize) -> Result<bool, SpoolError> {
        let size = u64::try_from(payload.saturating_add(frame::HEADER)).unwrap_or(u64::MAX);
        if size > self.limits.bytes {
            return Err(SpoolError::TooLarge { size });
        }
        let mut going = Vec::new();
        let (mut bytes, mut count) = (self.bytes, self.entries.len());
        for entry in &self.entries {
            if bytes.saturating_add(size) <= self.limits.bytes && count < self.limits.reports.max(1)
            {
                break;
            }
            bytes = bytes.saturating_sub(entry.size);
            count -= 1;
            going.push(entry.sequence);
        }
        for sequence in &going {
            self.lose(*sequence, Cause::Dropped);
        }
        if !going.is_empty() {
            // Counted before it is gone. On a full disk the count stays in memory until there is room.
            drop(self.save());
        }
        for sequence in &going {
            self.forget(*sequence);
            remove(&self.path(*sequence, REPORT));
        }
        Ok(!going.is_empty())
    }

    /// Queues a report under the next number. When the disk does not take it, it is kept in memory, in its place.
    pub fn push(&mut self, digest: PostureDigest, payload: &[u8]) -> Result<u64, SpoolError> {
        let sequence = self.next_sequence();
        let file = frame::encode(&digest, payload);
        let size = u64::try_from(file.len()).unwrap_or(u64::MAX);
        if size > self.limits.bytes {
            return Err(SpoolError::TooLarge { size });
        }
        self.ledger.next = sequence.saturating_add(1);
        let entry = Entry { sequence, digest, size };
        // What was held before this is older: it goes to the disk first, or it is lost.
        if self.retry().is_err()
            && let Some(older) = self.held.take()
        {
            self.lose(older.entry.sequence, Cause::Dropped);
        }
        self.put(entry, &file).map(|()| sequence).map_err(|source| {
            self.held = Some(Held { entry, file });
            SpoolError::Write { sequence, source }
        })
    }

    /// Tries again to write what is in memory only.
    pub fn retry(&mut self) -> Result<(), SpoolError> {
        if let Some(held) = self.held.take()
            && let Err(source) = self.put(held.entry, &held.file)
        {
            let sequence = held.entry.sequence;
            self.held = Some(held);
            return Err(SpoolError::Write { sequence, source });
        }
        if self.unsaved { self.save() } else { Ok(()) }
    }

    /// The payload of a queued report. `None` when it turned out to be damaged: it is moved aside and counted.
    pub fn read(&mut self, entry: Entry) -> Result<Option<Vec<u8>>, SpoolError> {
        if let Some(held) = self.held.as_ref().filter(|held| held.entry.sequence == entry.sequence)
        {
            return Ok(frame::decode(&held.file).map(<[u8]>::to_vec));
        }
        match files::read_bounded(&self.path(entry.sequence, REPORT), entry.size) {
            Ok(Some(file)) => {
                if let Some(payload) = frame::decode(&file) {
                    return Ok(Some(payload.to_vec()));
                }
            }
            Ok(None) => {}
            Err(error) if is_damage(&error) => {}
            Err(source) => return Err(SpoolError::Read { sequence: entry.sequence, source }),
        }
        self.set_aside(entry.sequence, Cause::Damaged);
        Ok(None)
    }

    /// Takes a report out of the queue that will never arrive, keeps it for a look, and counts it.
    pub fn set_aside(&mut self, sequence: u64, cause: Cause) {
        self.lose(sequence, cause);
        drop(self.save());
        self.forget(sequence);
        move_aside(&self.dir, sequence, cause);
        tracing::warn!(sequence, cause = ?cause, "a report was taken out of the spool");
    }

    /// The server holds all reports up to this one: they need not be kept.
    pub fn acknowledge(&mut self, sequence: u64) -> Result<(), SpoolError> {
        let held = self.held.as_ref().map(|held| held.entry);
        let newest = self
            .entries
            .iter()
            .copied()
            .chain(held)
            .take_while(|entry| entry.sequence <= sequence)
            .last();
        let Some(newest) = newest else { return Ok(()) };
        self.ledger.acknowledge(Acknowledged { sequence: newest.sequence, digest: newest.digest });
        // First the ledger, then the files: after a crash in between they are removed at the next start.
        let saved = self.save();
        while let Some(first) =
            self.entries.front().copied().filter(|entry| entry.sequence <= sequence)
        {
            self.forget(first.sequence);
            remove(&self.path(first.sequence, REPORT));
        }
        if self.held.as_ref().is_some_and(|held| held.entry.sequence <= sequence) {
            self.held = None;
        }
        // On a full disk, removing them made the room.
        saved.or_else(|_| self.save())
    }

    /// The server no longer holds what it acknowledged: the next posture is news, whatever it is.
    pub fn forget_acknowledged(&mut self) -> Result<(), SpoolError> {
        self.ledger.acknowledged = None;
        self.save()
    }

    /// What the server says at the beginning of a stream: the highest number that it holds of this host.
    pub fn learn(&mut self, host_id: &str, last: u64) -> Result<(), SpoolError> {
        let known = self.ledger.known_as.as_deref() == Some(host_id);
        if known && last < self.ledger.next {
            return self.acknowledge(last);
        }
        // The numbers up to `last` are not ours: this host's memory was lost or set back, or it took another's place.
        let first = self.after(0).map_or(self.ledger.next, |entry| entry.sequence);
        let by = last.saturating_add(1).saturating_sub(first);
        if last > 0 {
            tracing::warn!(
                last,
                by,
                "the server knows reports that this host does not: its numbers go on from there"
            );
        }
        let before = self.ledger.clone();
        self.ledger.next = self.ledger.next.saturating_add(by);
        self.ledger.known_as = Some(host_id.to_owned());
        self.ledger.acknowledged = None;
        if let Some(loss) = &mut self.ledger.loss {
            loss.told_by = loss.told_by.saturating_add(by);
        }
        if by > 0 && !self.entries.is_empty() {
            // Half of it without this note would look as if the rest had been acknowledged.
            self.ledger.renumbering = Some(Renumbering { until: before.next, by });
            if let Err(error) = self.save() {
                self.ledger = before;
                return Err(error);
            }
            self.finish_renumbering()
                .and_then(|()| self.scan())
                .map_err(|source| SpoolError::Open { path: self.dir.clone(), source })?;
        }
        if let Some(held) = &mut self.held {
            held.entry.sequence = held.entry.sequence.saturating_add(by);
        }
        // Forgetting this errs on the safe side: the next stream would number anew once more.
        drop(self.save());
        Ok(())
    }

    /// From the newest down, so that no name is taken; every step can be the last before a crash.
    fn finish_renumbering(&mut self) -> io::Result<()> {
        let Some(Renumbering { until, by }) = self.ledger.renumbering else { return Ok(()) };
        let mut sequences: Vec<u64> =
            reports_in(&self.dir)?.into_iter().filter(|sequence| *sequence < until).collect();
        sequences.sort_unstable();
        for sequence in sequences.into_iter().rev() {
            let to = self.path(sequence.saturating_add(by), REPORT);
            fs::rename(self.path(sequence, REPORT), to)?;
        }
        files::sync_dir(&self.dir)?;
        self.ledger.renumbering = None;
        self.unsaved = true;
        Ok(())
    }

    /// Takes stock of the directory.
    fn scan(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.bytes = 0;
        let mut sequences = reports_in(&self.dir)?;
        sequences.sort_unstable();
        let acknowledged = self.ledger.acknowledged.map_or(0, |last| last.sequence);
        let highest = sequences.last().copied().unwrap_or(0).max(acknowledged);
        self.ledger.next = self.ledger.next.max(highest.saturating_add(1));
        let held = self.held.as_ref().map(|held| held.entry.sequence);
        for sequence in sequences.into_iter().filter(|sequence| Some(*sequence) != held) {
            let path = self.path(sequence, REPORT);
            if sequence <= acknowledged {
                remove(&path);
                continue;
            }
            match read_header(&path) {
                Ok(Some(header)) => {
                    let entry = Entry { sequence, digest: header.digest, size: header.size() };
                    self.bytes = self.bytes.saturating_add(entry.size);
                    self.entries.push_back(entry);
                }
                Ok(None) => self.set_aside(sequence, Cause::Damaged),
                Err(error) if is_damage(&error) => self.set_aside(sequence, Cause::Damaged),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn put(&mut self, entry: Entry, file: &[u8]) -> io::Result<()> {
        files::replace(&self.path(entry.sequence, REPORT), file, Durability::Synced)?;
        self.bytes = self.bytes.saturating_add(entry.size);
        self.entries.push_back(entry);
        Ok(())
    }

    fn lose(&mut self, sequence: u64, cause: Cause) {
        let told_by = self.ledger.next;
        self.ledger.lose(sequence, cause, told_by);
    }

    fn forget(&mut self, sequence: u64) {
        if let Some(at) = self.entries.iter().position(|entry| entry.sequence == sequence)
            && let Some(entry) = self.entries.remove(at)
        {
            self.bytes = self.bytes.saturating_sub(entry.size);
        }
    }

    fn save(&mut self) -> Result<(), SpoolError> {
        let stored = self.ledger.store(&ledger_path(&self.dir));
        self.unsaved = stored.is_err();
        stored.map_err(|source| SpoolError::Ledger { source })
    }

    fn path(&self, sequence: u64, kind: &str) -> PathBuf {
        path_in(&self.dir, sequence, kind)
    }
}

#[cfg(test)]
mod tests;
