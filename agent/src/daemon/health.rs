//! What the daemon says of itself: `status.json`, and a log line for every change for the better or worse, not for
//! every try.

use jiff::Timestamp;

use crate::status::{self, Link, LinkState, Saved, Scan, Spool, Trouble};
use crate::transport::StateDir;
use crate::transport::failure::{Failure, chain};
use crate::transport::files::{self, Durability};
use crate::transport::outbox::Outbox;
use crate::transport::spool::SpoolError;

/// A clock that is off by more than this is worth a word: certificates live for hours.
const CLOCK_TOLERANCE_SECONDS: i64 = 60;

pub(super) struct Health {
    state: StateDir,
    saved: Saved,
    unwritten: bool,
    /// Whether the last write of the file failed.
    mute: bool,
}

impl Health {
    pub(super) fn new(
        state: StateDir,
        agent_version: String,
        policy: String,
        now: Timestamp,
    ) -> Self {
        // A restart does not make the last contact unhappen.
        let last_contact = status::saved(&state).and_then(|saved| saved.link.last_contact);
        let link = Link {
            state: LinkState::Waiting,
            since: now,
            last_contact,
            error: None,
            clock_ahead_seconds: None,
        };
        let saved = Saved {
            written_at: now,
            agent_version,
            policy,
            started_at: now,
            link,
            scan: Scan::default(),
            spool: Spool::default(),
        };
        Self { state, saved, unwritten: true, mute: false }
    }

    /// The link is in this state now.
    pub(super) fn link(&mut self, state: LinkState, now: Timestamp) {
        let link = &mut self.saved.link;
        // Going back and forth between trying and waiting is one state to people.
        let away = |state| matches!(state, LinkState::Connecting | LinkState::Waiting);
        if link.state != state && !(away(link.state) && away(state)) {
            link.since = now;
        }
        link.state = state;
        self.unwritten = true;
    }

    pub(super) fn connected(&mut self, host_id: &str, server: &str, now: Timestamp) {
        tracing::info!(host_id, server, "connected to the server");
        self.link(LinkState::Connected, now);
        self.saved.link.error = None;
    }

    pub(super) fn contact(&mut self, now: Timestamp) {
        self.saved.link.last_contact = Some(now);
        self.unwritten = true;
    }

    /// There is no link, for this reason. Logged when the reason is another one than before.
    pub(super) fn failed(&mut self, failure: &Failure, now: Timestamp) {
        self.link_trouble(failure.kind(), failure.to_string(), failure.remedy(), now);
        self.link(LinkState::Waiting, now);
    }

    /// Something about the link or the identity that a person should know.
    pub(super) fn link_trouble(
        &mut self,
        kind: &str,
        message: String,
        remedy: &str,
        now: Timestamp,
    ) {
        let since = match &self.saved.link.error {
            Some(known) if known.kind == kind => known.since,
            Some(_) | None => {
                tracing::warn!(kind, error = message, remedy, "no link to the server");
                now
            }
        };
        let (kind, remedy) = (kind.to_owned(), remedy.to_owned());
        self.saved.link.error = Some(Trouble { kind, message, remedy, since });
        self.unwritten = true;
    }

    pub(super) fn not_enrolled(&mut self, now: Timestamp) {
        if self.saved.link.state != LinkState::NotEnrolled || self.saved.link.error.is_some() {
            tracing::warn!(
                "this host is not enrolled: run `atrest-agent enroll TOKEN`; reports are kept until then"
            );
        }
        self.saved.link.error = None;
        self.link(LinkState::NotEnrolled, now);
    }

    pub(super) fn clock(&mut self, server: Timestamp, now: Timestamp) {
        let ahead = now.duration_since(server).as_secs();
        let off = (ahead.abs() > CLOCK_TOLERANCE_SECONDS).then_some(ahead);
        if let (Some(ahead_seconds), None) = (off, self.saved.link.clock_ahead_seconds) {
            tracing::warn!(ahead_seconds, "this host's clock and the server's differ");
        }
        self.saved.link.clock_ahead_seconds = off;
        self.unwritten = true;
    }

    pub(super) fn scan_began(&mut self, now: Timestamp) {
        self.saved.scan.running_since = Some(now);
        self.unwritten = true;
    }

    /// A scan has ended; `None` when nothing was seen. What was seen may be of before, when nobody looks any more.
    pub(super) fn scan_ended(&mut self, seen_at: Option<Timestamp>) {
        let last_at = seen_at.or(self.saved.scan.last_at);
        self.saved.scan = Scan { last_at, running_since: None };
        self.unwritten = true;
    }

    /// The last thing that the spool did, went wrong or went well.
    pub(super) fn spool<T>(
        &mut self,
        result: &Result<T, SpoolError>,
        outbox: &Outbox,
        now: Timestamp,
    ) {
        let known = self.saved.spool.error.take();
        self.saved.spool.error = match (result, known) {
            (Err(error), known) => {
                let message = chain(error);
                let since = known.as_ref().map_or(now, |known| known.since);
                if known.is_none() {
                    tracing::error!(
                        error = message,
                        remedy = error.remedy(),
                        "the spool has a problem"
                    );
                }
                let remedy = error.remedy().to_owned();
                Some(Trouble { kind: "spool".to_owned(), message, remedy, since })
            }
            // What is in memory only is not well yet.
            (Ok(_), Some(known)) if outbox.spool().is_behind() => Some(known),
            (Ok(_), Some(_)) => {
                tracing::info!("the spool is well again");
                None
            }
            (Ok(_), None) => None,
        };
        self.unwritten = true;
    }

    pub(super) const fn is_unwritten(&self) -> bool {
        self.unwritten
    }

    pub(super) fn write(&mut self, outbox: &Outbox, now: Timestamp) {
        let spool = outbox.spool();
        self.saved.written_at = now;
        self.saved.spool.reports = spool.len();
        self.saved.spool.bytes = spool.bytes();
        self.saved.spool.lost = spool.losses();
        self.saved.spool.last_acknowledged = spool.acknowledged().map(|last| last.sequence);
        self.unwritten = false;
        let text = serde_json::to_vec_pretty(&self.saved).unwrap_or_default();
        // Not worth waking a disk for: after a power cut the daemon writes it anew.
        let path = self.state.status();
        // A full disk is what people most need to be told of.
        let written = files::replace(&path, &text, Durability::Whole)
            .or_else(|error| files::overwrite(&path, &text).map_err(|_| error));
        if let (Err(error), false) = (&written, self.mute) {
            tracing::warn!(%error, "the status file cannot be written");
        }
        self.mute = written.is_err();
    }
}
