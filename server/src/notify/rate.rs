//! How many notices a notifier may be sent in a time. Pure.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock;

const MOST: u32 = 1_000_000;
const LONGEST: Duration = Duration::from_hours(24);

/// `COUNT/TIME`, such as `30/1m`: so many at once, and as many again within each such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// A text that is not a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotARate;

impl Rate {
    pub const fn per_minute(count: u32) -> Self {
        Self { count: if count == 0 { 1 } else { count }, per: Duration::from_mins(1) }
    }

    /// The time in which one more becomes free.
    fn each(self) -> Duration {
        self.per / self.count.max(1)
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, per) = text.split_once('/').ok_or(NotARate)?;
        let count = count.trim().parse().ok().filter(|count| (1..=MOST).contains(count));
        let per: SignedDuration = per.trim().parse().map_err(|_| NotARate)?;
        let per = Duration::try_from(per)
            .ok()
            .filter(|per| (Duration::from_secs(1)..=LONGEST).contains(per));
        Ok(Self { count: count.ok_or(NotARate)?, per: per.ok_or(NotARate)? })
    }
}

/// What is left of a rate. Kept in memory: a restart begins anew.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate: Rate,
    /// When it is full again. So far in the future as it is used up.
    full_at: Timestamp,
}

impl Bucket {
    pub const fn new(rate: Rate) -> Self {
        Self { rate, full_at: Timestamp::MIN }
    }

    /// Takes one, or says when there is one.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let each = self.rate.each();
        // A clock that went back does not make anybody wait longer than a whole time.
        let full_at = self.full_at.max(now).min(clock::after(now, self.rate.per));
        let full_at = clock::after(full_at, each);
        let free_at = clock::before(full_at, self.rate.per);
        if free_at > now {
            return Err(free_at);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_rate_is_a_count_in_a_time() {
        assert_eq!("30/1m".parse(), Ok(Rate::per_minute(30)));
        assert_eq!("2 / 10s".parse(), Ok(Rate { count: 2, per: Duration::from_secs(10) }));
        for bad in ["", "30", "0/1m", "-1/1m", "1/0s", "1/25h", "x/1m", "1/x", "1/1m/1m"] {
            assert_eq!(bad.parse::<Rate>(), Err(NotARate), "{bad}");
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        let mut bucket = Bucket::new("3/30s".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(bucket.take(at(0)), Ok(()));
        }
        assert_eq!(bucket.take(at(0)), Err(at(10_000)));
        assert_eq!(bucket.take(at(9_999)), Err(at(10_000)));
        assert_eq!(bucket.take(at(10_000)), Ok(()));
        assert_eq!(bucket.take(at(10_000)), Err(at(20_000)));
        for _ in 0..3 {
            assert_eq!(bucket.take(at(900_000)), Ok(()), "it was full again");
        }
        assert!(bucket.take(at(900_000)).is_err());
        assert!(bucket.take(at(0)).is_err_and(|free_at| free_at <= at(30_000)), "a clock set back");
    }

    proptest! {
        /// In no stretch of time go more than the count and what becomes free in it; and whoever waits as long as
        /// is said gets one.
        #[test]
        fn no_time_has_more_than_it_may(
            count in 1_u32..6,
            seconds in 1_u64..20,
            steps in prop::collection::vec(0_i64..4_000, 1..60),
        ) {
            let rate = Rate { count, per: Duration::from_secs(seconds) };
            let mut bucket = Bucket::new(rate);
            let (mut now, mut taken) = (0, Vec::new());
            for step in steps {
                now += step;
                match bucket.take(at(now)) {
                    Ok(()) => taken.push(now),
                    Err(free_at) => {
                        prop_assert!(free_at > at(now));
                        let mut later = bucket;
                        prop_assert_eq!(later.take(free_at), Ok(()));
                    }
                }
            }
            let per = i64::try_from(seconds).unwrap() * 1_000;
            for (first, begun) in taken.iter().enumerate() {
                let within = taken[first..].iter().filter(|taken| **taken - begun < per).count();
                // At once, and those that became free meanwhile.
                prop_assert!(within <= 2 * usize::try_from(count).unwrap());
            }
        }
    }
}
