//! Text for people: the worst first, the stack as a tree, the remedy under each failure.

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
        line!(out, "{} {}{}", style.verdict(path.verdict), path.path, reasons(path));
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
    let or_not_said = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    line!(
        out,
        "Host {} ({}, kernel {})",
        or_not_said(&host.hostname),
        or_not_said(&host.os),
        or_not_said(&host.kernel)
    );
    for service in &posture.services {
        let cluster = service.cluster_name.as_deref().unwrap_or("-");
        let node = service.node_name.as_deref().unwrap_or("-");
        line!(
            out,
            "  {} {} ({}), cluster {cluster}, node {node}",
            service.product,
            service.name,
            service.state
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
        line!(out, "{} {usage:<10} {}{}", style.verdict(path.verdict), path.path, reasons(path));
        details(path, style, &mut out);
    }
    if !posture.keystores.is_empty() {
        section("Keystores", false, &mut out);
        for keystore in &posture.keystores {
            let version =
                keystore.format_version.map_or("?".to_owned(), |version| format!("v{version}"));
            line!(
                out,
                "{} {} {} {}:{} {version}, {}",
                style.verdict(keystore.at_rest),
                keystore.path,
                keystore.mode,
                keystore.owner,
                keystore.group,
                keystore.password,
            );
        }
    }
    if !posture.repositories.is_empty() {
        section("Snapshot repositories", false, &mut out);
        for repository in &posture.repositories {
            line!(
                out,
                "{:<11} {} ({}) {}",
                repository.encryption,
                repository.name,
                repository.kind,
                repository.location
            );
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
        line!(out, "  is {resolved}");
    }
    if let Some(nearest) = &path.nearest {
        line!(out, "  would rest on {}, which is {}", nearest.path, nearest.verdict);
    }
    tree::draw(path, "  ", style, out);
    let unsaid: Vec<&str> = path
        .undecided
        .iter()
        .map(|leg| leg.detail.as_str())
        .filter(|detail| !drawn(&path.stack, detail))
        .collect();
    for detail in unsaid.iter().take(UNDECIDED_SHOWN) {
        line!(out, "  {}  {detail}", style.paint(Paint::Doubt, "?"));
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
    let text = textwrap::fill(text, options);
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
        line!(out, "  {}  {} ({})", gap.subject, gap.detail, gap.reason);
        if !gap.remedy.is_empty() {
            line!(out, "          -> {}", gap.remedy);
        }
    }
}
