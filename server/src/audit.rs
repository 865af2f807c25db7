//! The audit log: what operators changed, tried to change, and were denied. Pure.
//!
//! An entry of a change is written in the transaction of the change. Denied calls change nothing: they are counted
//! in memory and written at an interval, so that whoever guesses tokens costs no writes. No entry holds a secret, nor
//! the text of a call that failed: somebody may have pasted a secret where a name belongs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;

use crate::access::Role;

/// Different callers that are told apart between two writes; what is beyond is counted together.
const MAX_DENIED: usize = 1_000;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or had been done before.
    Done,
    /// The caller may not.
    Denied,
    /// The caller may, but it did not work.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Denied, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(())
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    /// Empty when the token named nobody.
    pub operator: String,
    pub role: Option<Role>,
    /// Such as `TokenService/CreateToken`.
    pub rpc: String,
    /// What was changed, such as `token:0123456789ab`; empty when nothing was.
    pub object: String,
    /// Where the call came from; empty for calls of many addresses that are counted together.
    pub address: String,
    pub outcome: Outcome,
    pub detail: String,
    /// How many calls this stands for.
    pub count: u64,
}

/// Who was denied what, from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// With its role; `None` when the token named nobody.
    pub operator: Option<(String, Role)>,
    pub rpc: String,
    pub address: Option<IpAddr>,
}

/// Denied calls that are not written yet.
#[derive(Debug, Default)]
pub struct Denials {
    seen: BTreeMap<Denied, (Timestamp, u64)>,
}

impl Denials {
    pub fn note(&mut self, denied: Denied, now: Timestamp) {
        self.add(denied, now, 1);
    }

    fn add(&mut self, denied: Denied, at: Timestamp, count: u64) {
        let full = self.seen.len() >= MAX_DENIED && !self.seen.contains_key(&denied);
        let denied = if full {
            Denied { operator: None, rpc: String::new(), address: None }
        } else {
            denied
        };
        let seen = self.seen.entry(denied).or_insert((at, 0));
        *seen = (seen.0.max(at), seen.1.saturating_add(count));
    }

    /// What there is to write, each with the time of its last call.
    pub fn take(&mut self) -> Vec<(Denied, Timestamp, u64)> {
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter().map(|(denied, (at, count))| (denied, at, count)).collect()
    }

    /// It could not be written: next time.
    pub fn put_back(&mut self, denials: Vec<(Denied, Timestamp, u64)>) {
        for (denied, at, count) in denials {
            self.add(denied, at, count);
        }
    }
}

/// The entry of calls that were denied.
pub fn denied(denied: &Denied, at: Timestamp, count: u64) -> Entry {
    let (operator, role) = match &denied.operator {
        Some((operator, role)) => (operator.clone(), Some(*role)),
        None => (String::new(), None),
    };
    Entry {
        at,
        operator,
        role,
        rpc: denied.rpc.clone(),
        object: String::new(),
        address: denied.address.map(|address| address.to_string()).unwrap_or_default(),
        outcome: Outcome::Denied,
        detail: String::new(),
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn from(host: u32) -> Denied {
        let address = Some(IpAddr::from(host.to_be_bytes()));
        Denied { operator: None, rpc: "TokenService/ListTokens".to_owned(), address }
    }

    #[test]
    fn the_same_call_again_is_one_entry_with_a_count() {
        let mut denials = Denials::default();
        denials.note(from(1), at(1));
        denials.note(from(1), at(3));
        denials.note(from(2), at(2));
        let taken = denials.take();
        assert_eq!(taken, [(from(1), at(3), 2), (from(2), at(2), 1)]);
        assert!(denials.take().is_empty());
        denials.note(from(1), at(4));
        denials.put_back(taken);
        assert_eq!(denials.take(), [(from(1), at(4), 3), (from(2), at(2), 1)]);
        let entry = denied(&from(1), at(4), 3);
        assert_eq!((&*entry.address, entry.count), ("0.0.0.1", 3));
    }

    #[test]
    fn a_flood_takes_bounded_memory_and_loses_no_count() {
        let mut denials = Denials::default();
        for host in 0..20_000 {
            denials.note(from(host), at(0));
        }
        let taken = denials.take();
        assert!(taken.len() <= MAX_DENIED + 1);
        assert_eq!(taken.iter().map(|(_, _, count)| count).sum::<u64>(), 20_000);
    }
}
