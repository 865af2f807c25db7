//! What became of telling people, by notifier, and how long after the event they were told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::seconds;
use super::text::{Kind, Text, labels};

/// Upper bounds of the time from what happened to its delivery, in seconds. From a disk that is mounted to a night that
/// is quiet.
const BOUNDS: [u64; 11] = [1, 2, 5, 10, 30, 60, 300, 1_800, 3_600, 14_400, 86_400];

#[derive(Debug, Clone, Default)]
struct Tally {
    delivered: u64,
    retried: u64,
    given_up: u64,
    /// By the bound that they are within; the last is beyond all.
    latencies: [u64; BOUNDS.len() + 1],
    microseconds: u64,
}

/// Counts since the start. Few things happen here: a lock is enough.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<BTreeMap<String, Tally>>);

impl Deliveries {
    /// All of these are told of from the start, with zeros.
    pub(crate) fn of<'a>(notifiers: impl IntoIterator<Item = &'a str>) -> Self {
        let all = notifiers.into_iter().map(|name| (name.to_owned(), Tally::default()));
        Self(Mutex::new(all.collect()))
    }

    fn count(&self, notifier: &str, count: impl FnOnce(&mut Tally)) {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(tallies.entry(notifier.to_owned()).or_default());
    }

    /// A message was delivered, so long after what it tells of; `None` where that says nothing.
    pub(crate) fn delivered(&self, notifier: &str, latency: Option<Duration>) {
        self.count(notifier, |tally| {
            tally.delivered += 1;
            let Some(latency) = latency else { return };
            let bucket = BOUNDS.iter().position(|bound| latency <= Duration::from_secs(*bound));
            if let Some(count) = tally.latencies.get_mut(bucket.unwrap_or(BOUNDS.len())) {
                *count += 1;
            }
            let took = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            tally.microseconds = tally.microseconds.saturating_add(took);
        });
    }

    /// A message was not taken, and is tried again.
    pub(crate) fn retried(&self, notifier: &str) {
        self.count(notifier, |tally| tally.retried += 1);
    }

    pub(crate) fn given_up(&self, notifier: &str) {
        self.count(notifier, |tally| tally.given_up += 1);
    }

    pub(crate) fn write(&self, text: &mut Text) {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Messages by what became of an attempt to deliver them, since the start.";
        text.family("atrest_delivery_attempts_total", Kind::Counter, help);
        for (notifier, tally) in &tallies {
            let all = [
                ("delivered", tally.delivered),
                ("retried", tally.retried),
                ("given_up", tally.given_up),
            ];
            for (result, count) in all {
                let labels = labels(&[("notifier", notifier), ("result", result)]);
                text.sample("atrest_delivery_attempts_total", &labels, count);
            }
        }
        let help = "From what happened on a host, by its clock, until somebody was told.";
        text.family("atrest_alert_latency_seconds", Kind::Histogram, help);
        for (notifier, tally) in &tallies {
            let mut sum = 0;
            let bounds = BOUNDS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&tally.latencies) {
                sum += count;
                let labels = labels(&[("notifier", notifier), ("le", &bound)]);
                text.sample("atrest_alert_latency_seconds_bucket", &labels, sum);
            }
            let labels = labels(&[("notifier", notifier)]);
            let total = seconds(tally.microseconds);
            text.sample("atrest_alert_latency_seconds_sum", &labels, total);
            text.sample("atrest_alert_latency_seconds_count", &labels, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notifier_is_counted_for_itself_and_from_the_start() {
        let deliveries = Deliveries::of(["mail", "ops"]);
        deliveries.delivered("ops", Some(Duration::from_millis(400)));
        deliveries.delivered("ops", Some(Duration::from_secs(5)));
        deliveries.delivered("ops", Some(Duration::from_hours(48)));
        deliveries.delivered("ops", None);
        deliveries.retried("ops");
        deliveries.given_up("ops");
        let mut text = Text::default();
        deliveries.write(&mut text);
        let text = text.finish();
        for line in [
            r#"atrest_delivery_attempts_total{notifier="ops",result="delivered"} 4"#,
            r#"atrest_delivery_attempts_total{notifier="ops",result="retried"} 1"#,
            r#"atrest_delivery_attempts_total{notifier="ops",result="given_up"} 1"#,
            r#"atrest_delivery_attempts_total{notifier="mail",result="delivered"} 0"#,
            r#"atrest_alert_latency_seconds_bucket{notifier="ops",le="1"} 1"#,
            r#"atrest_alert_latency_seconds_bucket{notifier="ops",le="5"} 2"#,
            r#"atrest_alert_latency_seconds_bucket{notifier="ops",le="86400"} 2"#,
            r#"atrest_alert_latency_seconds_bucket{notifier="ops",le="+Inf"} 3"#,
            r#"atrest_alert_latency_seconds_sum{notifier="ops"} 172805.400000"#,
            r#"atrest_alert_latency_seconds_count{notifier="ops"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
