//! Who looks at what many agents could look at, such as a bucket that all nodes of a cluster write to: one of those that are
//! connected, drawn by lot and drawn again every day, so that none can speak for the others for good. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Digest, HostId};

/// The most that one host may share: a node has a few repositories.
pub const MAX_SHARES: usize = 1_000;
/// A lot is good for so long, in seconds.
const TURN: i64 = 24 * 60 * 60;

/// Names one thing to look at: opaque here, and alike for all who could look at it.
pub type Key = Digest;

/// What each host that is connected shares, and whose turn it is.
#[derive(Debug, Default)]
pub struct Duties {
    hosts: BTreeMap<HostId, Holder>,
    things: BTreeMap<Key, Thing>,
    turn: i64,
}

#[derive(Debug)]
struct Holder {
    /// The stream that said so.
    session: u64,
    hostname: String,
    keys: BTreeSet<Key>,
}

#[derive(Debug)]
struct Thing {
    holders: BTreeSet<HostId>,
    appointed: (Digest, HostId),
}

impl Duties {
    /// Nobody shares anything yet.
    pub fn new(now: Timestamp) -> Self {
        Self { turn: turn_of(now), ..Self::default() }
    }

    /// The host could look at these, and at nothing else. Answers with whose duties may have changed by that; the host
    /// itself is always among them.
    pub fn share(
        &mut self,
        host: &HostId,
        session: u64,
        hostname: &str,
        keys: BTreeSet<Key>,
    ) -> BTreeSet<HostId> {
        // An older stream that was not listened to in time says nothing any more.
        if self.hosts.get(host).is_some_and(|holder| holder.session > session) {
            return BTreeSet::new();
        }
        let mut changed = self.remove(host);
        for key in &keys {
            let mine = (lot(key, self.turn, host), host.clone());
            let thing = self
                .things
                .entry(*key)
                .or_insert_with(|| Thing { holders: BTreeSet::new(), appointed: mine.clone() });
            if mine > thing.appointed {
                changed.extend(thing.holders.iter().cloned());
                thing.appointed = mine;
            }
            thing.holders.insert(host.clone());
        }
        if !keys.is_empty() {
            let hostname = hostname.to_owned();
            self.hosts.insert(host.clone(), Holder { session, hostname, keys });
        }
        changed.insert(host.clone());
        changed
    }

    /// The stream is over; what a newer one of the host said stays. Answers with whose duties may have changed by that.
    pub fn leave(&mut self, host: &HostId, session: u64) -> BTreeSet<HostId> {
        let is_its = |holder: &Holder| holder.session <= session;
        if self.hosts.get(host).is_some_and(is_its) { self.remove(host) } else { BTreeSet::new() }
    }

    fn remove(&mut self, host: &HostId) -> BTreeSet<HostId> {
        let mut changed = BTreeSet::new();
        let Some(Holder { keys, .. }) = self.hosts.remove(host) else { return changed };
        for key in keys {
            let Some(thing) = self.things.get_mut(&key) else { continue };
            thing.holders.remove(host);
            if thing.appointed.1 != *host {
                continue;
            }
            match draw(&key, self.turn, &thing.holders) {
                Some(appointed) => {
                    thing.appointed = appointed;
                    changed.extend(thing.holders.iter().cloned());
                }
                None => drop(self.things.remove(&key)),
            }
        }
        changed
    }

    /// Draws again when the day is over. Answers with whose duties may have changed by that.
    pub fn turn(&mut self, now: Timestamp) -> BTreeSet<HostId> {
        let turn = turn_of(now);
        let mut changed = BTreeSet::new();
        if turn == self.turn {
            return changed;
        }
        self.turn = turn;
        for (key, thing) in &mut self.things {
            let Some(appointed) = draw(key, turn, &thing.holders) else { continue };
            if appointed.1 != thing.appointed.1 {
                changed.extend(thing.holders.iter().cloned());
            }
            thing.appointed = appointed;
        }
        changed
    }

    /// Whose turn it is to look at this.
    pub fn appointed(&self, key: &Key) -> Option<&HostId> {
        self.things.get(key).map(|thing| &thing.appointed.1)
    }

    /// What the host need not look at, with the name of who does.
    pub fn delegated(&self, host: &HostId) -> Vec<(Key, String)> {
        let Some(holder) = self.hosts.get(host) else { return Vec::new() };
        let others = holder.keys.iter().filter_map(|key| {
            let (_, appointed) = &self.things.get(key)?.appointed;
            let other = self.hosts.get(appointed).filter(|_| appointed != host)?;
            Some((*key, other.hostname.clone()))
        });
        others.collect()
    }
}

fn turn_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(TURN)
}

fn draw(key: &Key, turn: i64, holders: &BTreeSet<HostId>) -> Option<(Digest, HostId)> {
    holders.iter().map(|host| (lot(key, turn, host), host.clone())).max()
}

/// Nobody chooses it: the server makes the ids of hosts.
fn lot(key: &Key, turn: i64, host: &HostId) -> Digest {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(turn.to_be_bytes());
    hash.update(host.as_str());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Share(usize, BTreeSet<u8>),
        Leave(usize),
        Day(i64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0_usize..5, prop::collection::btree_set(0_u8..3, 0..3))
                .prop_map(|(host, keys)| Event::Share(host, keys)),
            (0_usize..5).prop_map(Event::Leave),
            (0_i64..4).prop_map(Event::Day),
        ]
    }

    fn key(number: u8) -> Key {
        [number; 32]
    }

    proptest! {
        /// Whatever happens: of those that share a thing exactly one looks at it, and who was not told that
        /// something changed has the duties that it had.
        #[test]
        fn exactly_one_looks_at_each(events in prop::collection::vec(event(), 1..40)) {
            let hosts: Vec<_> = (0..5).map(|_| HostId::random()).collect();
            let mut duties = Duties::default();
            let mut shared: BTreeMap<usize, BTreeSet<u8>> = BTreeMap::new();
            let mut known: BTreeMap<HostId, Vec<(Key, String)>> = BTreeMap::new();
            for event in events {
                let changed = match event {
                    Event::Share(host, keys) => {
                        let all = keys.iter().copied().map(key).collect();
                        shared.insert(host, keys);
                        duties.share(&hosts[host], 1, &format!("h{host}"), all)
                    }
                    Event::Leave(host) => {
                        shared.remove(&host);
                        known.remove(&hosts[host]);
                        duties.leave(&hosts[host], 1)
                    }
                    Event::Day(day) => duties.turn(Timestamp::from_second(day * TURN).unwrap()),
                };
                for host in changed {
                    known.insert(host.clone(), duties.delegated(&host));
                }
                for number in 0_u8..3 {
                    let holders: Vec<_> =
                        shared.iter().filter(|(_, keys)| keys.contains(&number)).collect();
                    let asking = holders.iter().filter(|(host, _)| {
                        let told = known.get(&hosts[**host]).unwrap();
                        told.iter().all(|(other, _)| *other != key(number))
                    });
                    prop_assert_eq!(asking.count(), usize::from(!holders.is_empty()));
                }
                for (host, told) in &known {
                    prop_assert_eq!(told, &duties.delegated(host));
                }
            }
        }
    }

    #[test]
    fn the_lot_falls_on_another_some_day() {
        let hosts: Vec<_> = (0..8).map(|_| HostId::random()).collect();
        let mut duties = Duties::default();
        for (host, name) in hosts.iter().zip('a'..) {
            duties.share(host, 1, &name.to_string(), BTreeSet::from([key(1)]));
        }
        let mut asked = BTreeSet::new();
        for day in 1..60 {
            duties.turn(Timestamp::from_second(day * TURN).unwrap());
            let asking = hosts.iter().find(|host| duties.delegated(host).is_empty()).unwrap();
            asked.insert(asking.clone());
        }
        assert!(asked.len() > 4, "{} of 8", asked.len());
    }

    #[test]
    fn who_is_told_learns_who_looks() {
        let (one, two) = (HostId::random(), HostId::random());
        let mut duties = Duties::default();
        duties.share(&one, 1, "es-1", BTreeSet::from([key(1)]));
        assert!(duties.delegated(&one).is_empty(), "alone");
        duties.share(&two, 1, "es-2", BTreeSet::from([key(1)]));
        let told: Vec<_> = [&one, &two].iter().flat_map(|host| duties.delegated(host)).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].1.starts_with("es-"));
    }

    #[test]
    fn a_stream_that_ends_late_takes_nothing_from_the_one_after_it() {
        let host = HostId::random();
        let mut duties = Duties::default();
        duties.share(&host, 1, "es-1", BTreeSet::from([key(1)]));
        duties.share(&host, 2, "es-1", BTreeSet::from([key(2)]));
        assert!(duties.leave(&host, 1).is_empty());
        assert!(duties.share(&host, 1, "es-1", BTreeSet::new()).is_empty());
        assert!(duties.things.contains_key(&key(2)) && !duties.things.contains_key(&key(1)));
        duties.leave(&host, 2);
        assert!(duties.things.is_empty() && duties.hosts.is_empty());
    }
}
