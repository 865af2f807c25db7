//! How fast hosts may enrol, from one address and in all: a storm is spread out, so that it settles.
//!
//! Who has to wait is told when its turn is, each a later time than the one before, so that they do not come again
//! together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::failures::network;
use crate::clock;
use crate::limit::{Bucket, Rate};

/// So many times what a second allows may come at once.
const BURST_SECONDS: u64 = 10;
/// Nobody is asked to stay away for longer: the turns behind this are given again.
const LONGEST: Duration = Duration::from_mins(5);
/// Addresses that are remembered: bounds the memory that a flood can take.
const MAX_ADDRESSES: usize = 10_000;

/// Whose limit it is that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Address,
    All,
}

/// A queue without places: who is turned away is told when to come.
#[derive(Debug, Clone, Copy)]
struct Queue {
    bucket: Bucket,
    /// The last turn that was given.
    promised: Timestamp,
}

impl Queue {
    const fn new() -> Self {
        Self { bucket: Bucket::full(), promised: Timestamp::MIN }
    }

    fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let Err(wait) = self.bucket.take(rate, now) else { return Ok(()) };
        let one = Duration::from_nanos(1_000_000_000 / rate.per_second.max(1));
        let mut turn = clock::after(self.promised, one).max(clock::after(now, wait));
        if turn > clock::after(now, LONGEST) {
            turn = clock::after(now, wait);
        }
        self.promised = turn;
        let left: SignedDuration = turn.duration_since(now);
        Err(Duration::try_from(left).unwrap_or(wait))
    }
}

/// Counts enrolments.
#[derive(Debug)]
pub(super) struct Admission {
    per_address: Rate,
    in_all: Rate,
    addresses: BTreeMap<IpAddr, Queue>,
    all: Queue,
}

impl Admission {
    pub(super) fn new(per_second_per_address: u64, per_second: u64) -> Self {
        let rate =
            |per_second: u64| Rate { per_second, burst: per_second.saturating_mul(BURST_SECONDS) };
        Self {
            per_address: rate(per_second_per_address),
            in_all: rate(per_second),
            addresses: BTreeMap::new(),
            all: Queue::new(),
        }
    }

    /// A host wants to enrol; otherwise whose limit was reached, and how long to stay away.
    pub(super) fn admit(
        &mut self,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), (Limit, Duration)> {
        let network = network(address);
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&network) {
            let is_over = |queue: &Queue| queue.bucket.is_full(now) && queue.promised <= now;
            self.addresses.retain(|_, queue| !is_over(queue));
        }
        // From more addresses than are remembered, the limit of all holds.
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&network) {
            let queue = self.addresses.entry(network).or_insert_with(Queue::new);
            queue.take(self.per_address, now).map_err(|wait| (Limit::Address, wait))?;
        }
        self.all.take(self.in_all, now).map_err(|wait| (Limit::All, wait))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn host(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn one_address_has_its_own_limit_and_all_have_one_together() {
        let mut admission = Admission::new(1, 2);
        for _ in 0..10 {
            assert_eq!(admission.admit(host(1), at(0)), Ok(()));
        }
        assert!(matches!(admission.admit(host(1), at(0)), Err((Limit::Address, _))));
        for _ in 0..10 {
            assert_eq!(admission.admit(host(2), at(0)), Ok(()));
        }
        assert!(matches!(admission.admit(host(3), at(0)), Err((Limit::All, _))));
        assert_eq!(admission.admit(host(3), at(1)), Ok(()));
    }

    /// Three thousand hosts at one moment, each of which does as it is told.
    #[test]
    fn a_storm_settles_within_what_the_rate_needs() {
        const HOSTS: u32 = 3_000;
        let mut admission = Admission::new(1_000, 50);
        let mut waiting: BinaryHeap<_> =
            (0..HOSTS).map(|number| std::cmp::Reverse((at(0), number))).collect();
        let (mut calls, mut last) = (0, at(0));
        while let Some(std::cmp::Reverse((now, number))) = waiting.pop() {
            calls += 1;
            match admission.admit(host(number), now) {
                Ok(()) => last = now,
                Err((_, wait)) => {
                    assert!(wait <= LONGEST);
                    waiting.push(std::cmp::Reverse((clock::after(now, wait), number)));
                }
            }
        }
        // 500 at once, and 50 a second: 50 seconds. Each of the others had to call twice.
        assert!(last <= at(51), "{last}");
        assert!(calls <= 2 * HOSTS, "{calls} calls of {HOSTS} hosts");
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let mut admission = Admission::new(1, 1_000_000);
        for number in 0..30_000 {
            assert_eq!(admission.admit(host(number), at(0)), Ok(()));
        }
        assert!(admission.addresses.len() <= MAX_ADDRESSES);
        assert_eq!(admission.admit(host(40_000), at(60)), Ok(()));
        assert!(admission.addresses.len() < 100, "old ones are forgotten");
    }
}
