//! How much of something may be done in a time: token buckets. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock;

/// So many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u64,
    pub(crate) burst: u64,
}

impl Rate {
    /// The time in which so many are earned.
    fn earn(self, count: u64) -> Duration {
        let nanoseconds =
            u128::from(count).saturating_mul(1_000_000_000) / u128::from(self.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// What is left of a rate, as the time at which nothing of it is used up any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    pub(crate) const fn full() -> Self {
        Self { full_at: Timestamp::MIN }
    }

    /// Takes so many, also what is not there: how long until that is earned.
    pub(crate) fn borrow(&mut self, rate: Rate, count: u64, now: Timestamp) -> Duration {
        self.full_at = clock::after(self.full_at.max(now), rate.earn(count));
        self.debt(rate, now)
    }

    /// Takes one if it is there; otherwise how long until it will be.
    pub(crate) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let before = *self;
        let wait = self.borrow(rate, 1, now);
        if wait.is_zero() {
            return Ok(());
        }
        *self = before;
        Err(wait)
    }

    /// Nothing of it is used up.
    pub(crate) fn is_full(self, now: Timestamp) -> bool {
        self.full_at <= now
    }

    fn debt(self, rate: Rate, now: Timestamp) -> Duration {
        let left: SignedDuration =
            self.full_at.duration_since(clock::after(now, rate.earn(rate.burst)));
        Duration::try_from(left).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 20 };

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_what_is_earned() {
        let mut bucket = Bucket::full();
        for _ in 0..20 {
            assert_eq!(bucket.take(RATE, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(RATE, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(RATE, at(100)), Ok(()));
        assert!(bucket.take(RATE, at(100)).is_err());
        assert!(!bucket.is_full(at(2_099)) && bucket.is_full(at(2_100)));
    }

    #[test]
    fn what_is_borrowed_is_paid_back() {
        let mut bucket = Bucket::full();
        assert_eq!(bucket.borrow(RATE, 50, at(0)), Duration::from_secs(3));
        assert_eq!(bucket.borrow(RATE, 0, at(1_000)), Duration::from_secs(2));
        assert_eq!(bucket.borrow(RATE, 1, at(3_000)), Duration::from_millis(100));
        assert_eq!(bucket.borrow(RATE, u64::MAX, at(3_000)), bucket.debt(RATE, at(3_000)));
    }

    proptest! {
        /// However it is asked: never more than the burst and what was earned since.
        #[test]
        fn no_more_is_taken_than_the_rate_allows(waits in prop::collection::vec(0_i64..400, 1..200)) {
            let mut bucket = Bucket::full();
            let (mut now, mut taken) = (0, 0);
            for wait in waits {
                now += wait;
                taken += i64::from(bucket.take(RATE, at(now)).is_ok());
            }
            prop_assert!(taken <= 20 + now / 100);
        }
    }
}
