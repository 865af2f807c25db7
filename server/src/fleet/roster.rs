//! The fleet in memory: who is enrolled, how each host stands, when it was last heard of, and the counts.
//!
//! A heartbeat touches only this. The store holds the same, a little later; counts are kept, not scanned.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Digest, HostId, NodeState, Outline};
use crate::labels::{GroupBy, Labels};

/// What the store last committed of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub revision: u64,
    /// What its paths last said.
    pub verdict: NodeState,
    pub silent: bool,
    /// An operator ended its enrolment.
    pub revoked: bool,
    pub failing: u32,
    pub firing: u32,
    pub sequence: u64,
    pub digest: Option<Digest>,
    pub outline: Option<Outline>,
}

impl Standing {
    /// What may be said of the host now.
    pub const fn state(&self) -> NodeState {
        NodeState::now(self.verdict, self.silent, self.revoked)
    }
}

/// A host, as it is entered into the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub host_id: HostId,
    /// SHA-256 of the public key that this host speaks with.
    pub key_pin: Digest,
    /// The fingerprint of the machine that enrolled; empty when it told none.
    pub machine: String,
    pub cluster: String,
    pub labels: Labels,
    pub last_seen_at: Timestamp,
    pub observed_at: Option<Timestamp>,
    pub standing: Standing,
}

#[derive(Debug)]
struct Entry {
    key_pin: Digest,
    machine: String,
    cluster: String,
    labels: Labels,
    last_seen_at: Timestamp,
    observed_at: Option<Timestamp>,
    /// The server's uptime when it was last heard of; when it was entered, if it was not yet.
    heard: Duration,
    standing: Standing,
    /// The number of the one stream that speaks for this host.
    session: Option<u64>,
    /// Heard of since the store was last told.
    dirty: bool,
    /// Another machine wants to speak for this host.
    contested: bool,
}

impl Entry {
    const fn presence(&self) -> Presence {
        Presence {
            sequence: self.standing.sequence,
            digest: self.standing.digest,
            outline: self.standing.outline,
            silent: self.standing.silent,
            revoked: self.standing.revoked,
            contested: self.contested,
        }
    }

    fn see(
        &mut self,
        observed_at: Option<Timestamp>,
        now: Timestamp,
        uptime: Duration,
    ) -> Presence {
        // Also when the clock went back: what it said before was wrong.
        self.last_seen_at = now;
        self.heard = self.heard.max(uptime);
        self.observed_at = self.observed_at.max(observed_at);
        self.dirty = true;
        self.presence()
    }
}

/// How many hosts there are of each kind. The states sum to `enrolled`, always; who is revoked is in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    by_state: [u64; NodeState::ALL.len()],
    pub enrolled: u64,
    pub failing: u64,
    pub firing: u64,
    pub connected: u64,
    pub revoked: u64,
}

impl Counts {
    pub fn of(&self, state: NodeState) -> u64 {
        self.by_state.get(usize::from(state.rank())).copied().unwrap_or_default()
    }

    fn add(&mut self, entry: &Entry) {
        if entry.standing.revoked {
            self.revoked += 1;
            return;
        }
        if let Some(count) = self.by_state.get_mut(usize::from(entry.standing.state().rank())) {
            *count += 1;
        }
        self.enrolled += 1;
        self.failing += u64::from(entry.standing.failing);
        self.firing += u64::from(entry.standing.firing);
        self.connected += u64::from(entry.session.is_some());
    }

    fn remove(&mut self, entry: &Entry) {
        if entry.standing.revoked {
            self.revoked -= 1;
            return;
        }
        if let Some(count) = self.by_state.get_mut(usize::from(entry.standing.state().rank())) {
            *count -= 1;
        }
        self.enrolled -= 1;
        self.failing -= u64::from(entry.standing.failing);
        self.firing -= u64::from(entry.standing.firing);
        self.connected -= u64::from(entry.session.is_some());
    }
}

/// What a host's stream needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    pub sequence: u64,
    pub digest: Option<Digest>,
    pub outline: Option<Outline>,
    /// It was missed: the store must be told that it is back.
    pub silent: bool,
    /// An operator ended its enrolment: it is not listened to.
    pub revoked: bool,
    /// Another machine wants to speak for it: that it is heard tells whether it is dead.
    pub contested: bool,
}

/// Why a key does not speak for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// No such host is enrolled.
    Unknown,
    /// Another key speaks for it now.
    Replaced,
    /// An operator ended its enrolment.
    Revoked,
}

/// When a host was last heard of, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub host_id: HostId,
    pub last_seen_at: Timestamp,
    pub observed_at: Option<Timestamp>,
}

/// Whether who was last heard of at `heard` is silent by now.
pub fn is_gone(heard: Duration, silent_after: Duration, uptime: Duration) -> bool {
    uptime.saturating_sub(heard) > silent_after
}

/// Who is enrolled.
#[derive(Debug, Default)]
pub struct Roster {
    entries: BTreeMap<HostId, Entry>,
    counts: Counts,
}

impl Roster {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The counts of each group. Walks the whole fleet; every host is in one group.
    pub fn counts_by(&self, by: &GroupBy) -> BTreeMap<String, Counts> {
        let mut groups = BTreeMap::<String, Counts>::new();
        for entry in self.entries.values() {
            let group = by.of(&entry.cluster, &entry.labels);
            match groups.get_mut(group) {
                Some(counts) => counts.add(entry),
                None => groups.entry(group.to_owned()).or_default().add(entry),
            }
        }
        groups
    }

    /// Enters a host, or enters it anew after another machine took its place. It has as long to speak as one that has just
    /// spoken. `uptime` is the server's.
    pub fn enter(&mut self, host: Enrolled, uptime: Duration) {
        let session = self.entries.get(&host.host_id).and_then(|entry| entry.session);
        let entry = Entry {
            key_pin: host.key_pin,
            machine: host.machine,
            cluster: host.cluster,
            labels: host.labels,
            last_seen_at: host.last_seen_at,
            observed_at: host.observed_at,
            heard: uptime,
            standing: host.standing,
            session,
            dirty: false,
            // Asked anew when it is heard.
            contested: true,
        };
        self.counts.add(&entry);
        if let Some(old) = self.entries.insert(host.host_id, entry) {
            self.counts.remove(&old);
        }
    }

    /// The key that a host speaks with.
    pub fn key_pin(&self, host: &HostId) -> Option<Digest> {
        self.entries.get(host).map(|entry| entry.key_pin)
    }

    /// Whether this key speaks for the host.
    pub fn admits(&self, host: &HostId, key_pin: &Digest) -> Result<(), NotAdmitted> {
        let entry = self.entries.get(host).ok_or(NotAdmitted::Unknown)?;
        if entry.key_pin != *key_pin {
            Err(NotAdmitted::Replaced)
        } else if entry.standing.revoked {
            Err(NotAdmitted::Revoked)
        } else {
            Ok(())
        }
    }

    /// Takes over what the store committed, unless something later was taken over before.
    pub fn commit(&mut self, host: &HostId, standing: Standing) {
        self.change(host, |entry| {
            if entry.standing.revision < standing.revision {
                entry.standing = standing;
            }
        });
    }

    /// This stream speaks for the host from now on.
    pub fn attach(&mut self, host: &HostId, session: u64) {
        self.change(host, |entry| entry.session = Some(session));
    }

    /// This stream has ended; a newer one stays.
    pub fn detach(&mut self, host: &HostId, session: u64) {
        self.change(host, |entry| {
            if entry.session == Some(session) {
                entry.session = None;
            }
        });
    }

    pub fn is_connected(&self, host: &HostId) -> bool {
        // A stream that is about to end does not count.
        let connected = |entry: &Entry| entry.session.is_some() && !entry.standing.revoked;
        self.entries.get(host).is_some_and(connected)
    }

    /// As its token named it.
    pub fn cluster(&self, host: &HostId) -> Option<String> {
        self.entries.get(host).map(|entry| entry.cluster.clone())
    }

    /// The machine that enrolled, and the server's uptime when it was last heard of.
    pub fn machine(&self, host: &HostId) -> Option<(String, Duration)> {
        self.entries.get(host).map(|entry| (entry.machine.clone(), entry.heard))
    }

    /// When the host was last heard of, and when it last looked.
    pub fn sighting(&self, host: &HostId) -> Option<(Timestamp, Option<Timestamp>)> {
        self.entries.get(host).map(|entry| (entry.last_seen_at, entry.observed_at))
    }

    pub fn presence(&self, host: &HostId) -> Option<Presence> {
        self.entries.get(host).map(Entry::presence)
    }

    /// The host was heard of. `observed_at` is when it last looked, if it said so.
    pub fn see(
        &mut self,
        host: &HostId,
        observed_at: Option<Timestamp>,
        now: Timestamp,
        uptime: Duration,
    ) -> Option<Presence> {
        self.entries.get_mut(host).map(|entry| entry.see(observed_at, now, uptime))
    }

    /// The same, of a host that looked again; it counts as heard of when what it saw is known.
    pub fn see_again(
        &mut self,
        host: &HostId,
        digest: &[u8],
        observed_at: Option<Timestamp>,
        now: Timestamp,
        uptime: Duration,
    ) -> Option<Presence> {
        let entry = self.entries.get_mut(host)?;
        let known = entry.standing.digest.as_ref().map(Digest::as_slice) == Some(digest);
        // What does not say what is held here is no sign of life.
        Some(if known { entry.see(observed_at, now, uptime) } else { entry.presence() })
    }

    /// Another machine wants to speak for the host, or does not any more.
    pub fn contest(&mut self, host: &HostId, contested: bool) {
        if let Some(entry) = self.entries.get_mut(host) {
            entry.contested = contested;
        }
    }

    /// Who has not been heard of for `silent_after`, and is not known to be silent.
    pub fn overdue(&self, silent_after: Duration, uptime: Duration) -> Vec<(HostId, Timestamp)> {
        self.entries
            .iter()
            .filter(|(_, entry)| {
                let standing = &entry.standing;
                !standing.silent && !standing.revoked && is_gone(entry.heard, silent_after, uptime)
            })
            .map(|(host, entry)| (host.clone(), entry.last_seen_at))
            .collect()
    }

    /// Who was heard of since the last call.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        self.entries
            .iter_mut()
            .filter_map(|(host, entry)| {
                std::mem::take(&mut entry.dirty).then(|| Sighting {
                    host_id: host.clone(),
                    last_seen_at: entry.last_seen_at,
                    observed_at: entry.observed_at,
                })
            })
            .collect()
    }

    /// The store could not be told: tell it next time.
    pub fn put_back(&mut self, sightings: &[Sighting]) {
        for sighting in sightings {
            if let Some(entry) = self.entries.get_mut(&sighting.host_id) {
                entry.dirty = true;
            }
        }
    }

    fn change(&mut self, host: &HostId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(host) else { return };
        self.counts.remove(entry);
        change(entry);
        self.counts.add(entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Enter(usize),
        Commit(usize, u64, NodeState, bool, u32),
        Attach(usize, u64),
        Detach(usize, u64),
        See(usize, i64),
        Revoke(usize, u64),
    }

    fn standing(revision: u64, verdict: NodeState, silent: bool, failing: u32) -> Standing {
        Standing {
            revision,
            verdict,
            silent,
            revoked: false,
            failing,
            firing: failing / 2,
            sequence: 0,
            digest: None,
            outline: None,
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        let state = || prop::sample::select(&NodeState::ALL[..]);
        prop_oneof![
            (0_usize..4).prop_map(Event::Enter),
            (0_usize..4, 0_u64..9, state(), any::<bool>(), 0_u32..5).prop_map(
                |(host, revision, state, silent, failing)| {
                    Event::Commit(host, revision, state, silent, failing)
                }
            ),
            (0_usize..4, 0_u64..3).prop_map(|(host, session)| Event::Attach(host, session)),
            (0_usize..4, 0_u64..3).prop_map(|(host, session)| Event::Detach(host, session)),
            (0_usize..4, 0_i64..1000).prop_map(|(host, at)| Event::See(host, at)),
            (0_usize..4, 0_u64..9).prop_map(|(host, revision)| Event::Revoke(host, revision)),
        ]
    }

    proptest! {
        /// The states sum to the number enrolled, at every moment.
        #[test]
        fn the_counts_always_sum_to_the_enrolled(events in prop::collection::vec(event(), 0..60)) {
            let hosts: Vec<_> = (0..4).map(|_| HostId::random()).collect();
            let mut roster = Roster::default();
            for event in events {
                match event {
                    Event::Enter(host) => roster.enter(Enrolled {
                        host_id: hosts[host].clone(),
                        key_pin: [0; 32],
                        machine: String::new(),
                        cluster: (host % 2).to_string(),
                        labels: (host > 0).then(|| ("env".to_owned(), (host % 3).to_string())).into_iter().collect(),
                        last_seen_at: Timestamp::UNIX_EPOCH,
                        observed_at: None,
                        standing: standing(0, NodeState::Unknown, false, 0),
                    }, Duration::ZERO),
                    Event::Commit(host, revision, state, silent, failing) => {
                        roster.commit(&hosts[host], standing(revision, state, silent, failing));
                    }
                    Event::Attach(host, session) => roster.attach(&hosts[host], session),
                    Event::Detach(host, session) => roster.detach(&hosts[host], session),
                    Event::See(host, at) => {
                        let at = Timestamp::from_second(at).unwrap();
                        roster.see(&hosts[host], None, at, Duration::ZERO);
                    }
                    Event::Revoke(host, revision) => {
                        let standing = standing(revision, NodeState::Encrypted, false, 0);
                        roster.commit(&hosts[host], Standing { revoked: true, ..standing });
                    }
                }
                let counts = roster.counts();
                let sum: u64 = NodeState::ALL.iter().map(|state| counts.of(*state)).sum();
                prop_assert_eq!(sum, counts.enrolled);
                let entries = u64::try_from(roster.entries.len()).unwrap();
                prop_assert_eq!(counts.enrolled + counts.revoked, entries);
                let mut scanned = Counts::default();
                for entry in roster.entries.values() {
                    scanned.add(entry);
                }
                prop_assert_eq!(scanned, counts);
                for by in [GroupBy::Cluster, GroupBy::Label("env".to_owned())] {
                    let groups = roster.counts_by(&by);
                    for counts in groups.values() {
                        let sum: u64 = NodeState::ALL.iter().map(|state| counts.of(*state)).sum();
                        prop_assert_eq!(sum, counts.enrolled);
                    }
                    let whole = |count: fn(&Counts) -> u64| groups.values().map(count).sum::<u64>();
                    prop_assert_eq!(whole(|counts| counts.enrolled), counts.enrolled);
                    prop_assert_eq!(whole(|counts| counts.revoked), counts.revoked);
                    prop_assert_eq!(whole(|counts| counts.connected), counts.connected);
                    prop_assert_eq!(whole(|counts| counts.failing), counts.failing);
                }
            }
        }
    }

    #[test]
    fn a_late_copy_does_not_undo_a_later_commit() {
        let host = HostId::random();
        let mut roster = Roster::default();
        roster.enter(
            Enrolled {
                host_id: host.clone(),
                key_pin: [0; 32],
                machine: String::new(),
                cluster: String::new(),
                labels: Labels::new(),
                last_seen_at: Timestamp::UNIX_EPOCH,
                observed_at: None,
                standing: standing(1, NodeState::Unknown, false, 0),
            },
            Duration::ZERO,
        );
        roster.commit(&host, standing(3, NodeState::Encrypted, false, 0));
        roster.commit(&host, standing(2, NodeState::Unencrypted, false, 1));
        assert_eq!(roster.counts().of(NodeState::Encrypted), 1);
    }
}
