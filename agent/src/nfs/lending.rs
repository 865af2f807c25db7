//! What this machine lends and what it has borrowed, and what others say of that: known to the scan and to the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_proto::model::Verdict;
use jiff::Timestamp;

use super::{RemoteDirectory, Vouch};
use crate::path::HostPath;

/// How long a word is good for. The server says it again as long as it hears of the machine that keeps the directory.
const GOOD_FOR: Duration = Duration::from_hours(1);

/// What a machine lends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// By the name that clients mount it by.
    pub exports: BTreeMap<HostPath, Verdict>,
    pub addresses: BTreeSet<IpAddr>,
}

/// Both sides, and the words of others.
#[derive(Debug, Clone, Default)]
pub struct Lending(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lent: Offer,
    borrowed: BTreeSet<RemoteDirectory>,
    /// With when it was said.
    words: BTreeMap<RemoteDirectory, (Vouch, Timestamp)>,
}

impl Lending {
    /// What the latest scan found.
    pub fn found(&self, lent: Offer, borrowed: BTreeSet<RemoteDirectory>) {
        let mut state = self.state();
        state.lent = lent;
        state.borrowed = borrowed;
    }

    pub fn lent(&self) -> Offer {
        self.state().lent.clone()
    }

    pub fn borrowed(&self) -> BTreeSet<RemoteDirectory> {
        self.state().borrowed.clone()
    }

    /// Takes over what the server passes on; `None` is a word that was taken back. With `complete`, nobody vouches for what
    /// is not there. Answers whether something else is known than before.
    pub fn told(
        &self,
        words: BTreeMap<RemoteDirectory, Option<Vouch>>,
        complete: bool,
        now: Timestamp,
    ) -> bool {
        let mut state = self.state();
        let before = state.good(now);
        if complete {
            state.words.clear();
        }
        for (place, word) in words {
            match word {
                Some(word) => drop(state.words.insert(place, (word, now))),
                None => drop(state.words.remove(&place)),
            }
        }
        let borrowed = std::mem::take(&mut state.borrowed);
        state.words.retain(|place, _| borrowed.contains(place));
        state.borrowed = borrowed;
        state.good(now) != before
    }

    /// What is said of the directories now.
    pub fn words(&self, now: Timestamp) -> BTreeMap<RemoteDirectory, Vouch> {
        self.state().good(now)
    }

    /// A panic while it was held is a bug that is told elsewhere; what it guards is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn good(&self, now: Timestamp) -> BTreeMap<RemoteDirectory, Vouch> {
        let is_good =
            |said_at: Timestamp| said_at.checked_add(GOOD_FOR).is_ok_and(|until| now < until);
        let good = self.words.iter().filter(|(_, (_, said_at))| is_good(*said_at));
        good.map(|(place, (word, _))| (place.clone(), word.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn place(path: &str) -> RemoteDirectory {
        RemoteDirectory { address: "10.0.0.5".parse().unwrap(), path: path.into() }
    }

    fn vouch(verdict: Verdict) -> Vouch {
        Vouch { host: "fs-1".to_owned(), verdict }
    }

    fn word(path: &str, verdict: Verdict) -> (RemoteDirectory, Option<Vouch>) {
        (place(path), Some(vouch(verdict)))
    }

    #[test]
    fn a_word_is_good_for_an_hour_and_only_for_what_is_borrowed() {
        let lending = Lending::default();
        lending.found(Offer::default(), BTreeSet::from([place("/a"), place("/b")]));
        let words =
            BTreeMap::from([word("/a", Verdict::Encrypted), word("/c", Verdict::Encrypted)]);
        assert!(lending.told(words.clone(), true, at(0)));
        let kept = BTreeMap::from([(place("/a"), vouch(Verdict::Encrypted))]);
        assert_eq!(lending.words(at(3_599)), kept);
        assert_eq!(lending.words(at(3_600)), BTreeMap::new());
        assert!(!lending.told(words.clone(), true, at(1_800)), "the same again");
        assert_eq!(lending.words(at(5_399)).len(), 1);
    }

    #[test]
    fn what_is_not_said_again_is_over_unless_the_server_does_not_know_yet() {
        let lending = Lending::default();
        lending.found(Offer::default(), BTreeSet::from([place("/a"), place("/b")]));
        assert!(lending.told(BTreeMap::from([word("/a", Verdict::Encrypted)]), true, at(0)));
        assert!(lending.told(BTreeMap::from([word("/b", Verdict::Partial)]), false, at(1)));
        assert_eq!(lending.words(at(2)).len(), 2);
        assert!(lending.told(BTreeMap::from([(place("/b"), None)]), false, at(2)), "taken back");
        assert_eq!(lending.words(at(2)).len(), 1);
        assert!(lending.told(BTreeMap::new(), true, at(3)));
        assert!(lending.words(at(3)).is_empty());
    }
}
