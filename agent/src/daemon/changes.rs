//! When changes lead to a look: soon after the first, once for a burst, and at a bounded rate in a storm. Pure: times are
//! durations since some moment.

use std::time::Duration;

/// How soon and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// So long after the last change it is quiet.
    pub settle: Duration,
    /// So long after the first change it is looked, quiet or not.
    pub most: Duration,
    /// So many looks may follow one another at once,
    pub burst: u32,
    /// and then one in this time,
    pub period: Duration,
    /// or in so many times as long as a look takes, if that is more,
    pub share: u32,
    /// but not more than this: a look that waits for a dead disk is slow, and is needed all the same.
    pub longest: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(30),
            most: Duration::from_millis(100),
            burst: 10,
            // A change that brings something new to watch leads to two looks.
            period: Duration::from_secs(1),
            share: 5,
            longest: Duration::from_secs(10),
        }
    }
}

/// The changes that nobody has looked at since.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    pacing: Pacing,
    /// The first and the last of them.
    waiting: Option<(Duration, Duration)>,
    /// When all looks that were made are paid for (the generic cell rate algorithm).
    paid_at: Duration,
    /// When the last one that counts began.
    last: Option<Duration>,
    /// What a look costs.
    price: Duration,
}

impl Changes {
    pub(super) const fn new(pacing: Pacing) -> Self {
        Self { pacing, waiting: None, paid_at: Duration::ZERO, last: None, price: pacing.period }
    }

    /// Something changed.
    pub(super) fn note(&mut self, now: Duration) {
        let (first, _) = self.waiting.unwrap_or((now, now));
        self.waiting = Some((first, now));
    }

    /// When to look, as far as is known now; `None` when nothing changed since the last look began.
    pub(super) fn due(&self) -> Option<Duration> {
        let (first, last) = self.waiting?;
        let settled = (last + self.pacing.settle).min(first + self.pacing.most);
        let credit = self.price.saturating_mul(self.pacing.burst.saturating_sub(1));
        let paced = self.paid_at.saturating_sub(credit);
        // Looks that were dear are no debt at the price of today: one price after the last one is enough in any case.
        let paced = self.last.map_or(paced, |last| paced.min(last + self.price));
        Some(settled.max(paced))
    }

    /// A look begins: it sees all changes until now. One that was made for them counts.
    pub(super) fn looked(&mut self, now: Duration, counts: bool) {
        self.waiting = None;
        if counts {
            self.paid_at = self.paid_at.max(now) + self.price;
            self.last = Some(now);
        }
    }

    /// A look took so long.
    pub(super) fn took(&mut self, time: Duration) {
        let share = time.saturating_mul(self.pacing.share).min(self.pacing.longest);
        self.price = self.pacing.period.max(share);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACING: Pacing = Pacing {
        settle: Duration::from_millis(30),
        most: Duration::from_millis(100),
        burst: 10,
        period: Duration::from_secs(2),
        share: 10,
        longest: Duration::from_secs(10),
    };

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// When looks begin that take so long, for changes at these times (sorted), until nothing is left to look at.
    fn looks(changes: &[u64], takes: u64) -> Vec<u64> {
        let mut state = Changes::new(PACING);
        let (mut left, mut busy_until, mut begun) = (changes.iter().peekable(), 0, Vec::new());
        loop {
            let due = state.due().map(|at| u64::try_from(at.as_millis()).unwrap().max(busy_until));
            match (left.peek(), due) {
                (Some(&&change), due) if due.is_none_or(|due| change <= due) => {
                    state.note(ms(change));
                    left.next();
                }
                (_, Some(due)) => {
                    state.looked(ms(due), true);
                    state.took(ms(takes));
                    busy_until = due + takes;
                    begun.push(due);
                }
                (_, None) => return begun,
            }
        }
    }

    #[test]
    fn one_change_is_looked_at_soon_and_once() {
        assert_eq!(looks(&[1000], 5), [1030]);
    }

    #[test]
    fn a_burst_is_one_look_and_a_long_one_is_not_waited_for() {
        assert_eq!(looks(&[1000, 1010, 1020], 5), [1050]);
        let long: Vec<u64> = (0..20).map(|step| 1000 + step * 10).collect();
        assert_eq!(looks(&long, 5), [1100, 1210]);
    }

    #[test]
    fn a_change_while_it_looks_is_looked_at_after() {
        assert_eq!(looks(&[1000, 1050], 500), [1030, 1530]);
    }

    #[test]
    fn an_hour_of_storm_is_a_look_in_two_seconds_and_of_slow_looks_fewer() {
        let storm: Vec<u64> = (0..360_000).map(|step| step * 10).collect();
        let count = looks(&storm, 5).len();
        assert!((1800..=1811).contains(&count), "{count}");
        let count = looks(&storm, 1000).len();
        assert!((360..=371).contains(&count), "{count}");
    }

    #[test]
    fn looks_that_were_slow_are_not_paid_for_when_they_are_quick_again() {
        let mut state = Changes::new(PACING);
        for second in 0..20 {
            state.looked(Duration::from_secs(second), true);
            state.took(Duration::from_secs(1));
        }
        state.took(ms(10));
        state.note(Duration::from_secs(20));
        let due = state.due().unwrap();
        assert!(due <= Duration::from_secs(21), "{due:?}");
    }

    proptest! {
        #[test]
        fn every_change_is_followed_by_a_look_and_soon_when_it_was_quiet(
            gaps in proptest::collection::vec(0_u64..5000, 0..200),
            takes in 0_u64..3000,
        ) {
            let changes: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let begun = looks(&changes, takes);
            for change in &changes {
                prop_assert!(begun.iter().any(|look| look >= change), "{change} of {changes:?}: {begun:?}");
            }
            if let Some(first) = changes.first() {
                prop_assert!(begun[0] <= first + 100);
            }
        }

        #[test]
        fn no_time_has_more_looks_than_are_allowed(
            gaps in proptest::collection::vec(0_u64..300, 0..500),
            takes in 0_u64..100,
        ) {
            let changes: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let begun = looks(&changes, takes);
            for (at, from) in begun.iter().enumerate() {
                for (count, to) in begun[at..].iter().enumerate() {
                    // `count` more looks than the first in this time.
                    prop_assert!(u64::try_from(count).unwrap() <= 10 + (to - from) / 2000, "{begun:?}");
                }
            }
        }

        #[test]
        fn a_change_after_quiet_is_looked_at_within_a_tenth_of_a_second(
            changes in proptest::collection::vec(0_u64..100_000, 1..50),
            quiet in 400_000_u64..500_000,
        ) {
            let mut changes = changes;
            changes.sort_unstable();
            changes.push(quiet);
            let begun = looks(&changes, 50);
            prop_assert!(begun.iter().any(|look| (quiet..=quiet + 100).contains(look)));
        }
    }
}
