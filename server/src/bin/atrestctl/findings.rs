//! `atrestctl findings`: what fails across the fleet, and what to do about it.

use atrest_proto::model::Outcome;
use atrest_proto::v1;
use atrest_server::view::{Findings, FleetFinding};
use jiff::Timestamp;

use crate::connect::{Connection, explain};
use crate::node::print_finding;
use crate::render::{Cell, Screen, Tone, ago, count, now};

/// Of the list as CSV.
const COLUMNS: &[&str] = &[
    "host_id",
    "hostname",
    "check",
    "asset",
    "outcome",
    "severity",
    "summary",
    "remedy",
    "reasons",
    "first_seen_at",
    "changed_at",
    "opened_at",
    "absent_since",
    "retired_at",
];

/// A page of the list, and where the next one starts.
pub(crate) async fn page(
    connection: &mut Connection,
    request: v1::ListFindingsRequest,
) -> anyhow::Result<(Vec<FleetFinding>, String)> {
    let page = connection
        .fleet
        .list_findings(request)
        .await
        .map_err(|status| explain(&status))?
        .into_inner();
    let mut findings = Vec::new();
    for row in page.findings {
        findings.extend(FleetFinding::read(row)?);
    }
    Ok((findings, page.next_page_token))
}

pub(crate) async fn run(
    connection: &mut Connection,
    screen: &mut Screen,
    outcome: Option<Outcome>,
    check: Option<String>,
    node: Option<String>,
) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListFindingsRequest {
            outcome: outcome.map_or(v1::Outcome::Unspecified, Into::into).into(),
            check: check.clone().unwrap_or_default(),
            node: node.clone().unwrap_or_default(),
            page_size: 0,
            page_token,
        };
        let (found, next) = page(connection, request).await?;
        findings.extend(found);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    // The server's order is by severity; within one, people look for hosts.
    findings.sort_by(|a, b| {
        let key = |row: &FleetFinding| {
            (row.finding.outcome, std::cmp::Reverse(row.finding.severity), row.hostname.clone())
        };
        key(a).cmp(&key(b))
    });
    let findings = Findings::new(findings);
    if !screen.csv(COLUMNS, &findings.findings)? && !screen.json(&findings)? {
        print(screen, &findings.findings, now());
    }
    Ok(())
}

/// What ends it, to be pasted; `None` when a name has what would steer a terminal.
fn retire(row: &FleetFinding) -> Option<String> {
    let words = ["atrestctl", "retire", &row.hostname, &row.finding.asset];
    if words.iter().any(|word| word.contains(char::is_control)) {
        return None;
    }
    shlex::try_join(words).ok()
}

fn print(screen: &mut Screen, findings: &[FleetFinding], now: Timestamp) {
    if findings.is_empty() {
        screen.line("no findings");
        return;
    }
    for row in findings {
        print_finding(screen, &row.finding, Some(&row.hostname));
        if let Some(opened_at) = row.opened_at {
            let since =
                format!("       failing since {opened_at:.0} ({})", ago(Some(opened_at), now));
            screen.row(&[Cell::new(since, Tone::Faint)]);
        }
        if let Some(absent) = row.absent_since {
            let note =
                format!("       no longer reported since {absent:.0}: not seen is not fixed");
            screen.row(&[Cell::new(note, Tone::Doubt)]);
            if let Some(command) = retire(row) {
                let gone = format!("       if it is gone for good: {command}");
                screen.row(&[Cell::new(gone, Tone::Faint)]);
            }
        }
        if let Some(retired_at) = row.retired_at {
            let note = format!(
                "       over since {retired_at:.0}, when it left the fleet: nobody saw it fixed"
            );
            screen.row(&[Cell::new(note, Tone::Doubt)]);
        }
    }
    screen.line("");
    screen.line(&count(u64::try_from(findings.len()).unwrap_or(u64::MAX), "finding"));
}
