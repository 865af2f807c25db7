//! What is worth a report: a posture that is not the one that the server holds or will get from the spool.
//!
//! A loss is part of the posture, as a gap, until a report that tells of it is acknowledged; its text does not count
//! on with every further loss, so that a full spool is not filled by reports about its own fullness.

use atrest_proto::model::{Gap, Posture, Reason};
use atrest_proto::{digest, v1};
use prost::Message as _;

use super::size;
use super::spool::{Cause, Entry, Loss, Spool, SpoolError};

/// SHA-256 over a posture without its times, as [`digest::posture`] makes it.
pub type PostureDigest = [u8; 32];

/// What became of a posture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// The server holds it, or it is queued.
    Unchanged,
    Queued(u64),
}

/// The spool, seen as postures.
#[derive(Debug)]
pub struct Outbox {
    spool: Spool,
    /// Of the posture that was offered last.
    offered: Option<PostureDigest>,
}

impl Outbox {
    pub const fn new(spool: Spool) -> Self {
        Self { spool, offered: None }
    }

    pub const fn spool(&self) -> &Spool {
        &self.spool
    }

    pub const fn spool_mut(&mut self) -> &mut Spool {
        &mut self.spool
    }

    /// Queues a posture if it is news. An error of kind [`SpoolError::Write`] means that it is queued in memory.
    pub fn offer(&mut self, posture: &Posture) -> Result<Offered, SpoolError> {
        loop {
            let wire = with_loss(posture, self.spool.loss());
            let digest = digest::posture(&wire);
            self.offered = Some(digest);
            if self.spool.newest_digest() == Some(digest) {
                return Ok(Offered::Unchanged);
            }
            let sequence = self.spool.next_sequence();
            let report = v1::Report { sequence, digest: digest.to_vec(), posture: Some(wire) }
                .encode_to_vec();
            // What is dropped to make room changes what the report has to say.
            if !self.spool.make_room(report.len())? {
                return self.spool.push(digest, &report).map(Offered::Queued);
            }
        }
    }

    /// The digest that a heartbeat may speak of: of the posture that was seen last, if the server holds it.
    pub fn settled(&self) -> Option<PostureDigest> {
        let held = self.spool.acknowledged().map(|last| last.digest);
        self.offered.filter(|offered| self.spool.is_empty() && held == Some(*offered))
    }

    /// The first report after this number that can be read.
    pub fn next(&mut self, after: u64) -> Result<Option<(Entry, v1::Report)>, SpoolError> {
        while let Some(entry) = self.spool.after(after) {
            let Some(payload) = self.spool.read(entry)? else { continue };
            if let Ok(report) = v1::Report::decode(payload.as_slice()) {
                // Renumbering changes the name only.
                return Ok(Some((entry, v1::Report { sequence: entry.sequence, ..report })));
            }
            self.spool.set_aside(entry.sequence, Cause::Damaged);
        }
        Ok(None)
    }
}

fn with_loss(posture: &Posture, loss: Option<Loss>) -> v1::Posture {
    let mut posture = posture.clone();
    if let Some(loss) = loss {
        posture.gaps.push(gap(loss));
        posture.gaps.sort_unstable();
    }
    let mut wire = posture.into();
    size::bound(&mut wire);
    wire
}

fn gap(loss: Loss) -> Gap {
    let (why, remedy) = match loss.cause {
        Cause::Dropped => (
            "the spool was full or could not be written",
            "keep the server reachable, or raise spool_mib in agent.toml",
        ),
        Cause::Damaged => (
            "they were damaged on the disk",
            "check the disk and file system of the state directory",
        ),
        Cause::Refused => ("the server could not take them", "bring the server up to date"),
    };
    Gap {
        subject: "spool".to_owned(),
        reason: Reason::Unreadable,
        detail: format!("reports from number {} on never arrived: {why}", loss.from),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use atrest_proto::model::Host;
    use jiff::Timestamp;

    use super::super::spool::Limits;
    use super::*;

    /// A posture that differs from others by its name, and not by its time.
    pub(crate) fn posture(name: &str, second: i64) -> Posture {
        Posture {
            host: Host { hostname: name.to_owned(), ..Host::default() },
            observed_at: Timestamp::from_second(second).unwrap(),
            services: Vec::new(),
            paths: Vec::new(),
            keystores: Vec::new(),
            repositories: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            catalogue_version: 1,
        }
    }

    fn outbox(dir: &tempfile::TempDir, reports: usize) -> Outbox {
        Outbox::new(Spool::open(dir.path(), Limits { bytes: 1 << 20, reports }).unwrap())
    }

    #[test]
    fn only_news_is_queued_and_only_what_is_acknowledged_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&dir, 10);
        assert_eq!(outbox.offer(&posture("a", 1)).unwrap(), Offered::Queued(1));
        assert_eq!(outbox.offer(&posture("a", 2)).unwrap(), Offered::Unchanged);
        assert_eq!(outbox.settled(), None);
        outbox.spool_mut().acknowledge(1).unwrap();
        assert!(outbox.settled().is_some());
        assert_eq!(outbox.offer(&posture("b", 3)).unwrap(), Offered::Queued(2));
        assert_eq!(
            outbox.offer(&posture("a", 4)).unwrap(),
            Offered::Queued(3),
            "back is a change too"
        );
        assert_eq!(outbox.settled(), None);
    }

    #[test]
    fn a_restart_does_not_report_again_and_settles_only_what_it_saw_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = outbox(&dir, 10);
        first.offer(&posture("a", 1)).unwrap();
        first.spool_mut().acknowledge(1).unwrap();
        let mut second = outbox(&dir, 10);
        assert_eq!(second.settled(), None, "nothing was seen yet since the start");
        assert_eq!(second.offer(&posture("a", 9)).unwrap(), Offered::Unchanged);
        assert!(second.settled().is_some());
    }

    #[test]
    fn a_loss_is_told_once_and_then_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&dir, 2);
        for (second, name) in ["a", "b", "c"].into_iter().enumerate() {
            outbox.offer(&posture(name, i64::try_from(second).unwrap())).unwrap();
        }
        assert_eq!(outbox.spool().losses().dropped, 1);
        assert_eq!(
            outbox.offer(&posture("c", 9)).unwrap(),
            Offered::Unchanged,
            "no loop about fullness"
        );
        let (entry, report) = outbox.next(2).unwrap().unwrap();
        let gaps = report.posture.unwrap().gaps;
        assert_eq!(
            gaps[0].detail.as_str(),
            "reports from number 1 on never arrived: the spool was full or could not be written"
        );
        outbox.spool_mut().acknowledge(entry.sequence).unwrap();
        assert_eq!(outbox.spool().loss(), None);
        assert_eq!(
            outbox.offer(&posture("c", 10)).unwrap(),
            Offered::Queued(4),
            "the gap is closed"
        );
        assert!(outbox.next(3).unwrap().unwrap().1.posture.unwrap().gaps.is_empty());
        assert_eq!(outbox.offer(&posture("c", 11)).unwrap(), Offered::Unchanged);
    }

    #[test]
    fn a_digest_is_the_one_that_the_server_computes() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = outbox(&dir, 2);
        outbox.offer(&posture("a", 1)).unwrap();
        let (entry, report) = outbox.next(0).unwrap().unwrap();
        assert_eq!(report.digest, digest::posture(report.posture.as_ref().unwrap()));
        assert_eq!(report.digest, entry.digest);
    }
}
