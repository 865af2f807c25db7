//! The text format of Prometheus, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::{Display, Write as _};

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Collects families. Names and help are ours, and need no escaping.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Its samples follow.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        let kind = kind.as_str();
        // Writing to a string does not fail.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    /// One sample, with labels as [`labels`] makes them.
    pub(crate) fn sample(&mut self, name: &'static str, labels: &str, value: impl Display) {
        writeln!(self.0, "{name}{labels} {value}").ok();
    }

    /// A family of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, "", value);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Labels with their braces. Hosts name things: what would end a value is escaped.
pub(crate) fn labels(pairs: &[(&'static str, &str)]) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_label() {
        assert_eq!(
            labels(&[("path", "a\"} 1\nb\\"), ("use", "data")]),
            r#"{path="a\"} 1\nb\\",use="data"}"#
        );
    }
}
