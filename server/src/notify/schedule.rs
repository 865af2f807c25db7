//! Which messages are told together, and when. Pure.
//!
//! A message waits a moment for others of its cluster, so that a storm is one notice and not a thousand; a notice that
//! is full does not wait. What is more than the rate allows waits. Nothing is dropped, and nothing changes its order.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::rate::{Bucket, Rate};
use crate::clock;

/// How a notifier is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Messages of one notice, at least one.
    pub together: usize,
    /// Notices on their way at one time.
    pub at_once: usize,
    /// How long the first message of a notice waits for others.
    pub group_wait: Duration,
    /// The least time between two notices of one cluster.
    pub group_interval: Duration,
    /// Of notices.
    pub rate: Rate,
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub cluster: &'a str,
    pub due_at: Timestamp,
    /// Not to be told with others: it may be what the receiver does not take.
    pub alone: bool,
}

/// What to do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Notices to send, each as the places of its messages in the list of candidates.
    pub notices: Vec<Vec<usize>>,
    /// When to plan again, if nothing happens before.
    pub again_at: Option<Timestamp>,
}

/// What was told before, as far as it matters for what is told next.
#[derive(Debug)]
pub struct Scheduler {
    pace: Pace,
    /// Messages of one notice, for now: fewer after one was refused.
    together: usize,
    bucket: Bucket,
    /// When a cluster's last notice was sent.
    told: BTreeMap<String, Timestamp>,
    /// The receiver asked to be left alone until then.
    resume_at: Timestamp,
}

impl Scheduler {
    pub const fn new(pace: Pace) -> Self {
        let bucket = Bucket::new(pace.rate);
        Self {
            pace,
            together: pace.together,
            bucket,
            told: BTreeMap::new(),
            resume_at: Timestamp::MIN,
        }
    }

    /// The receiver asked to be left alone.
    pub fn pause_until(&mut self, at: Timestamp) {
        self.resume_at = self.resume_at.max(at);
    }

    /// A notice of so many was refused: one of them may be what is not wanted, and is found by halves.
    pub fn narrow(&mut self, messages: usize) {
        self.together = self.together.min(messages / 2).max(1);
    }

    /// A notice was taken.
    pub fn widen(&mut self) {
        self.together = self.together.saturating_mul(2).min(self.pace.together);
    }

    /// What was told when it was later than now is no reason to wait.
    pub fn clock_went_back(&mut self) {
        self.told.clear();
        self.bucket = Bucket::new(self.pace.rate);
        self.resume_at = Timestamp::MIN;
    }

    /// What to send of these, which are in the order in which they are to be told, when `busy` notices are on their way.
    pub fn plan(&mut self, candidates: &[Candidate<'_>], busy: usize, now: Timestamp) -> Plan {
        if candidates.is_empty() {
            return Plan::default();
        }
        if self.resume_at > now {
            return Plan { notices: Vec::new(), again_at: Some(self.resume_at) };
        }
        let interval = self.pace.group_interval;
        self.told.retain(|_, told| clock::after(*told, interval) > now);
        let mut plan = Plan::default();
        for group in self.groups(candidates) {
            let ready_at = self.ready_at(&group, candidates, now);
            if ready_at > now {
                plan.wait_until(ready_at);
                continue;
            }
            // Who is on the way comes back, and it is planned again then.
            if busy.saturating_add(plan.notices.len()) >= self.pace.at_once {
                break;
            }
            if let Err(free_at) = self.bucket.take(now) {
                plan.wait_until(free_at);
                break;
            }
            if let Some(first) = group.first().and_then(|first| candidates.get(*first))
                && self.pace.together > 1
            {
                self.told.insert(first.cluster.to_owned(), now);
            }
            plan.notices.push(group);
        }
        plan
    }

    /// Candidates that may be told together, in the order of the first of each.
    fn groups(&self, candidates: &[Candidate<'_>]) -> Vec<Vec<usize>> {
        let mut groups = Vec::<Vec<usize>>::new();
        // The group of each cluster that has room.
        let mut open = BTreeMap::<&str, usize>::new();
        for (place, candidate) in candidates.iter().enumerate() {
            if candidate.alone || self.together <= 1 {
                groups.push(vec![place]);
                continue;
            }
            let known = open.get(candidate.cluster).and_then(|at| groups.get_mut(*at));
            match known {
                Some(group) if group.len() < self.together => group.push(place),
                Some(_) | None => {
                    open.insert(candidate.cluster, groups.len());
                    groups.push(vec![place]);
                }
            }
        }
        groups
    }

    fn ready_at(&self, group: &[usize], candidates: &[Candidate<'_>], now: Timestamp) -> Timestamp {
        let members = || group.iter().filter_map(|place| candidates.get(*place));
        let alone = members().any(|candidate| candidate.alone);
        if alone || group.len() >= self.together {
            return now;
        }
        let Some(oldest) = members().map(|candidate| candidate.due_at).min() else { return now };
        if oldest > now {
            // By a clock that went back.
            return now;
        }
        let waited = clock::after(oldest, self.pace.group_wait);
        let told = members().next().and_then(|first| self.told.get(first.cluster));
        let apart = told.map(|told| clock::after((*told).min(now), self.pace.group_interval));
        apart.map_or(waited, |apart| waited.max(apart))
    }
}

impl Plan {
    fn wait_until(&mut self, at: Timestamp) {
        self.again_at = Some(self.again_at.map_or(at, |known| known.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const PEOPLE: Pace = Pace {
        together: 3,
        at_once: 1,
        group_wait: Duration::from_secs(2),
        group_interval: Duration::from_secs(10),
        rate: Rate::per_minute(60),
    };
    const PROGRAMS: Pace = Pace {
        together: 1,
        at_once: 8,
        group_wait: Duration::ZERO,
        group_interval: Duration::ZERO,
        rate: Rate::per_minute(600),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn due(cluster: &str, second: i64) -> Candidate<'_> {
        Candidate { cluster, due_at: at(second), alone: false }
    }

    #[test]
    fn a_moment_makes_one_notice_of_a_storm() {
        let mut scheduler = Scheduler::new(PEOPLE);
        let plan = scheduler.plan(&[due("a", 0), due("b", 1), due("a", 1)], 0, at(1));
        assert_eq!(plan, Plan { notices: vec![], again_at: Some(at(2)) });
        let plan = scheduler.plan(&[due("a", 0), due("b", 1), due("a", 1)], 0, at(2));
        assert_eq!(plan, Plan { notices: vec![vec![0, 2]], again_at: Some(at(3)) });
        // Its next notice keeps its distance, that of another cluster does not.
        let plan = scheduler.plan(&[due("b", 1), due("a", 3)], 0, at(5));
        assert_eq!(plan, Plan { notices: vec![vec![0]], again_at: Some(at(12)) });
        // What is full does not wait.
        let four = [due("a", 6), due("a", 6), due("a", 6), due("a", 6)];
        assert_eq!(scheduler.plan(&four, 0, at(6)).notices, [[0, 1, 2]]);
        assert!(scheduler.plan(&four, 1, at(6)).notices.is_empty(), "one at a time");
    }

    #[test]
    fn programs_are_told_one_by_one_and_at_once() {
        let mut scheduler = Scheduler::new(PROGRAMS);
        let many: Vec<_> = (0..20).map(|_| due("a", 0)).collect();
        let plan = scheduler.plan(&many, 3, at(0));
        assert_eq!(plan.notices, [[0], [1], [2], [3], [4]]);
        assert_eq!(plan.again_at, None, "those on the way come back");
    }

    #[test]
    fn what_exceeds_the_rate_waits_and_so_does_all_when_the_receiver_says_so() {
        let pace = Pace { rate: "2/10s".parse().unwrap(), ..PROGRAMS };
        let mut scheduler = Scheduler::new(pace);
        let many: Vec<_> = (0..5).map(|_| due("a", 0)).collect();
        let plan = scheduler.plan(&many, 0, at(0));
        assert_eq!(plan, Plan { notices: vec![vec![0], vec![1]], again_at: Some(at(5)) });
        scheduler.pause_until(at(60));
        assert_eq!(scheduler.plan(&many, 0, at(59)).again_at, Some(at(60)));
        assert_eq!(scheduler.plan(&many, 0, at(60)).notices.len(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_wait() {
        let mut scheduler = Scheduler::new(PEOPLE);
        assert_eq!(scheduler.plan(&[due("a", 5_000)], 0, at(5_010)).notices, [[0]]);
        scheduler.pause_until(at(5_600));
        scheduler.clock_went_back();
        // Due by the clock as it was.
        assert_eq!(scheduler.plan(&[due("a", 5_011)], 0, at(1_000)).notices, [[0]]);
    }

    #[test]
    fn a_refusal_makes_notices_smaller_and_what_is_taken_makes_them_larger_again() {
        let mut scheduler = Scheduler::new(Pace { at_once: 9, ..PEOPLE });
        let three = [due("a", 0), due("a", 0), due("a", 0)];
        scheduler.narrow(3);
        assert_eq!(scheduler.plan(&three, 0, at(5)).notices, [[0], [1], [2]]);
        scheduler.widen();
        assert_eq!(scheduler.plan(&three[..2], 0, at(50)).notices, [[0, 1]]);
        scheduler.widen();
        assert_eq!(scheduler.plan(&three, 0, at(100)).notices, [[0, 1, 2]]);
    }

    #[test]
    fn what_may_be_the_trouble_is_told_alone() {
        let mut scheduler = Scheduler::new(Pace { at_once: 9, ..PEOPLE });
        let last = Candidate { alone: true, ..due("a", 5) };
        let plan = scheduler.plan(&[due("a", 0), last, due("a", 0)], 0, at(5));
        assert_eq!(plan.notices, [vec![0, 2], vec![1]]);
    }

    proptest! {
        /// Whatever comes when: everything is told once, in its order within its cluster, in notices of one cluster
        /// that are not too large, not more of them than the rate allows, and a plan that waits says until when.
        #[test]
        fn nothing_is_lost_or_overtaken(
            arrivals in prop::collection::vec((0_i64..40, 0_usize..3, any::<bool>()), 1..60),
            together in 1_usize..5,
            at_once in 1_usize..4,
            wait in 0_u64..5,
            interval in 0_u64..12,
            count in 1_u32..5,
        ) {
            let pace = Pace {
                together,
                at_once,
                group_wait: Duration::from_secs(wait),
                group_interval: Duration::from_secs(interval),
                rate: format!("{count}/10s").parse().unwrap(),
            };
            let clusters = ["a", "b", "c"];
            let mut arrivals = arrivals;
            arrivals.sort_by_key(|(second, _, _)| *second);
            let mut scheduler = Scheduler::new(pace);
            let mut waiting = Vec::<usize>::new();
            let (mut told, mut sent) = (Vec::<usize>::new(), Vec::new());
            let (mut now, mut next) = (0_i64, 0);
            while told.len() < arrivals.len() {
                while arrivals.get(next).is_some_and(|(second, _, _)| *second <= now) {
                    waiting.push(next);
                    next += 1;
                }
                let candidates: Vec<_> = waiting
                    .iter()
                    .map(|arrival| {
                        let (second, cluster, alone) = arrivals[*arrival];
                        Candidate { cluster: clusters[cluster], due_at: at(second), alone }
                    })
                    .collect();
                let plan = scheduler.plan(&candidates, 0, at(now));
                prop_assert!(plan.notices.len() <= at_once);
                let mut taken = BTreeSet::new();
                for notice in &plan.notices {
                    prop_assert!(!notice.is_empty() && notice.len() <= together.max(1));
                    prop_assert!(notice.is_sorted());
                    let of = |place: &usize| candidates[*place];
                    prop_assert!(notice.iter().all(|place| of(place).cluster == of(&notice[0]).cluster));
                    prop_assert!(notice.len() == 1 || notice.iter().all(|place| !of(place).alone));
                    sent.push(now);
                    for place in notice {
                        prop_assert!(taken.insert(*place), "told twice");
                        told.push(waiting[*place]);
                    }
                }
                if plan.notices.is_empty() && !waiting.is_empty() {
                    prop_assert!(plan.again_at.is_some_and(|again| again > at(now)), "it would wait for ever");
                }
                let mut place = 0;
                waiting.retain(|_| { place += 1; !taken.contains(&(place - 1)) });
                now += 1;
                prop_assert!(now < 5_000, "it never ends");
            }
            for (first, begun) in sent.iter().enumerate() {
                let within = sent[first..].iter().filter(|sent| **sent - begun < 10).count();
                prop_assert!(within <= 2 * usize::try_from(count).unwrap());
            }
            // Those that are not told alone keep their order within the cluster.
            for cluster in 0..3 {
                let order: Vec<_> = told
                    .iter()
                    .filter(|arrival| arrivals[**arrival].1 == cluster && !arrivals[**arrival].2)
                    .collect();
                prop_assert!(order.is_sorted(), "{order:?}");
            }
        }
    }
}
