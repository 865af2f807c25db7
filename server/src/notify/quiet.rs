//! Times in which messages wait, unless they are severe. Pure: the time zone's rules were read before.

use atrest_proto::model::Severity;
use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// A stretch of local time that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    pub from: Time,
    /// On the next day when it is not later than `from`.
    pub until: Time,
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    pub zone: TimeZone,
    /// This severity or a worse one does not wait; `None`: everything waits.
    pub passes: Option<Severity>,
}

/// Messages wait at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hush {
    /// At least until then.
    pub until: Timestamp,
    pub passes: Option<Severity>,
}

/// Which messages go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passing {
    #[default]
    All,
    /// This severity or a worse one.
    From(Severity),
    Nothing,
}

impl From<Option<Hush>> for Passing {
    fn from(hush: Option<Hush>) -> Self {
        match hush.map(|hush| hush.passes) {
            None => Self::All,
            Some(Some(severity)) => Self::From(severity),
            Some(None) => Self::Nothing,
        }
    }
}

impl Quiet {
    /// When the stretch that holds `now` ends; `None` outside of one.
    fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        let yesterday = today.yesterday().ok();
        // Yesterday's ends first, where both go on.
        [yesterday, Some(today)].into_iter().flatten().find_map(|begun| self.end_of(begun, now))
    }

    fn end_of(&self, begun: Date, now: Timestamp) -> Option<Timestamp> {
        if !self.days.contains(&begun.weekday()) {
            return None;
        }
        let ends = if self.until > self.from { begun } else { begun.tomorrow().ok()? };
        // A time that the clocks leave out is an hour later, one that comes twice is the first.
        let at = |date: Date, time| self.zone.to_timestamp(date.to_datetime(time)).ok();
        let (from, until) = (at(begun, self.from)?, at(ends, self.until)?);
        (from..until).contains(&now).then_some(until)
    }
}

/// What waits now, by all of these together.
pub fn hush(rules: &[Quiet], now: Timestamp) -> Option<Hush> {
    let mut hush: Option<Hush> = None;
    for rule in rules {
        let Some(until) = rule.end(now) else { continue };
        hush = Some(match hush {
            None => Hush { until, passes: rule.passes },
            Some(other) => Hush {
                until: other.until.min(until),
                // Who passes one of them may be held by the other.
                passes: other.passes.zip(rule.passes).map(|(one, two)| one.max(two)),
            },
        });
    }
    hush
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use proptest::prelude::*;

    use super::*;

    const ALL_DAYS: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    fn berlin() -> TimeZone {
        // As Europe/Berlin, on machines without its rules too.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn quiet(from: i8, until: i8, days: &[Weekday]) -> Quiet {
        Quiet {
            from: Time::constant(from, 0, 0, 0),
            until: Time::constant(until, 0, 0, 0),
            days: days.to_vec(),
            zone: berlin(),
            passes: Some(Severity::Critical),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = [quiet(22, 7, &[Weekday::Friday])];
        let until = |now| hush(&night, at(now)).map(|hush| hush.until);
        // 2026-11-27 is a Friday; Berlin is an hour ahead.
        assert_eq!(until("2026-11-27T20:59:59Z"), None);
        assert_eq!(until("2026-11-27T21:00:00Z"), Some(at("2026-11-28T06:00:00Z")));
        assert_eq!(until("2026-11-28T05:59:59Z"), Some(at("2026-11-28T06:00:00Z")));
        assert_eq!(until("2026-11-28T06:00:00Z"), None);
        assert_eq!(until("2026-11-28T22:00:00Z"), None, "Saturday");
    }

    #[test]
    fn local_time_is_what_counts_when_the_clocks_change() {
        let night = [quiet(22, 7, &ALL_DAYS)];
        let until = |now| hush(&night, at(now)).unwrap().until;
        // To summer time on 2026-03-29, back on 2026-10-25.
        assert_eq!(until("2026-03-28T22:00:00Z"), at("2026-03-29T05:00:00Z"));
        assert_eq!(until("2026-10-24T21:00:00Z"), at("2026-10-25T06:00:00Z"));
        // 02:30 is left out, and half past three then.
        let gap = [Quiet { from: Time::constant(2, 30, 0, 0), ..quiet(0, 7, &ALL_DAYS) }];
        assert_eq!(hush(&gap, at("2026-03-29T01:29:59Z")), None);
        assert!(hush(&gap, at("2026-03-29T01:30:00Z")).is_some());
    }

    #[test]
    fn whole_days_and_several_rules() {
        let weekend = quiet(0, 0, &[Weekday::Saturday, Weekday::Sunday]);
        let until = hush(std::slice::from_ref(&weekend), at("2026-11-28T12:00:00Z")).unwrap().until;
        assert_eq!(until, at("2026-11-28T23:00:00Z"), "and then Sunday's");
        let strict = Quiet { passes: None, ..quiet(22, 7, &ALL_DAYS) };
        let both = hush(&[weekend, strict], at("2026-11-28T22:30:00Z")).unwrap();
        assert_eq!(both, Hush { until: at("2026-11-28T23:00:00Z"), passes: None });
    }

    proptest! {
        /// It is quiet exactly from its begin until its end: a held message is let go when it is said to be.
        #[test]
        fn every_quiet_time_ends(
            minute in 0_i64..(366 * 24 * 60),
            from in 0_i8..24,
            until in 0_i8..24,
            days in prop::sample::subsequence(ALL_DAYS.to_vec(), 0..=7),
        ) {
            let now = at("2026-01-01T00:00:00Z") + minute.minutes();
            let rule = quiet(from, until, &days);
            if let Some(hush) = hush(std::slice::from_ref(&rule), now) {
                prop_assert!(hush.until > now);
                prop_assert!(hush.until <= now + 25.hours());
                let local = berlin().to_datetime(hush.until);
                // Where the clocks leave the end out, it is an hour later.
                prop_assert!(local.time() == rule.until || local.hour() == 3);
                prop_assert!(!days.is_empty());
            }
        }
    }
}
