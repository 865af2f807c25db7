//! Text for people: the worst first, the stack as a tree, the remedy under each failure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Layer, Outcome, PathPosture, Posture, Severity, Verdict};

use super::{badness, concerns, tree};
use crate::posture::summary;

/// Appends one line.
macro_rules! line {
    ($out:ident, $($text:tt)+) => {
        $out.push_str(&format!($($text)+));
        $out.push('\n');
    };
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Bad,
    Doubt,
    Good,
    Dim,
}

impl Style {
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        // ECMA-48 select graphic rendition.
        let code = match paint {
            Paint::Bad => "1;31",
            Paint::Doubt => "33",
            Paint::Good => "32",
            Paint::Dim => "2",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn verdict(self, verdict: Verdict) -> String {
        let paint = match verdict {
            Verdict::Unencrypted | Verdict::Partial => Paint::Bad,
            Verdict::Unknown | Verdict::Claimed => Paint::Doubt,
            Verdict::Volatile | Verdict::Encrypted => Paint::Good,
        };
        self.paint(paint, &format!("{:<11}", verdict.as_str().to_uppercase()))
    }

    fn outcome(self, outcome: Outcome) -> String {
        let (paint, word) = match outcome {
            Outcome::Fail => (Paint::Bad, "FAIL"),
            Outcome::Unknown => (Paint::Doubt, "UNKNOWN"),
            Outcome::Pass => (Paint::Good, "pass"),
            Outcome::NotApplicable => (Paint::Dim, "n/a"),
        };
        self.paint(paint, &format!("{word:<8}"))
    }
}

/// A text that came from the host, as part of one line: what would begin another, move the cursor or turn the direction of
/// writing is written out. Any user's process may name a node as it likes.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let harms = |letter: char| {
        // UAX #9: marks, embeddings, overrides and isolates; U+2028 and U+2029 separate lines.
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harms) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            letter if !harms(letter) => shown.push(letter),
            letter if letter.is_ascii() => shown.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
        }
    }
    Cow::Owned(shown)
}

/// Columns that text is wrapped to.
pub(super) const WIDTH: usize = 80;

/// The answer of `check`.
pub fn check(posture: &Posture, style: Style) -> String {
    let mut out = String::new();
    let mut paths: Vec<&PathPosture> = posture.paths.iter().collect();
    paths.sort_by_key(|path| (badness(path.verdict), &path.asset));
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        line!(out, "{} {}{}", style.verdict(path.verdict), harmless(&path.path), reasons(path));
        details(path, style, &mut out);
        let about = posture.findings.iter().filter(|finding| concerns(finding, path));
        remedies(about, style, &mut out);
    }
    gaps(posture, &mut out);
    out
}

/// The answer of `scan`.
pub fn scan(posture: &Posture, style: Style) -> String {
    let mut out = String::new();
    let host = &posture.host;
    let or_not_said =
        |text: &str| if text.is_empty() { "-".into() } else { harmless(text).into_owned() };
    line!(
        out,
        "Host {} ({}, kernel {})",
        or_not_said(&host.hostname),
        or_not_said(&host.os),
        or_not_said(&host.kernel)
    );
    for service in &posture.services {
        let cluster = harmless(service.cluster_name.as_deref().unwrap_or("-"));
        let node = harmless(service.node_name.as_deref().unwrap_or("-"));
        line!(
            out,
            "  {} {} ({}), cluster {cluster}, node {node}",
            harmless(&service.product),
            harmless(&service.name),
            harmless(&service.state)
        );
    }
    if posture.services.is_empty() {
        out.push_str("  no Elasticsearch or OpenSearch was found on this host\n");
    }
    section("Where data rests", posture.paths.is_empty(), &mut out);
    let mut paths: Vec<&PathPosture> = posture.paths.iter().collect();
    paths.sort_by_key(|path| (badness(path.verdict), &path.asset));
    for path in paths {
        let usage = path.usage.as_str();
        line!(
            out,
            "{} {usage:<10} {}{}",
            style.verdict(path.verdict),
            harmless(&path.path),
            reasons(path)
        );
        details(path, style, &mut out);
    }
    if !posture.keystores.is_empty() {
        section("Keystores", false, &mut out);
        for keystore in &posture.keystores {
            let is_none = |finding: &Finding| {
                finding.asset == keystore.asset
                    && finding.check == "keystore_format"
                    && finding.outcome == Outcome::NotApplicable
            };
            if posture.findings.iter().any(is_none) {
                line!(out, "{:<11} {} there is none", "-", harmless(&keystore.path));
                continue;
            }
            let version =
                keystore.format_version.map_or("?".to_owned(), |version| format!("v{version}"));
            line!(
                out,
                "{} {} {} {}:{} {version}, {}",
                style.verdict(keystore.at_rest),
                harmless(&keystore.path),
                keystore.mode,
                harmless(&keystore.owner),
                harmless(&keystore.group),
                keystore.password,
            );
        }
    }
    if !posture.repositories.is_empty() {
        section("Snapshot repositories", false, &mut out);
        for repository in &posture.repositories {
            line!(
                out,
                "{:<12} {} ({}) {}",
                repository.encryption,
                harmless(&repository.name),
                harmless(&repository.kind),
                harmless(&repository.location)
            );
            if !repository.keys.is_empty() {
                line!(out, "             key {}", harmless(&repository.keys.join(", ")));
            }
            line!(out, "             {}", harmless(&repository.evidence));
        }
    }
    section("Findings", false, &mut out);
    remedies(posture.findings.iter(), style, &mut out);
    gaps(posture, &mut out);
    let counts = summary(&posture.findings);
    let count = |outcome: Outcome| counts.get(outcome.as_str()).copied().unwrap_or_default();
    line!(
        out,
        "\n{} failed, {} unknown, {} passed",
        count(Outcome::Fail),
        count(Outcome::Unknown),
        count(Outcome::Pass)
    );
    out
}

/// Failures first, and of those the most severe.
fn order(finding: &Finding) -> (Outcome, std::cmp::Reverse<Severity>, &str, &str) {
    (finding.outcome, std::cmp::Reverse(finding.severity), &finding.check, &finding.asset)
}

fn section(title: &str, empty: bool, out: &mut String) {
    line!(out, "\n{title}");
    if empty {
        out.push_str(
            "  nothing to look at: declare paths in the configuration (`paths = [\"/srv/es\"]`)\n",
        );
    }
}

fn reasons(path: &PathPosture) -> String {
    if path.reasons.is_empty() {
        return String::new();
    }
    let codes: Vec<&str> = path.reasons.iter().map(|reason| reason.as_str()).collect();
    format!("  ({})", codes.join(", "))
}

fn details(path: &PathPosture, style: Style, out: &mut String) {
    if let Some(resolved) = path.resolved.as_ref().filter(|resolved| **resolved != path.path) {
        line!(out, "  is {}", harmless(resolved));
    }
    if let Some(nearest) = &path.nearest {
        line!(out, "  would rest on {}, which is {}", harmless(&nearest.path), nearest.verdict);
    }
    tree::draw(path, "  ", style, out);
    let unsaid: Vec<&str> = path
        .undecided
        .iter()
        .map(|leg| leg.detail.as_str())
        .filter(|detail| !drawn(&path.stack, detail))
        .collect();
    for detail in unsaid.iter().take(UNDECIDED_SHOWN) {
        line!(out, "  {}  {}", style.paint(Paint::Doubt, "?"), harmless(detail));
    }
    if let Some(more) = unsaid.len().checked_sub(UNDECIDED_SHOWN).filter(|more| *more > 0) {
        line!(out, "  {}  and {more} more", style.paint(Paint::Doubt, "?"));
    }
}

/// More undecided legs than this are counted; the JSON has them all.
const UNDECIDED_SHOWN: usize = 5;

/// Whether the tree already has a node that says this.
fn drawn(layers: &[Layer], detail: &str) -> bool {
    layers.iter().any(|layer| layer.name == detail || drawn(&layer.children, detail))
}

/// Failures first, each with its remedy; then what could not be decided; what passes in one line.
fn remedies<'a>(findings: impl Iterator<Item = &'a Finding>, style: Style, out: &mut String) {
    let mut findings: Vec<&Finding> = findings.collect();
    findings.sort_by(|a, b| order(a).cmp(&order(b)));
    for same in alike(&findings) {
        let Some(first) = same.first() else { continue };
        let mut checks: Vec<&str> = same.iter().map(|finding| finding.check.as_str()).collect();
        checks.dedup();
        said(first.outcome, &format!("{} [{}]", first.summary, checks.join(", ")), style, out);
        if !first.remedy.is_empty() {
            line!(out, "          -> {}", wrapped(&first.remedy, "             "));
        }
    }
    let passed: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Pass)
        .map(|finding| finding.check.as_str())
        .collect();
    if !passed.is_empty() {
        let passed: Vec<&str> = passed.into_iter().collect();
        said(Outcome::Pass, &passed.join(", "), style, out);
    }
}

/// An outcome and what is said of it, wrapped below itself.
fn said(outcome: Outcome, text: &str, style: Style, out: &mut String) {
    line!(out, "  {}{}", style.outcome(outcome), wrapped(text, "          "));
}

/// A text that follows something as wide as `indent`, wrapped below itself. No word is broken, so that it can be copied.
fn wrapped(text: &str, indent: &str) -> String {
    let options = textwrap::Options::new(WIDTH)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .initial_indent(indent)
        .subsequent_indent(indent);
    let text = textwrap::fill(&harmless(text), options);
    text.strip_prefix(indent).unwrap_or(&text).to_owned()
}

/// Failures and unknowns that say the same, together: a device that cannot be read is one line, however many checks ask.
fn alike<'f>(findings: &[&'f Finding]) -> Vec<Vec<&'f Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    let mut places = BTreeMap::new();
    for finding in findings.iter().copied() {
        if !matches!(finding.outcome, Outcome::Fail | Outcome::Unknown) {
            continue;
        }
        let key = (finding.outcome, finding.summary.as_str(), finding.remedy.as_str());
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

fn gaps(posture: &Posture, out: &mut String) {
    if posture.gaps.is_empty() {
        return;
    }
    out.push_str("\nCould not be looked at\n");
    for gap in &posture.gaps {
        line!(out, "  {}  {} ({})", harmless(&gap.subject), harmless(&gap.detail), gap.reason);
        if !gap.remedy.is_empty() {
            line!(out, "          -> {}", harmless(&gap.remedy));
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Gap, Reason, Service};

    use super::*;
    use crate::policy::Policy;
    use crate::posture::evaluate;
    use crate::snapshot::Snapshot;

    #[test]
    fn a_keystore_that_is_not_there_is_not_called_unknown() {
        let mut posture = evaluate(&Snapshot::empty(), &Policy::default());
        let keystore = serde_json::json!({
            "asset": "keystore:/etc/x", "path": "/etc/x", "product": "logstash", "format": "", "password": "unknown",
            "mode": "", "owner": "", "group": "", "at_rest": "unknown"
        });
        posture.keystores.push(serde_json::from_value(keystore).unwrap());
        assert!(scan(&posture, Style::Plain).contains("UNKNOWN     /etc/x"));
        let mut finding = posture.findings.first().unwrap().clone();
        (finding.check, finding.asset) =
            ("keystore_format".to_owned(), "keystore:/etc/x".to_owned());
        finding.outcome = Outcome::NotApplicable;
        posture.findings.push(finding);
        let text = scan(&posture, Style::Plain);
        assert!(text.contains("-           /etc/x there is none"), "{text}");
        assert!(!text.contains("UNKNOWN     /etc/x"), "{text}");
    }

    #[test]
    fn what_the_host_says_stays_on_its_line() {
        assert_eq!(harmless("es-01 ä \\x41"), "es-01 ä \\x41");
        assert_eq!(harmless("a\nb\x1b[2J\u{202e}c\u{85}"), "a\\x0ab\\x1b[2J\\u{202e}c\\u{85}");
        let hostile = "x\n0 failed\x1b[2J".to_owned();
        let mut posture = evaluate(&Snapshot::empty(), &Policy::default());
        posture.services.push(Service {
            name: hostile.clone(),
            node_name: Some(hostile.clone()),
            cluster_name: Some(hostile.clone()),
            ..Service::default()
        });
        posture.gaps.push(Gap {
            subject: hostile.clone(),
            reason: Reason::Unreadable,
            detail: hostile.clone(),
            remedy: hostile.clone(),
        });
        for finding in &mut posture.findings {
            (finding.summary, finding.remedy) = (hostile.clone(), hostile.clone());
            finding.outcome = Outcome::Fail;
        }
        let text = scan(&posture, Style::Plain);
        assert!(text.contains("x\\x0a0 failed"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("\n0 failed\\x1b"), "{text}");
    }
}
