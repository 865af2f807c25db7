//! What the watch does not see, or has missed, as gaps of the posture. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_proto::model::{Gap, Reason};
use jiff::Timestamp;

/// How long it is told that something was missed, although everything was looked at again since: long enough that
/// somebody who looks once an hour is not the one who has to notice.
const TOLD_FOR: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Sight {
    /// By source: what it cannot watch.
    blind: BTreeMap<&'static str, Vec<Gap>>,
    /// By subject.
    missed: BTreeMap<&'static str, Missed>,
}

#[derive(Debug)]
struct Missed {
    first: Timestamp,
    last: Timestamp,
    why: String,
    remedy: &'static str,
}

impl Sight {
    /// This is what the source cannot watch now. Whether that is news.
    pub(super) fn blind(&mut self, source: &'static str, gaps: Vec<Gap>) -> bool {
        let known = self.blind.entry(source).or_default();
        let is_news = *known != gaps;
        *known = gaps;
        is_news
    }

    /// Something happened and was not heard.
    pub(super) fn missed(
        &mut self,
        subject: &'static str,
        why: &str,
        remedy: &'static str,
        now: Timestamp,
    ) {
        let missed = self.missed.entry(subject).or_insert_with(|| Missed {
            first: now,
            last: now,
            why: why.to_owned(),
            remedy,
        });
        missed.last = now;
    }

    /// All of it, for a look that begins now. The same text as long as it goes on: a report tells of it once.
    pub(super) fn gaps(&mut self, now: Timestamp) -> Vec<Gap> {
        self.missed.retain(|_, missed| {
            let age = now.duration_since(missed.last);
            // A clock that was set back must not keep it for good.
            !age.is_negative() && age.unsigned_abs() < TOLD_FOR
        });
        let missed = self.missed.iter().map(|(subject, missed)| Gap {
            subject: (*subject).to_owned(),
            reason: Reason::Unreadable,
            detail: format!(
                "some were missed at {:.0}: {}; everything was looked at again",
                missed.first, missed.why
            ),
            remedy: missed.remedy.to_owned(),
        });
        self.blind.values().flatten().cloned().chain(missed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_missed_is_told_in_one_text_and_for_a_while() {
        let mut sight = Sight::default();
        sight.missed("x", "why", "", at(100));
        let told = sight.gaps(at(100));
        assert_eq!(told.len(), 1);
        assert!(told[0].detail.contains("1970-01-01T00:01:40Z"), "{told:?}");
        sight.missed("x", "why", "", at(2000));
        assert_eq!(sight.gaps(at(5000)), told);
        assert_eq!(sight.gaps(at(5600)), []);
    }

    #[test]
    fn what_is_not_watched_is_told_until_it_is() {
        let mut sight = Sight::default();
        let gap = Gap {
            subject: "x".to_owned(),
            reason: Reason::Unreadable,
            detail: String::new(),
            remedy: String::new(),
        };
        assert!(sight.blind("files", vec![gap.clone()]));
        assert!(!sight.blind("files", vec![gap.clone()]));
        assert_eq!(sight.gaps(at(1_000_000)), [gap]);
        assert!(sight.blind("files", Vec::new()));
        assert_eq!(sight.gaps(at(0)), []);
    }
}
