//! The protocol on one stream, without I/O: what to say, and what an answer means for the outbox.
//!
//! Reports go out in order, a bounded number ahead of their acknowledgements, and leave the spool only when the server
//! says that they are durable. A heartbeat is said only of a posture that this process saw and the server holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use atrest_proto::convert::{timestamp_from_wire, timestamp_to_wire};
use atrest_proto::model::Host;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Answer;
use jiff::Timestamp;

use super::failure::{Failure, bounded};
use super::identity::Issued;
use super::outbox::{Outbox, PostureDigest};
use super::spool::{Cause, Entry, SpoolError};
use crate::duties::Key;
use crate::membership::{self, Said};
use crate::nfs::{self, Offer, RemoteDirectory, Vouch};

/// So many reports may be on their way.
pub const WINDOW_REPORTS: usize = 32;
/// And so many bytes of them, unless it is a single report.
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// How far to go ahead of acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Window,
    /// One report at a time: the server refused one, and it must be told which.
    OneByOne,
}

/// What an answer was about.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Welcome {
        heartbeat_interval: Option<Duration>,
        server_time: Option<Timestamp>,
    },
    /// Reports arrived.
    Progress,
    /// Nothing changed.
    Alive,
    /// The server needs the full posture.
    Resync {
        why: String,
    },
    Renewed(Issued),
    /// What others look at, by key, with their names.
    Duties(BTreeMap<Key, String>),
    /// What others say of directories that are mounted from them, and whether that is all that is said.
    Vouches(BTreeMap<RemoteDirectory, Option<Vouch>>, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heartbeat {
    /// None was said on this stream.
    None,
    Open,
    Answered,
}

/// The agent's side of one stream.
#[derive(Debug)]
pub struct Session {
    host_id: String,
    pace: Pace,
    /// What the hello said.
    said: Option<PostureDigest>,
    welcomed: bool,
    /// The highest report that was sent on this stream.
    sent: u64,
    in_flight: VecDeque<Entry>,
    heartbeat: Heartbeat,
    renewing: bool,
    /// What the server was told on this stream.
    shared: BTreeSet<Key>,
    lent: Offer,
    borrowed: BTreeSet<RemoteDirectory>,
    said_of_clusters: Option<Said>,
}

impl Session {
    /// Begins a stream: the session, and the first thing to say on it.
    pub fn begin(host_id: String, host: Host, outbox: &Outbox, pace: Pace) -> (Self, Say) {
        let said = outbox.spool().acknowledged().map(|last| last.digest);
        let hello = v1::Hello {
            host: Some(host.into()),
            digest: said.map(|digest| digest.to_vec()).unwrap_or_default(),
        };
        let session = Self {
            host_id,
            pace,
            said,
            welcomed: false,
            sent: 0,
            in_flight: VecDeque::new(),
            heartbeat: Heartbeat::None,
            renewing: false,
            shared: BTreeSet::new(),
            lent: Offer::default(),
            borrowed: BTreeSet::new(),
            said_of_clusters: None,
        };
        (session, Say::Hello(hello))
    }

    /// Takes an answer.
    pub fn hear(&mut self, answer: Answer, outbox: &mut Outbox) -> Result<Heard, Failure> {
        match answer {
            Answer::Welcome(welcome) => self.welcome(&welcome, outbox),
            Answer::Ack(v1::Ack { sequence }) => self.acknowledge(sequence, outbox),
            Answer::Resync(v1::Resync { why }) => Ok(self.resync(&why, outbox)),
            Answer::Renewed(v1::Renewed { certificate_chain, authorities }) => {
                self.renewing = false;
                Ok(Heard::Renewed(Issued { certificate_chain, authorities }))
            }
            Answer::Duties(duties) => Ok(Heard::Duties(delegated(duties))),
            Answer::Vouches(vouches) => {
                let (words, complete) = nfs::wire::vouches(vouches);
                Ok(Heard::Vouches(words, complete))
            }
        }
    }

    /// The next report to send, if there is one and the window is open.
    pub fn report(&mut self, outbox: &mut Outbox) -> Result<Option<Say>, SpoolError> {
        let window = match self.pace {
            Pace::Window => WINDOW_REPORTS,
            Pace::OneByOne => 1,
        };
        let bytes: u64 = self.in_flight.iter().map(|entry| entry.size).sum();
        let full = self.in_flight.len() >= window || bytes >= WINDOW_BYTES;
        if !self.welcomed || full {
            return Ok(None);
        }
        let Some((entry, report)) = outbox.next(self.sent)? else { return Ok(None) };
        self.sent = entry.sequence;
        self.in_flight.push_back(entry);
        Ok(Some(Say::Report(report)))
    }

    /// That nothing changed up to `seen`; `None` when that cannot be said.
    pub fn heartbeat(&mut self, outbox: &Outbox, seen: Timestamp) -> Option<Say> {
        let digest =
            outbox.settled().filter(|_| self.welcomed && self.heartbeat != Heartbeat::Open)?;
        self.heartbeat = Heartbeat::Open;
        let observed_at = Some(timestamp_to_wire(seen));
        Some(Say::Heartbeat(v1::Heartbeat { digest: digest.to_vec(), observed_at }))
    }

    /// Asks for the next certificate; `None` while an answer is open.
    pub fn renewal(&mut self, signing_request: Vec<u8>) -> Option<Say> {
        if !self.welcomed || self.renewing {
            return None;
        }
        self.renewing = true;
        Some(Say::Renew(v1::RenewRequest { csr: signing_request }))
    }

    /// What this agent could look at as others could; `None` while the server knows.
    pub fn share(&mut self, keys: BTreeSet<Key>) -> Option<Say> {
        if !self.welcomed || self.shared == keys {
            return None;
        }
        let shares = v1::Shares { keys: keys.iter().map(|key| key.to_vec()).collect() };
        self.shared = keys;
        Some(Say::Shares(shares))
    }

    /// What this machine lends; `None` while the server knows.
    pub fn lend(&mut self, lent: Offer) -> Option<Say> {
        // Its addresses count also while nothing is lent: nobody else may call one of them its own.
        if !self.welcomed || self.lent == lent {
            return None;
        }
        let say = Say::Exports(nfs::wire::exports(&lent));
        self.lent = lent;
        Some(say)
    }

    /// What it has borrowed; `None` while the server knows.
    pub fn borrow(&mut self, borrowed: BTreeSet<RemoteDirectory>) -> Option<Say> {
        if !self.welcomed || self.borrowed == borrowed {
            return None;
        }
        let say = Say::RemoteDirectories(nfs::wire::directories(&borrowed));
        self.borrowed = borrowed;
        Some(say)
    }

    /// Which clusters its nodes are in; `None` while the server knows.
    pub fn belong(&mut self, said: Said) -> Option<Say> {
        if !self.welcomed || self.said_of_clusters.as_ref() == Some(&said) {
            return None;
        }
        let say = Say::Membership(membership::to_wire(&said));
        self.said_of_clusters = Some(said);
        Some(say)
    }

    pub const fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Whether the server owes an answer.
    pub fn awaits(&self) -> bool {
        !self.welcomed
            || !self.in_flight.is_empty()
            || self.heartbeat == Heartbeat::Open
            || self.renewing
    }

    /// After the server refused a report: finds out which it was. Gives the pace for the next stream.
    pub fn blame(&self, outbox: &mut Outbox) -> Pace {
        if let (Pace::OneByOne, Some(refused)) = (self.pace, self.in_flight.front()) {
            outbox.spool_mut().set_aside(refused.sequence, Cause::Refused);
        }
        Pace::OneByOne
    }

    fn welcome(&mut self, welcome: &v1::Welcome, outbox: &mut Outbox) -> Result<Heard, Failure> {
        if self.welcomed {
            return Err(Failure::Protocol { why: "it welcomed this agent twice".to_owned() });
        }
        self.welcomed = true;
        outbox
            .spool_mut()
            .learn(&self.host_id, welcome.last_sequence)
            .map_err(|error| Failure::Storage { why: super::failure::chain(&error) })?;
        let heartbeat_interval =
            welcome.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
        let server_time = timestamp_from_wire(welcome.server_time, "server_time").ok();
        Ok(Heard::Welcome { heartbeat_interval, server_time })
    }

    fn acknowledge(&mut self, sequence: u64, outbox: &mut Outbox) -> Result<Heard, Failure> {
        if !self.welcomed {
            return Err(Failure::Protocol { why: "it acknowledged before it welcomed".to_owned() });
        }
        self.close_heartbeat();
        let waiting = self.in_flight.len();
        self.in_flight.retain(|entry| entry.sequence > sequence);
        if self.in_flight.len() == waiting {
            return Ok(Heard::Alive);
        }
        // Not beyond what was sent: what was not sent cannot be durable there.
        if let Err(error) = outbox.spool_mut().acknowledge(sequence.min(self.sent)) {
            tracing::warn!(
                error = super::failure::chain(&error),
                "an acknowledgement could not be kept"
            );
        }
        Ok(Heard::Progress)
    }

    fn close_heartbeat(&mut self) {
        if self.heartbeat == Heartbeat::Open {
            self.heartbeat = Heartbeat::Answered;
        }
    }

    fn resync(&mut self, why: &str, outbox: &Outbox) -> Heard {
        let about_hello = self.heartbeat == Heartbeat::None;
        self.close_heartbeat();
        // A hello can be outdated by the welcome: an acknowledgement was lost, and is known now.
        let known = outbox.spool().acknowledged().map(|last| last.digest);
        if about_hello && known != self.said && known.is_some() {
            return Heard::Alive;
        }
        Heard::Resync { why: bounded(why) }
    }
}

/// Keys that are none of ours are left out: nothing follows from them.
fn delegated(duties: v1::Duties) -> BTreeMap<Key, String> {
    let known = duties.delegated.into_iter().filter_map(|one| {
        let v1::Delegation { key, hostname } = one;
        Some((Key::try_from(key).ok()?, bounded(&hostname)))
    });
    known.collect()
}

#[cfg(test)]
mod tests;
