//! What the server counts of itself, and how it is told to Prometheus.

mod deliveries;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use deliveries::Deliveries;
pub(crate) use text::{CONTENT_TYPE, Kind, Text, labels};

/// Upper bounds of the time that a report takes, in microseconds. From one commit on a fast disk to a server in need.
const BOUNDS: [u64; 8] =
    [1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000, 60_000_000];

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    heartbeats: AtomicU64,
    certificates: AtomicU64,
    rejoined: AtomicU64,
    slowed: AtomicU64,
    cut_off: AtomicU64,
    /// By whose limit it was: that of one address, of all.
    put_off: [AtomicU64; 2],
    crowded: AtomicU64,
    /// By the bound that they are within; the last is beyond all.
    reports: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Counters {
    /// A report was taken and is durable.
    pub(crate) fn report(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.reports.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    pub(crate) fn heartbeat(&self) {
        self.heartbeats.fetch_add(1, Ordering::Relaxed);
    }

    /// A certificate of an agent was signed.
    pub(crate) fn certificate(&self) {
        self.certificates.fetch_add(1, Ordering::Relaxed);
    }

    /// A host came back whose certificate had ended.
    pub(crate) fn rejoined(&self) {
        self.rejoined.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was taken later than it came: its host says more than it may.
    pub(crate) fn slowed(&self) {
        self.slowed.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream was ended, or not opened, since its host says more than it may.
    pub(crate) fn cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }

    /// A host that wanted to enrol was told to come later.
    pub(crate) fn put_off(&self, by_address: bool) {
        let [of_address, of_all] = &self.put_off;
        let count = if by_address { of_address } else { of_all };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed, since its certificate has too many.
    pub(crate) fn crowded(&self) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, text: &mut Text) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counter = Kind::Counter;
        text.family("atrest_heartbeats_total", counter, "Heartbeats of agents since the start.");
        text.sample("atrest_heartbeats_total", "", get(&self.heartbeats));
        let help = "Certificates of agents that were signed since the start.";
        text.family("atrest_certificates_issued_total", counter, help);
        text.sample("atrest_certificates_issued_total", "", get(&self.certificates));
        let help = "Streams of hosts that came back after their certificate had ended.";
        text.family("atrest_agents_rejoined_total", counter, help);
        text.sample("atrest_agents_rejoined_total", "", get(&self.rejoined));
        let help = "Messages that were taken late, since their hosts said more than limits allow.";
        text.family("atrest_agents_slowed_total", counter, help);
        text.sample("atrest_agents_slowed_total", "", get(&self.slowed));
        let help =
            "Streams that were ended or not opened, since their hosts said more than limits allow.";
        text.family("atrest_agents_cut_off_total", counter, help);
        text.sample("atrest_agents_cut_off_total", "", get(&self.cut_off));
        let help = "Enrolments that were told to come later, by whose limit was reached.";
        text.family("atrest_enrolments_put_off_total", counter, help);
        for (limit, count) in ["address", "all"].into_iter().zip(&self.put_off) {
            let labels = labels(&[("limit", limit)]);
            text.sample("atrest_enrolments_put_off_total", &labels, get(count));
        }
        let help = "Connections that were closed, since their certificate has too many.";
        text.family("atrest_connections_refused_total", counter, help);
        text.sample("atrest_connections_refused_total", "", get(&self.crowded));
        let help = "From a report's arrival until it was durable; its count is that of reports.";
        text.family("atrest_report_seconds", Kind::Histogram, help);
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.reports) {
            sum += get(count);
            text.sample("atrest_report_seconds_bucket", &labels(&[("le", &bound)]), sum);
        }
        text.sample("atrest_report_seconds_sum", "", seconds(get(&self.microseconds)));
        text.sample("atrest_report_seconds_count", "", sum);
    }
}

/// Microseconds as a decimal number of seconds.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_and_its_last_bucket_is_its_count() {
        let counters = Counters::default();
        for micros in [500, 1_000, 1_001, 90_000_000] {
            counters.report(Duration::from_micros(micros));
        }
        let mut text = Text::default();
        counters.write(&mut text);
        let text = text.finish();
        for line in [
            "atrest_report_seconds_bucket{le=\"0.001000\"} 2",
            "atrest_report_seconds_bucket{le=\"0.005000\"} 3",
            "atrest_report_seconds_bucket{le=\"60.000000\"} 3",
            "atrest_report_seconds_bucket{le=\"+Inf\"} 4",
            "atrest_report_seconds_sum 90.002501",
            "atrest_report_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
