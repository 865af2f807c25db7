//! What one host may say in a time, on whichever stream. One that says more is read from more slowly, and one that goes on
//! so is sent away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::fleet::HostId;
use crate::limit::{Bucket, Rate};

/// Streams of one host: its agent opens one, and another when that one broke.
const STREAMS: Rate = Rate { per_second: 10, burst: 200 };
/// A spool that was filled while the server was away may come at once, as far as this goes.
const BURST_SECONDS: u64 = 10;
/// Bytes that may come at once: several of the largest reports.
const BURST_BYTES: u64 = 64 << 20;

/// The rates of every host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    messages: Rate,
    bytes: Rate,
    /// How long a host may be read from more slowly than it speaks.
    patience: Duration,
}

impl Rates {
    pub(crate) const fn new(messages: u64, bytes: u64, patience: Duration) -> Self {
        let burst = messages.saturating_mul(BURST_SECONDS);
        Self {
            messages: Rate { per_second: messages, burst },
            bytes: Rate { per_second: bytes, burst: BURST_BYTES },
            patience,
        }
    }
}

/// What becomes of what a host said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Now,
    /// It is taken after this, and nothing is read meanwhile.
    After(Duration),
    /// The host was told so for long enough, by not being read from.
    Never,
}

/// What is left of one host's rates.
#[derive(Debug)]
pub(super) struct Budget {
    rates: Rates,
    streams: Bucket,
    messages: Bucket,
    bytes: Bucket,
    /// Since when it has been over them without a pause.
    over_since: Option<Timestamp>,
}

impl Budget {
    /// The host opens a stream; otherwise when it may.
    pub(super) fn open(&mut self, now: Timestamp) -> Result<(), Duration> {
        self.streams.take(STREAMS, now)
    }

    /// The host said something of this size, in bytes.
    pub(super) fn spend(&mut self, size: u64, now: Timestamp) -> Pace {
        let wait = self.messages.borrow(self.rates.messages, 1, now).max(self.bytes.borrow(
            self.rates.bytes,
            size,
            now,
        ));
        if wait.is_zero() {
            self.over_since = None;
            return Pace::Now;
        }
        let since = *self.over_since.get_or_insert(now);
        if clock::after(since, self.rates.patience) <= now {
            return Pace::Never;
        }
        Pace::After(wait)
    }
}

/// The budgets of all hosts that spoke. There are no more than hosts that were enrolled.
#[derive(Debug)]
pub(crate) struct Throttles {
    rates: Rates,
    hosts: Mutex<BTreeMap<HostId, Arc<Mutex<Budget>>>>,
}

impl Throttles {
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, hosts: Mutex::default() }
    }

    /// Of a host that is enrolled.
    pub(super) fn of(&self, host: &HostId) -> Arc<Mutex<Budget>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = hosts.entry(host.clone()).or_insert_with(|| {
            Arc::new(Mutex::new(Budget {
                rates: self.rates,
                streams: Bucket::full(),
                messages: Bucket::full(),
                bytes: Bucket::full(),
                over_since: None,
            }))
        });
        Arc::clone(budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn budget() -> Arc<Mutex<Budget>> {
        let rates = Rates::new(10, 1 << 20, Duration::from_secs(30));
        Throttles::new(rates).of(&HostId::random())
    }

    #[test]
    fn a_host_is_slowed_down_and_then_sent_away() {
        let budget = budget();
        let mut budget = budget.lock().unwrap();
        for _ in 0..100 {
            assert_eq!(budget.spend(10, at(0)), Pace::Now, "a burst");
        }
        assert_eq!(budget.spend(10, at(0)), Pace::After(Duration::from_millis(100)));
        let (mut now, mut slowed) = (at(0), 0);
        while let Pace::After(wait) = budget.spend(10, now) {
            now = clock::after(now, wait);
            slowed += 1;
        }
        // Ten a second for half a minute: slowed down, it is held to its rate.
        assert!((149..=301).contains(&slowed), "{slowed}");
        // It comes again after a while.
        assert_eq!(budget.spend(10, at(120)), Pace::Now);
    }

    #[test]
    fn large_messages_cost_what_they_weigh() {
        let budget = budget();
        let mut budget = budget.lock().unwrap();
        for _ in 0..8 {
            assert_eq!(budget.spend(8 << 20, at(0)), Pace::Now);
        }
        assert_eq!(budget.spend(8 << 20, at(0)), Pace::After(Duration::from_secs(8)));
    }

    #[test]
    fn whoever_opens_stream_after_stream_has_to_wait() {
        let budget = budget();
        let mut budget = budget.lock().unwrap();
        let opened = (0..1_000).filter(|_| budget.open(at(0)).is_ok()).count();
        assert_eq!(opened, 200);
        assert_eq!(budget.open(at(1)), Ok(()));
    }
}
