//! Failed enrolments per address: who tries secrets is slowed down, and costs no work.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;

const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered: bounds the memory that a flood can take.
const MAX_ADDRESSES: usize = 10_000;

/// Counts failures in windows of a minute.
#[derive(Debug)]
pub(super) struct Failures {
    per_minute: u32,
    windows: BTreeMap<IpAddr, (Timestamp, u32)>,
    /// When old windows were last thrown away: that costs a walk, and a flood must not make us run.
    swept_at: Timestamp,
}

impl Failures {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, windows: BTreeMap::new(), swept_at: Timestamp::MIN }
    }

    /// Until when an address is turned away; `None` when it is not.
    pub(super) fn blocked_until(&self, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let (began, failures) = self.windows.get(&network(address))?;
        let end = clock::after(*began, WINDOW);
        (*failures >= self.per_minute && now < end).then_some(end)
    }

    pub(super) fn note(&mut self, address: IpAddr, now: Timestamp) {
        if self.windows.len() >= MAX_ADDRESSES && clock::after(self.swept_at, WINDOW) <= now {
            self.swept_at = now;
            self.windows.retain(|_, (began, _)| now < clock::after(*began, WINDOW));
        }
        let known = self.windows.len();
        let network = network(address);
        if known >= MAX_ADDRESSES && !self.windows.contains_key(&network) {
            return;
        }
        let window = self.windows.entry(network).or_insert((now, 0));
        if clock::after(window.0, WINDOW) <= now {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
    }
}

/// One customer of a provider has a /64: its addresses count as one.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_address_is_turned_away_for_the_rest_of_the_minute() {
        let mut failures = Failures::new(2);
        let (bad, good): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        failures.note(bad, at(0));
        assert_eq!(failures.blocked_until(bad, at(1)), None);
        failures.note(bad, at(1));
        assert_eq!(failures.blocked_until(bad, at(2)), Some(at(60)));
        assert_eq!(failures.blocked_until(good, at(2)), None);
        assert_eq!(failures.blocked_until(bad, at(60)), None);
        failures.note(bad, at(61));
        assert_eq!(failures.blocked_until(bad, at(62)), None, "a new minute begins from nothing");
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let mut failures = Failures::new(1);
        for host in 0..20_000_u32 {
            failures.note(IpAddr::from(host.to_be_bytes()), at(0));
        }
        assert!(failures.windows.len() <= MAX_ADDRESSES);
    }
}
