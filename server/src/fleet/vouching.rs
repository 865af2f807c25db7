//! Who vouches for what: the agent of a machine that lends a directory proves how it rests, the agents of those that mount
//! it cannot. The words go from one to the others. Pure.
//!
//! A machine speaks for the addresses that it says are its own. Where two speak for one address, nobody does: one of them
//! lies, or they are in different networks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use atrest_proto::model::Verdict;
use jiff::{SignedDuration, Timestamp};

use super::HostId;

/// The most that one host may lend or borrow.
pub const MAX_DIRECTORIES: usize = 1_000;
/// The most addresses of one host.
pub const MAX_ADDRESSES: usize = 1_000;

/// How often what still holds is said again. Agents forget what was not said for an hour.
const SAID_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// A directory of a machine, by the name that clients mount it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Directory {
    pub address: IpAddr,
    pub path: Vec<u8>,
}

/// What the agent of the machine that keeps it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouch {
    pub directory: Directory,
    pub hostname: String,
    pub verdict: Verdict,
}

/// What a machine lends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub exports: BTreeMap<Vec<u8>, Verdict>,
    pub addresses: BTreeSet<IpAddr>,
}

/// What machines have of each other.
#[derive(Debug, Default)]
pub struct Vouching {
    lenders: BTreeMap<HostId, Lender>,
    by_address: BTreeMap<IpAddr, BTreeSet<HostId>>,
    borrowers: BTreeMap<HostId, Borrower>,
    /// Who has something of an address.
    borrowed_from: BTreeMap<IpAddr, BTreeSet<HostId>>,
    /// When all were told last.
    told_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Lender {
    /// The stream that said so.
    session: u64,
    hostname: String,
    offer: Offer,
    /// When its stream ended. Its word outlives that for a while.
    left_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Borrower {
    session: u64,
    directories: BTreeSet<Directory>,
    /// Of which it was told something.
    told: BTreeSet<Directory>,
}

/// What a host is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    pub vouches: Vec<Vouch>,
    /// Something was said of these before, and nobody says it any more.
    pub withdrawn: Vec<Directory>,
}

impl Vouching {
    /// The host lends this, and nothing else. Answers with who may hear something else by that.
    pub fn lend(
        &mut self,
        host: &HostId,
        session: u64,
        hostname: &str,
        offer: Offer,
    ) -> BTreeSet<HostId> {
        if self.lenders.get(host).is_some_and(|lender| lender.session > session) {
            return BTreeSet::new();
        }
        let mut changed = self.withdraw(host);
        // Who lends nothing has addresses too: that nobody else may call one of them its own.
        if offer.addresses.is_empty() {
            return changed;
        }
        for address in &offer.addresses {
            self.by_address.entry(*address).or_default().insert(host.clone());
            changed.extend(self.borrowed_from.get(address).into_iter().flatten().cloned());
        }
        let hostname = hostname.to_owned();
        self.lenders.insert(host.clone(), Lender { session, hostname, offer, left_at: None });
        changed
    }

    /// The host has these mounted, and nothing else. It is to be told what is said of them.
    pub fn borrow(&mut self, host: &HostId, session: u64, directories: BTreeSet<Directory>) {
        if self.borrowers.get(host).is_some_and(|borrower| borrower.session > session) {
            return;
        }
        self.give_back(host);
        if directories.is_empty() {
            return;
        }
        for directory in &directories {
            self.borrowed_from.entry(directory.address).or_default().insert(host.clone());
        }
        let told = BTreeSet::new();
        self.borrowers.insert(host.clone(), Borrower { session, directories, told });
    }

    /// The stream is over. What its host lends stands until [`Self::expire`].
    pub fn leave(&mut self, host: &HostId, session: u64, now: Timestamp) {
        if self.borrowers.get(host).is_some_and(|borrower| borrower.session <= session) {
            self.give_back(host);
        }
        if let Some(lender) = self.lenders.get_mut(host).filter(|one| one.session <= session) {
            lender.left_at.get_or_insert(now);
        }
    }

    /// The host is no longer one of the fleet: its word is worth nothing. Answers with who may hear something else by that.
    pub fn end(&mut self, host: &HostId) -> BTreeSet<HostId> {
        self.give_back(host);
        self.withdraw(host)
    }

    /// Takes back what hosts said whose streams ended before this. Answers with who may hear something else by that.
    pub fn expire(&mut self, before: Timestamp) -> BTreeSet<HostId> {
        let is_over = |lender: &Lender| lender.left_at.is_some_and(|left_at| left_at < before);
        let over: Vec<HostId> = self
            .lenders
            .iter()
            .filter(|(_, lender)| is_over(lender))
            .map(|(host, _)| host.clone())
            .collect();
        over.iter().flat_map(|host| self.withdraw(host)).collect()
    }

    /// Who is to be told again what still holds: now and then all that have something mounted.
    pub fn remind(&mut self, now: Timestamp) -> BTreeSet<HostId> {
        if self.told_at.is_some_and(|told_at| now.duration_since(told_at) < SAID_AGAIN) {
            return BTreeSet::new();
        }
        self.told_at = Some(now);
        self.borrowers.keys().cloned().collect()
    }

    /// What the host is to be told, which it then was.
    pub fn tell(&mut self, host: &HostId) -> Words {
        let vouches = self.vouches(host);
        let Some(borrower) = self.borrowers.get_mut(host) else { return Words::default() };
        let said = vouches.iter().map(|vouch| vouch.directory.clone()).collect();
        let before = std::mem::replace(&mut borrower.told, said);
        let withdrawn = before.difference(&borrower.told).cloned().collect();
        Words { vouches, withdrawn }
    }

    /// What is said of what the host has mounted.
    fn vouches(&self, host: &HostId) -> Vec<Vouch> {
        let Some(borrower) = self.borrowers.get(host) else { return Vec::new() };
        borrower.directories.iter().filter_map(|directory| self.vouch(directory)).collect()
    }

    fn vouch(&self, directory: &Directory) -> Option<Vouch> {
        let speakers = self.by_address.get(&directory.address)?;
        let only = speakers.first().filter(|_| speakers.len() == 1)?;
        let lender = self.lenders.get(only)?;
        let exports = &lender.offer.exports;
        // By its own name only: on the way to a directory below one, a symbolic link may lead out of what was proven.
        let verdict = exports.get(&directory.path)?;
        let (hostname, verdict) = (lender.hostname.clone(), *verdict);
        Some(Vouch { directory: directory.clone(), hostname, verdict })
    }

    fn withdraw(&mut self, host: &HostId) -> BTreeSet<HostId> {
        let Some(lender) = self.lenders.remove(host) else { return BTreeSet::new() };
        let mut changed = BTreeSet::new();
        for address in &lender.offer.addresses {
            forget(&mut self.by_address, address, host);
            changed.extend(self.borrowed_from.get(address).into_iter().flatten().cloned());
        }
        changed
    }

    fn give_back(&mut self, host: &HostId) {
        let Some(borrower) = self.borrowers.remove(host) else { return };
        for directory in &borrower.directories {
            forget(&mut self.borrowed_from, &directory.address, host);
        }
    }
}

fn forget(by_address: &mut BTreeMap<IpAddr, BTreeSet<HostId>>, address: &IpAddr, host: &HostId) {
    if let Some(hosts) = by_address.get_mut(address) {
        hosts.remove(host);
        if hosts.is_empty() {
            by_address.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn directory(last: u8, path: &str) -> Directory {
        Directory { address: address(last), path: path.as_bytes().to_vec() }
    }

    fn offer(addresses: &[u8], exports: &[(&str, Verdict)]) -> Offer {
        Offer {
            exports: exports.iter().map(|(path, v)| (path.as_bytes().to_vec(), *v)).collect(),
            addresses: addresses.iter().copied().map(address).collect(),
        }
    }

    fn said(vouching: &Vouching, host: &HostId) -> Vec<(String, Verdict)> {
        let name = |vouch: Vouch| (String::from_utf8(vouch.directory.path).unwrap(), vouch.verdict);
        vouching.vouches(host).into_iter().map(name).collect()
    }

    #[test]
    fn a_word_reaches_those_who_have_the_directory_mounted() {
        let (fs, es) = (HostId::random(), HostId::random());
        let mut vouching = Vouching::default();
        let wanted = [directory(5, "/srv/b"), directory(5, "/srv/b/es"), directory(6, "/srv/b")];
        vouching.borrow(&es, 1, BTreeSet::from(wanted));
        assert!(vouching.vouches(&es).is_empty());
        let lent = offer(&[5], &[("/srv/b", Verdict::Encrypted), ("/", Verdict::Encrypted)]);
        assert_eq!(vouching.lend(&fs, 1, "fs-1", lent), BTreeSet::from([es.clone()]));
        assert_eq!(said(&vouching, &es), [("/srv/b".to_owned(), Verdict::Encrypted)]);
        let worse = offer(&[5], &[("/srv/b", Verdict::Partial)]);
        assert_eq!(vouching.lend(&fs, 1, "fs-1", worse), BTreeSet::from([es.clone()]));
        assert_eq!(said(&vouching, &es), [("/srv/b".to_owned(), Verdict::Partial)]);
        assert!(vouching.vouches(&fs).is_empty(), "it has nothing mounted");
    }

    #[test]
    fn an_address_of_two_machines_is_nobodys() {
        let (one, two, es) = (HostId::random(), HostId::random(), HostId::random());
        let mut vouching = Vouching::default();
        vouching.borrow(&es, 1, BTreeSet::from([directory(5, "/b")]));
        vouching.lend(&one, 1, "fs-1", offer(&[5], &[("/b", Verdict::Encrypted)]));
        assert_eq!(vouching.vouches(&es).len(), 1);
        let changed = vouching.lend(&two, 1, "fs-2", offer(&[5, 6], &[("/x", Verdict::Encrypted)]));
        assert_eq!(changed, BTreeSet::from([es.clone()]));
        assert!(vouching.vouches(&es).is_empty());
        assert_eq!(vouching.end(&two), BTreeSet::from([es.clone()]));
        let words = vouching.tell(&es);
        assert_eq!((words.vouches.len(), words.withdrawn.len()), (1, 0));
        vouching.end(&one);
        assert_eq!(vouching.tell(&es).withdrawn, [directory(5, "/b")], "once");
        assert_eq!(vouching.tell(&es), Words::default());
    }

    #[test]
    fn a_word_outlives_its_stream_for_a_while_and_an_older_stream_says_nothing() {
        let (fs, es) = (HostId::random(), HostId::random());
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut vouching = Vouching::default();
        vouching.borrow(&es, 1, BTreeSet::from([directory(5, "/b")]));
        let lent = || offer(&[5], &[("/b", Verdict::Encrypted)]);
        vouching.lend(&fs, 2, "fs-1", lent());
        assert!(vouching.lend(&fs, 1, "fs-1", Offer::default()).is_empty());
        vouching.leave(&fs, 1, at(5));
        assert!(vouching.expire(at(100)).is_empty(), "the newer stream goes on");
        vouching.leave(&fs, 2, at(10));
        assert!(vouching.expire(at(10)).is_empty());
        assert_eq!(vouching.vouches(&es).len(), 1);
        vouching.lend(&fs, 3, "fs-1", lent());
        assert!(vouching.expire(at(100)).is_empty(), "it is back");
        vouching.leave(&fs, 3, at(110));
        assert_eq!(vouching.expire(at(111)), BTreeSet::from([es.clone()]));
        assert!(vouching.vouches(&es).is_empty());
        vouching.leave(&es, 1, at(120));
        assert!(vouching.borrowers.is_empty() && vouching.borrowed_from.is_empty());
    }

    #[test]
    fn what_still_holds_is_said_again_now_and_then() {
        let es = HostId::random();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut vouching = Vouching::default();
        vouching.borrow(&es, 1, BTreeSet::from([directory(5, "/b")]));
        assert_eq!(vouching.remind(at(0)), BTreeSet::from([es.clone()]));
        assert!(vouching.remind(at(899)).is_empty());
        assert_eq!(vouching.remind(at(900)), BTreeSet::from([es]));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Lend(usize, BTreeSet<u8>, Option<Verdict>),
        Borrow(usize, BTreeSet<u8>),
        Leave(usize),
        End(usize),
        Expire,
    }

    fn event() -> impl Strategy<Value = Event> {
        let hosts = 0_usize..4;
        let numbers = || prop::collection::btree_set(0_u8..3, 0..3);
        let verdicts = prop::option::of(prop::sample::select(Verdict::ALL));
        prop_oneof![
            (hosts.clone(), numbers(), verdicts).prop_map(|(a, b, c)| Event::Lend(a, b, c)),
            (hosts.clone(), numbers()).prop_map(|(a, b)| Event::Borrow(a, b)),
            hosts.clone().prop_map(Event::Leave),
            hosts.prop_map(Event::End),
            Just(Event::Expire),
        ]
    }

    proptest! {
        /// Whatever happens: who was not told that something changed would hear what it heard before, and nothing is
        /// left of those who are gone.
        #[test]
        fn who_is_concerned_is_told(events in prop::collection::vec(event(), 1..40)) {
            let hosts: Vec<_> = (0..4).map(|_| HostId::random()).collect();
            let mut vouching = Vouching::default();
            let mut known: BTreeMap<HostId, Vec<Vouch>> = BTreeMap::new();
            let now = Timestamp::from_second(10).unwrap();
            for event in events {
                let changed = match event {
                    Event::Lend(host, addresses, verdict) => {
                        let addresses: Vec<u8> = addresses.into_iter().collect();
                        let exports: Vec<_> = verdict.map(|v| ("/b", v)).into_iter().collect();
                        vouching.lend(&hosts[host], 1, "fs", offer(&addresses, &exports))
                    }
                    Event::Borrow(host, addresses) => {
                        let all = addresses.into_iter().map(|last| directory(last, "/b"));
                        vouching.borrow(&hosts[host], 1, all.collect());
                        BTreeSet::from([hosts[host].clone()])
                    }
                    Event::Leave(host) => {
                        vouching.leave(&hosts[host], 1, now);
                        BTreeSet::from([hosts[host].clone()])
                    }
                    Event::End(host) => {
                        let mut changed = vouching.end(&hosts[host]);
                        changed.insert(hosts[host].clone());
                        changed
                    }
                    Event::Expire => vouching.expire(Timestamp::from_second(11).unwrap()),
                };
                for host in &changed {
                    known.insert(host.clone(), vouching.vouches(host));
                }
                for host in &hosts {
                    prop_assert_eq!(known.get(host).cloned().unwrap_or_default(), vouching.vouches(host));
                }
            }
            for host in &hosts {
                vouching.end(host);
            }
            prop_assert!(vouching.by_address.is_empty() && vouching.borrowed_from.is_empty());
        }
    }
}
